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
    dx = matmul(dout, weight)  # [T, O] @ [O, I] -> [T, I]
    dweight = matmul(
        dout, x, transpose_a=True, out=dweight, accumulate=dweight is not None
    )  # [O, T] @ [T, I]
    dbias = np.zeros(dout.shape[1], dout.dtype) if dbias is None else dbias
    add_column_sums(threads.pool(), dout, dbias)
    return dx, dweight, dbias


def linear_activation_forward(
    x: Array, weight: Weight, bias: Array, activation: str = "gelu"
) -> tuple[Array, tuple[Cache, Array, str]]:
    """activation(x W^T + b); see `minidistil.ops.fused.linear_activation_forward`."""
    out = empty((len(x), len(weight)), x.dtype)
    kind = ACTIVATIONS[activation]
    y = matmul(x, weight, transpose_b=True, kind=kind, bias=bias, activated=out)
    return out, ((x, weight), y, activation)


def linear_activation_backward(
    dout: Array, cache: tuple[Cache, Array, str], dweight: Array | None = None, dbias: Array | None = None
) -> tuple[Array, Array, Array]:
    """Gradients; see `minidistil.ops.fused.linear_activation_backward`."""
    linear, y, activation = cache
    return linear_backward(activation_backward(ACTIVATIONS[activation], dout, y), linear, dweight, dbias)
