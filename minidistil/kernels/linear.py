"""The linear layer and its fusions: bias and activation go onto each block as it leaves the product."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil import threads
from minidistil.kernels.gemm import PackedWeight, matmul
from minidistil.kernels.jit import exact
from minidistil.kernels.parallel import run
from minidistil.kernels.pointwise import ACTIVATIONS, BIAS, NOTHING, activation_backward
from minidistil.kernels.workspace import empty

Array = npt.NDArray[np.floating[Any]]
Weight = Array | PackedWeight
Cache = tuple[Array, Weight]


@exact
def _column_sums(x: Array, total: Array, start: int, stop: int) -> None:
    """total[c] += sum_t x[t, c], rows in order, whoever takes which columns."""
    sums, part = np.zeros(stop - start, x.dtype), total[start:stop]
    for t in range(x.shape[0]):
        row = x[t, start:stop]
        for c in range(sums.shape[0]):
            sums[c] += row[c]
    for c in range(sums.shape[0]):
        part[c] += sums[c]


@exact
def add_column_sums(pool: Any, x: Array, total: Array) -> None:
    """total[c] += sum_t x[t, c]."""
    run(pool, _column_sums, (x, total), x.shape[1], 128)


def linear_forward(x: Array, weight: Weight, bias: Array | None = None) -> tuple[Array, Cache]:
    """x W^T + b; see `minidistil.ops.linear.linear_forward`."""
    kind = NOTHING if bias is None else BIAS
    return matmul(x, weight, transpose_b=True, kind=kind, bias=bias), (x, weight)


def linear_backward(
    dout: Array, cache: Cache, dweight: Array | None = None, dbias: Array | None = None
) -> tuple[Array, Array, Array]:
    """Gradients of the linear layer; see `minidistil.ops.linear.linear_backward`."""
    x, weight = cache
    return matmul(dout, weight), *_parameter_gradients(dout, x, dweight, dbias)  # [T, O] @ [O, I] -> [T, I]


def _parameter_gradients(
    dout: Array, x: Array, dweight: Array | None, dbias: Array | None
) -> tuple[Array, Array]:
    """dout^T x [O, I] and the column sums of dout [O], added to those given."""
    dweight = matmul(dout, x, transpose_a=True, out=dweight, accumulate=dweight is not None)
    dbias = np.zeros(dout.shape[1], dout.dtype) if dbias is None else dbias
    add_column_sums(threads.pool(), dout, dbias)
    return dweight, dbias


def linear_activation_forward(
    x: Array, weight: Weight, bias: Array, activation: str = "gelu", *, keep_cache: bool = True
) -> tuple[Array, Any]:
    """activation(x W^T + b); see `minidistil.ops.fused.linear_activation_forward`."""
    y = empty((len(x), len(weight)), x.dtype) if keep_cache else None
    out = matmul(x, weight, transpose_b=True, kind=ACTIVATIONS[activation], bias=bias, kept=y)
    return out, (x, weight, y, activation) if keep_cache else None


def linear_activation_backward(
    dout: Array, cache: Any, dweight: Array | None = None, dbias: Array | None = None
) -> tuple[Array, Array, Array]:
    """Gradients; see `minidistil.ops.fused.linear_activation_backward`."""
    x, weight, y, activation = cache
    dy, _ = activation_backward(ACTIVATIONS[activation], dout, y)
    return linear_backward(dy, (x, weight), dweight, dbias)


def feed_forward_forward(
    x: Array, up_weight: Weight, up_bias: Array, down_weight: Weight, down_bias: Array,
    activation: str = "gelu", *, keep_cache: bool = True,
) -> tuple[Array, Any]:  # fmt: skip
    """activation(x U^T + b) D^T + c; see `minidistil.ops.fused.feed_forward_forward`.

    The activations are not kept: the backward pass gets them along with their derivative.
    """
    wide, up = linear_activation_forward(x, up_weight, up_bias, activation, keep_cache=keep_cache)
    out, _ = linear_forward(wide, down_weight, down_bias)
    return out, (up, down_weight) if keep_cache else None


def feed_forward_backward(
    dout: Array, cache: Any, dup_weight: Array | None = None, dup_bias: Array | None = None,
    ddown_weight: Array | None = None, ddown_bias: Array | None = None,
) -> tuple[Array, Array, Array, Array, Array]:  # fmt: skip
    """Gradients; see `minidistil.ops.fused.feed_forward_backward`."""
    (x, up_weight, y, activation), down_weight = cache
    dy, wide = activation_backward(ACTIVATIONS[activation], matmul(dout, down_weight), y)
    ddown_weight, ddown_bias = _parameter_gradients(dout, wide, ddown_weight, ddown_bias)
    dx, dup_weight, dup_bias = linear_backward(dy, (x, up_weight), dup_weight, dup_bias)
    return dx, dup_weight, dup_bias, ddown_weight, ddown_bias
