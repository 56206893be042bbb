"""Layers that a sentence encoder puts on a pooled vector: linear, layer normalization, length 1.

They are applied as they were learnt; nothing here is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.ops.layernorm import layernorm_forward

Array = npt.NDArray[np.floating[Any]]


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without an overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)), x.dtype)


# By the name of the class in torch.nn, with its default arguments.
ACTIVATIONS: dict[str, Callable[[Array, ModuleType], Array]] = {
    "Identity": lambda x, backend: x,
    "Tanh": lambda x, backend: np.tanh(x),
    "ReLU": lambda x, backend: np.maximum(x, 0),
    "GELU": lambda x, backend: backend.gelu_forward(x)[0],
    "Sigmoid": lambda x, backend: sigmoid(x),
    "SiLU": lambda x, backend: x * sigmoid(x),
    "LeakyReLU": lambda x, backend: np.where(x > 0, x, x * x.dtype.type(0.01)),
    "ELU": lambda x, backend: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "Softplus": lambda x, backend: np.logaddexp(x, x.dtype.type(0)),
}


@dataclass(frozen=True, eq=False)
class Dense:
    """activation(x W^T + b), to which x may be added.

    Attributes
    ----------
    weight : float [O, I]
    bias : float [O] or None
    activation : str
        One of `ACTIVATIONS`.
    residual : bool
        Whether x is added, which `shortcut` multiplies first if the widths differ.
    shortcut : float [O, I] or None
    """

    weight: Array
    bias: Array | None
    activation: str = "Tanh"
    residual: bool = False
    shortcut: Array | None = None

    def __call__(self, x: Array, backend: ModuleType) -> Array:
        """[N, I] -> [N, O]; `backend` multiplies."""
        bias = None if self.bias is None else self.bias.astype(x.dtype, copy=False)
        out = backend.linear_forward(x, self.weight.astype(x.dtype, copy=False), bias)[0]
        out = ACTIVATIONS[self.activation](out, backend)
        if not self.residual:
            return out
        if self.shortcut is None:
            return out + x
        added: Array = backend.linear_forward(x, self.shortcut.astype(x.dtype, copy=False))[0]
        return out + added

    def width(self, given: int) -> int:
        """Numbers of a vector that comes out."""
        return len(self.weight)


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """Layer normalization with gain and bias [H], and PyTorch's usual epsilon."""

    weight: Array
    bias: Array
    eps: float = 1e-5

    def __call__(self, x: Array, backend: ModuleType) -> Array:
        """[N, H] -> [N, H]"""
        weight, bias = (part.astype(x.dtype, copy=False) for part in (self.weight, self.bias))
        return layernorm_forward(x, weight, bias, self.eps)[0]

    def width(self, given: int) -> int:
        return given


@dataclass(frozen=True)
class Normalize:
    """Length 1."""

    def __call__(self, x: Array, backend: ModuleType) -> Array:
        """[N, H] -> [N, H]"""
        return unit(x)

    def width(self, given: int) -> int:
        return given


Layer = Dense | LayerNorm | Normalize


def unit(vectors: Array) -> Array:
    """Rows scaled to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), vectors.dtype)
