"""Philox in the loop: dropout factors of one row, the same bits as `minidistil.ops.dropout.keep_mask`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array
from minidistil.kernels.engine.compile import strict
from minidistil.kernels.engine.parallel import run
from minidistil.kernels.engine.pool import awake_pool
from minidistil.kernels.engine.workspace import empty_like
from minidistil.ops import philox
from minidistil.ops.dropout import Mask, threshold
from minidistil.precision import PRECISIONS

M0, M1, LOW, WORD = philox.M0, philox.M1, philox.LOW, np.uint64(32)
W0, W1 = np.uint64(philox.W0), np.uint64(philox.W1)
ROUNDS = philox.ROUNDS


class Drop(NamedTuple):
    """A `Mask` as kernels take it; without dropout `on` is False and the rest is there for its type."""

    on: bool
    position: npt.NDArray[np.int64]  # [T]
    example: npt.NDArray[np.int64]  # [T]
    key0: Any
    key1: Any
    limit: Any
    scale: Any


NOTHING = np.zeros(1, np.int64)
NO_DROP = {
    dtype: Drop(False, NOTHING, NOTHING, np.uint64(0), np.uint64(0), np.uint64(0), dtype.type(1))
    for dtype in (np.dtype(precision.stored) for precision in PRECISIONS.values())
}


def drop_of(mask: Mask | None, dtype: np.dtype[Any]) -> Drop:
    """A mask, or none, as kernels take it for arrays of `dtype`."""
    if mask is None:
        return NO_DROP[dtype]
    return Drop(
        True,
        np.asarray(mask.position, np.int64),
        np.asarray(mask.example, np.int64),
        np.uint64(mask.key[0]),
        np.uint64(mask.key[1]),
        np.uint64(threshold(mask.rate)),
        dtype.type(1 / (1 - mask.rate)),
    )


@strict
def fill_factors(factors: Array, columns: int, drop: Drop, t: int, plane: int) -> None:
    """factors[c] = scale where column c of row t survives, 0 where it is dropped.

    `factors` needs room for 3 more columns. All words are uint64 that hold 32 bits, so that a product
    keeps its high half; the loop over counters has no branch and runs in vector lanes.
    """
    n = (columns + 3) // 4
    zero, scale, limit = factors.dtype.type(0), drop.scale, drop.limit
    position, example = np.uint64(drop.position[t]) & LOW, np.uint64(drop.example[t]) & LOW
    first, second, third, fourth = factors[:n], factors[n : 2 * n], factors[2 * n : 3 * n], factors[3 * n :]
    for i in range(n):
        x0, x1, x2, x3 = np.uint64(i), position, example, np.uint64(plane)
        k0, k1 = drop.key0, drop.key1
        for _ in range(ROUNDS):
            p0, p1 = M0 * x0, M1 * x2
            x0, x1, x2, x3 = (p1 >> WORD) ^ x1 ^ k0, p1 & LOW, (p0 >> WORD) ^ x3 ^ k1, p0 & LOW
            k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
        first[i] = scale if x0 >= limit else zero
        second[i] = scale if x1 >= limit else zero
        third[i] = scale if x2 >= limit else zero
        fourth[i] = scale if x3 >= limit else zero


@strict
def _dropout(x: Array, out: Array, drop: Drop, start: int, stop: int) -> None:
    columns = x.shape[1]
    factors = np.empty(columns + 3, x.dtype)
    for t in range(start, stop):
        fill_factors(factors, columns, drop, t, 0)
        x_row, row = x[t], out[t]
        for c in range(columns):
            row[c] = x_row[c] * factors[c]


@strict
def _run_dropout(pool: Any, x: Array, out: Array, drop: Drop) -> None:
    run(pool, _dropout, (x, out, drop), x.shape[0], 16)


def dropout_forward(x: Array, mask: Mask | None) -> tuple[Array, Mask | None]:
    """See `minidistil.ops.dropout.dropout_forward`."""
    if mask is None:
        return x, None
    out = empty_like(x)
    _run_dropout(awake_pool(), x, out, drop_of(mask, x.dtype))
    return out, mask


def dropout_backward(dout: Array, cache: Mask | None) -> Array:
    """See `minidistil.ops.dropout.dropout_backward`."""
    return dropout_forward(dout, cache)[0]
