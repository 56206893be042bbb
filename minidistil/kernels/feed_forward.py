"""The feed-forward block: bias and activation go onto each block as it leaves the product."""

from __future__ import annotations

from typing import Any

from minidistil.arrays import Array
from minidistil.kernels.activations import ACTIVATIONS, BIAS, activation_backward
from minidistil.kernels.engine.workspace import empty
from minidistil.kernels.gemm.matmul import matmul
from minidistil.kernels.linear import Weight, linear_backward, parameter_gradients


def linear_activation_forward(
    x: Array, weight: Weight, bias: Array, activation: str = "gelu", *, keep_cache: bool = True
) -> tuple[Array, Any]:
    """activation(x W^T + b); see `minidistil.ops.feed_forward.linear_activation_forward`."""
    y = empty((len(x), len(weight)), x.dtype) if keep_cache else None
    out = matmul(x, weight, transpose_b=True, epilogue=ACTIVATIONS[activation], bias=bias, pre_activation=y)
    return out, (x, weight, y, activation) if keep_cache else None


def linear_activation_backward(
    dout: Array, cache: Any, dweight: Array | None = None, dbias: Array | None = None
) -> tuple[Array, Array, Array]:
    """Gradients; see `minidistil.ops.feed_forward.linear_activation_backward`."""
    x, weight, y, activation = cache
    dy, _ = activation_backward(ACTIVATIONS[activation], dout, y)
    return linear_backward(dy, (x, weight), dweight, dbias)


def feed_forward_forward(
    x: Array, up_weight: Weight, up_bias: Array, down_weight: Weight, down_bias: Array,
    activation: str = "gelu", *, keep_cache: bool = True,
) -> tuple[Array, Any]:  # fmt: skip
    """activation(x U^T + b) D^T + c; see `minidistil.ops.feed_forward.feed_forward_forward`.

    The activations are not kept: the backward pass gets them along with their derivative.
    """
    wide, up = linear_activation_forward(x, up_weight, up_bias, activation, keep_cache=keep_cache)
    out = matmul(wide, down_weight, transpose_b=True, epilogue=BIAS, bias=down_bias)
    return out, (up, down_weight) if keep_cache else None


def feed_forward_backward(
    dout: Array, cache: Any, dup_weight: Array | None = None, dup_bias: Array | None = None,
    ddown_weight: Array | None = None, ddown_bias: Array | None = None,
) -> tuple[Array, Array, Array, Array, Array]:  # fmt: skip
    """Gradients; see `minidistil.ops.feed_forward.feed_forward_backward`."""
    (x, up_weight, y, activation), down_weight = cache
    dy, wide = activation_backward(ACTIVATIONS[activation], matmul(dout, down_weight), y)
    ddown_weight, ddown_bias = parameter_gradients(dout, wide, ddown_weight, ddown_bias)
    dx, dup_weight, dup_bias = linear_backward(dy, (x, up_weight), dup_weight, dup_bias)
    return dx, dup_weight, dup_bias, ddown_weight, ddown_bias
