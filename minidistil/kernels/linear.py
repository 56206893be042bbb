"""The linear layer: the bias goes onto each block as it leaves the product."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidistil.arrays import Array
from minidistil.kernels.activations import BIAS, NOTHING
from minidistil.kernels.engine.compile import strict
from minidistil.kernels.engine.parallel import run
from minidistil.kernels.engine.pool import awake_pool
from minidistil.kernels.gemm.matmul import PackedWeight, matmul

Weight = Array | PackedWeight
Cache = tuple[Array, Weight]


@strict
def _column_sums(x: Array, total: Array, start: int, stop: int) -> None:
    """total[c] += sum_t x[t, c], rows in order, whoever takes which columns."""
    sums, part = np.zeros(stop - start, x.dtype), total[start:stop]
    for t in range(x.shape[0]):
        row = x[t, start:stop]
        for c in range(sums.shape[0]):
            sums[c] += row[c]
    for c in range(sums.shape[0]):
        part[c] += sums[c]


@strict
def add_column_sums(pool: Any, x: Array, total: Array) -> None:
    """total[c] += sum_t x[t, c]."""
    run(pool, _column_sums, (x, total), x.shape[1], 128)


def linear_forward(x: Array, weight: Weight, bias: Array | None = None) -> tuple[Array, Cache]:
    """x W^T + b; see `minidistil.ops.linear.linear_forward`."""
    epilogue = NOTHING if bias is None else BIAS
    return matmul(x, weight, transpose_b=True, epilogue=epilogue, bias=bias), (x, weight)


def linear_backward(
    dout: Array, cache: Cache, dweight: Array | None = None, dbias: Array | None = None
) -> tuple[Array, Array, Array]:
    """Gradients of the linear layer; see `minidistil.ops.linear.linear_backward`."""
    x, weight = cache
    return matmul(dout, weight), *parameter_gradients(dout, x, dweight, dbias)  # [T, O] @ [O, I] -> [T, I]


def parameter_gradients(
    dout: Array, x: Array, dweight: Array | None, dbias: Array | None
) -> tuple[Array, Array]:
    """dout^T x [O, I] and the column sums of dout [O], added to those given."""
    dweight = matmul(dout, x, transpose_a=True, out=dweight, accumulate=dweight is not None)
    dbias = np.zeros(dout.shape[1], dout.dtype) if dbias is None else dbias
    add_column_sums(awake_pool(), dout, dbias)
    return dweight, dbias
