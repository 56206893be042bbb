"""Softmax over rows, one pass for the maximum, one for exp and sum, one to divide."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidistil.arrays import Array
from minidistil.kernels.engine import vector_math
from minidistil.kernels.engine.compile import reassociate, strict
from minidistil.kernels.engine.parallel import run
from minidistil.kernels.engine.pool import awake_pool
from minidistil.kernels.engine.workspace import empty_like

GRAIN = 16  # least rows of a thread's share


@reassociate
def softmax_row(row: Array) -> None:
    """Replace a row by its softmax.

    A NaN anywhere makes the whole row NaN: the maximum may miss it, the sum does not.
    """
    top = row[0]
    for j in range(row.shape[0]):
        top = row[j] if row[j] > top else top
    total = row.dtype.type(0)
    for j in range(row.shape[0]):
        row[j] = vector_math.exp(row[j] - top)
        total += row[j]
    share = row.dtype.type(1) / total
    for j in range(row.shape[0]):
        row[j] *= share


@strict
def _softmax(out: Array, start: int, stop: int) -> None:
    for t in range(start, stop):
        softmax_row(out[t])


@reassociate
def _dsoftmax(dout: Array, p: Array, dx: Array, start: int, stop: int) -> None:
    for t in range(start, stop):
        g, y, dx_row = dout[t], p[t], dx[t]
        along = p.dtype.type(0)
        for j in range(y.shape[0]):
            along += g[j] * y[j]
        for j in range(y.shape[0]):
            dx_row[j] = y[j] * (g[j] - along)


@strict
def _run_forward(pool: Any, out: Array) -> None:
    run(pool, _softmax, (out,), out.shape[0], GRAIN)


@strict
def _run_backward(pool: Any, dout: Array, p: Array, dx: Array) -> None:
    run(pool, _dsoftmax, (dout, p, dx), p.shape[0], GRAIN)


def softmax_forward(x: Array) -> tuple[Array, Array]:
    """See `minidistil.ops.softmax.softmax_forward`."""
    out = x.reshape(-1, x.shape[-1]).copy()
    _run_forward(awake_pool(), out)
    return out.reshape(x.shape), out.reshape(x.shape)


def softmax_backward(dout: Array, cache: Array) -> Array:
    """See `minidistil.ops.softmax.softmax_backward`."""
    p = cache.reshape(-1, cache.shape[-1])
    dx = empty_like(p)
    _run_backward(awake_pool(), np.ascontiguousarray(dout).reshape(p.shape), p, dx)
    return dx.reshape(cache.shape)
