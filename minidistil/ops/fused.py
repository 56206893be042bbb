"""Pairs of steps that the kernels fuse into one pass over memory, composed of the textbook pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.ops.dropout import Mask, dropout_backward, dropout_forward
from minidistil.ops.gelu import gelu_backward, gelu_forward, gelu_tanh_backward, gelu_tanh_forward
from minidistil.ops.layernorm import Cache as LayernormCache
from minidistil.ops.layernorm import layernorm_backward, layernorm_forward
from minidistil.ops.linear import linear_backward, linear_forward
from minidistil.ops.relu import relu_backward, relu_forward

Array = npt.NDArray[np.floating[Any]]

# By the name that config.json uses.
ACTIVATIONS: dict[str, tuple[Callable[[Array], tuple[Array, Any]], Callable[[Array, Any], Array]]] = {
    "gelu": (gelu_forward, gelu_backward),
    "gelu_new": (gelu_tanh_forward, gelu_tanh_backward),
    "gelu_pytorch_tanh": (gelu_tanh_forward, gelu_tanh_backward),
    "relu": (relu_forward, relu_backward),
}


def linear_activation_forward(
    x: Array, weight: Array, bias: Array, activation: str = "gelu"
) -> tuple[Array, tuple[Any, Any, str]]:
    """activation(x W^T + b): the first half of the feed-forward block.

    Parameters
    ----------
    x : [T, I]
    weight : [O, I]
    bias : [O]
    activation : a key of `ACTIVATIONS`

    Returns
    -------
    out : [T, O]
    cache : for `linear_activation_backward`
    """
    y, linear = linear_forward(x, weight, bias)
    out, act = ACTIVATIONS[activation][0](y)
    return out, (linear, act, activation)


def linear_activation_backward(
    dout: Array, cache: tuple[Any, Any, str], dweight: Array | None = None, dbias: Array | None = None
) -> tuple[Array, Array, Array]:
    """Gradients: back through the activation, then through the linear layer.

    Returns
    -------
    dx : [T, I]
    dweight : [O, I], dbias : [O], added to those given
    """
    linear, act, activation = cache
    dy = ACTIVATIONS[activation][1](dout, act)
    return linear_backward(dy, linear, dweight, dbias)


def residual_layernorm_forward(
    x: Array, residual: Array, weight: Array, bias: Array, eps: float = 1e-12, mask: Mask | None = None
) -> tuple[Array, tuple[LayernormCache, Mask | None]]:
    """layernorm(residual + dropout(x)): how every sub-layer of a post-LN transformer ends.

    Parameters
    ----------
    x : [T, H]
        What the sub-layer computed.
    residual : [T, H]
        What went into it.
    weight, bias : [H]
    mask : Mask, optional
        Dropout of `x`.
    """
    dropped, mask = dropout_forward(x, mask)
    out, norm = layernorm_forward(residual + dropped, weight, bias, eps)
    return out, (norm, mask)


def residual_layernorm_backward(
    dout: Array,
    cache: tuple[LayernormCache, Mask | None],
    dweight: Array | None = None,
    dbias: Array | None = None,
) -> tuple[Array, Array, Array, Array]:
    """Gradients: the sum's gradient goes unchanged to the residual and, through dropout, to `x`.

    Returns
    -------
    dx, dresidual : [T, H]
    dweight, dbias : [H], added to those given
    """
    norm, mask = cache
    dsum, dweight, dbias = layernorm_backward(dout, norm, dweight, dbias)
    return dropout_backward(dsum, mask), dsum, dweight, dbias
