"""Layers of a sentence encoder above pooling: dense, layer normalization, length 1; and their files.

The layers are applied as they were trained; nothing here is trained. Each lies in a folder such as `2_Dense`,
with config.json and model.safetensors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from minidistil.arrays import Array, Float32
from minidistil.embeddings.similarity import normalize_embeddings
from minidistil.errors import ConfigError, WeightsError
from minidistil.files import read_json, write_json
from minidistil.modules_json import json_field
from minidistil.ops.layernorm import layernorm_forward
from minidistil.weights.checkpoint import SINGLE
from minidistil.weights.safetensors_file import SafetensorsFile, write_safetensors

CONFIG = "config.json"
VECTOR = "sentence_embedding"  # sentence-transformers' name for the pooled vector among a layer's inputs
DEFAULT_ACTIVATION = "torch.nn.modules.activation.Tanh"

PICKLED = """\
{folder} holds no {single}, only pytorch_model.bin. Loading a pickle can run any code its maker put in it, \
so minidistil never does. To convert a model you trust, in an environment with sentence-transformers:
    from sentence_transformers import SentenceTransformer
    SentenceTransformer({root!r}).save({root!r})
or get a revision of the model that holds {single}."""


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
    """activation(x W^T + b), with or without a residual connection.

    Attributes
    ----------
    weight : float [O, I]
    bias : float [O] or None
    activation : str
        One of `ACTIVATIONS`.
    residual : bool
        True adds x to the result; if the widths differ, x `shortcut`^T.
    shortcut : float [O, I] or None
    """

    weight: Array
    bias: Array | None
    activation: str = "Tanh"
    residual: bool = False
    shortcut: Array | None = None

    def __call__(self, x: Array, backend: ModuleType) -> Array:
        """[N, I] -> [N, O]; `backend` has the matrix product."""
        bias = None if self.bias is None else self.bias.astype(x.dtype, copy=False)
        out = backend.linear_forward(x, self.weight.astype(x.dtype, copy=False), bias)[0]
        out = ACTIVATIONS[self.activation](out, backend)
        if not self.residual:
            return out
        if self.shortcut is None:
            return out + x
        added: Array = backend.linear_forward(x, self.shortcut.astype(x.dtype, copy=False))[0]
        return out + added

    def width(self, width: int) -> int:
        """Width of the output, given that of the input."""
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

    def width(self, width: int) -> int:
        return width


@dataclass(frozen=True)
class Normalize:
    """Scaling to length 1."""

    def __call__(self, x: Array, backend: ModuleType) -> Array:
        """[N, H] -> [N, H]"""
        return normalize_embeddings(x)

    def width(self, width: int) -> int:
        return width


Layer = Dense | LayerNorm | Normalize


def read_config(folder: Path) -> dict[str, Any]:
    """Read the config.json of a folder, or nothing if there is none."""
    path = folder / CONFIG
    values: dict[str, Any] = read_json(path) if path.exists() else {}
    for key in ("module_input_name", "module_output_name"):
        if json_field(values, key, str, VECTOR, path) != VECTOR:
            raise ConfigError(f"{path}: {key} is {values[key]!r}: only {VECTOR!r} is supported")
    return values


def read_layer(kind: str, folder: Path, width: int) -> Layer | None:
    """Read a layer from its folder.

    Parameters
    ----------
    kind : {"Dense", "LayerNorm", "Normalize", "Dropout"}
    folder : Path
    width : int
        Numbers of an input vector.

    Returns
    -------
    Layer, or None for Dropout, which does nothing at inference

    Raises
    ------
    ConfigError, WeightsError
        Settings or weights that are missing, unknown, or of another width; file and key are named.
    """
    values = read_config(folder)
    if kind == "Dense":
        return _read_dense(folder, values, width)
    if kind == "LayerNorm":
        weights = _Weights(folder)
        return LayerNorm(weights.get("norm.weight", width), weights.get("norm.bias", width))
    return Normalize() if kind == "Normalize" else None


def _read_dense(folder: Path, values: dict[str, Any], width: int) -> Dense:
    path = folder / CONFIG
    in_features = json_field(values, "in_features", int, width, path)
    if in_features != width:
        raise ConfigError(f"{path}: in_features is {in_features}: the input vectors have {width} numbers")
    out = json_field(values, "out_features", int, None, path)
    if out is None or out < 1:
        raise ConfigError(f"{path}: out_features is {out}: a number of at least 1 is expected")
    activation = json_field(values, "activation_function", str, DEFAULT_ACTIVATION, path)
    residual = json_field(values, "use_residual", bool, False, path)
    weights = _Weights(folder)
    return Dense(
        weight=weights.get("linear.weight", out, width),
        bias=weights.get("linear.bias", out) if json_field(values, "bias", bool, True, path) else None,
        activation=activation_name(activation, path),
        residual=residual,
        shortcut=weights.get("residual.weight", out, width) if residual and out != width else None,
    )


def activation_name(dotted: str, path: Path) -> str:
    """Key in `ACTIVATIONS` of a class of PyTorch, of which only the name is compared.

    Raises
    ------
    ConfigError
        No such activation is supported.
    """
    name = dotted.rpartition(".")[2]
    if not dotted.startswith("torch.nn.") or name not in ACTIVATIONS:
        raise ConfigError(
            f"{path}: the activation {dotted!r:.80} is not supported; of torch.nn there are: "
            f"{', '.join(ACTIVATIONS)}"
        )
    return name


class _Weights:
    """Tensors of a folder."""

    def __init__(self, folder: Path) -> None:
        path = folder / SINGLE
        if not path.exists() and (folder / "pytorch_model.bin").exists():
            raise WeightsError(PICKLED.format(folder=folder, single=SINGLE, root=str(folder.parent)))
        self.path, self.file = path, SafetensorsFile(path)

    def get(self, name: str, *shape: int) -> Float32:
        if name not in self.file:
            raise WeightsError(f"{self.path} lacks the tensor {name!r}; it holds: {', '.join(self.file)}")
        tensor = self.file.tensors[name]
        if tensor.shape != shape:
            stored = list(tensor.shape)
            raise WeightsError(f"{self.path}: the tensor {name!r} is {stored}: {list(shape)} is expected")
        out = np.empty(shape, np.float32)
        tensor.read_into(out)
        return out


def write_layer(layer: Layer, folder: Path) -> None:
    """Write a layer to its folder, for `read_layer`."""
    if isinstance(layer, Dense):
        module = "linear" if layer.activation == "Identity" else "activation"
        values: dict[str, Any] = {
            "in_features": layer.weight.shape[1],
            "out_features": len(layer.weight),
            "bias": layer.bias is not None,
            "activation_function": f"torch.nn.modules.{module}.{layer.activation}",
        }
        if layer.residual:  # sentence-transformers before 5.7 does not know it
            values["use_residual"] = True
        named = {"linear.weight": layer.weight, "linear.bias": layer.bias, "residual.weight": layer.shortcut}
    elif isinstance(layer, LayerNorm):
        values = {"dimension": len(layer.weight)}
        named = {"norm.weight": layer.weight, "norm.bias": layer.bias}
    else:
        return
    write_json(folder / CONFIG, values)
    write_safetensors(folder / SINGLE, {name: part for name, part in named.items() if part is not None})
