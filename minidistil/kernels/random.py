"""Philox in the loop: dropout factors of one row, the same bits as `minidistil.ops.dropout.keep`."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from minidistil.ops import rng
from minidistil.ops.dropout import Mask, threshold
from minidistil.threads import run_rows

Array = npt.NDArray[np.floating[Any]]

M0, M1, LOW, WORD = rng.M0, rng.M1, rng.LOW, np.uint64(32)
W0, W1 = np.uint64(rng.W0), np.uint64(rng.W1)
ROUNDS = rng.ROUNDS


@numba.njit(nogil=True, cache=True)
def fill_factors(
    factors: Array,
    columns: int,
    position: int,
    example: int,
    plane: int,
    k0: Any,
    k1: Any,
    limit: Any,
    scale: Any,
) -> None:
    """factors[c] = `scale` where column c of this row survives, 0 where it is dropped.

    All words are uint64 that hold 32 bits, so that a product keeps its high half; the loop over counters
    has no branch and runs in vector lanes.
    """
    n = (columns + 3) // 4
    zero = factors.dtype.type(0)
    for i in range(n):
        x0, x1 = np.uint64(i), np.uint64(position) & LOW
        x2, x3 = np.uint64(example) & LOW, np.uint64(plane)
        a, b = k0, k1
        for _ in range(ROUNDS):
            p0, p1 = M0 * x0, M1 * x2
            x0, x1, x2, x3 = (p1 >> WORD) ^ x1 ^ a, p1 & LOW, (p0 >> WORD) ^ x3 ^ b, p0 & LOW
            a, b = (a + W0) & LOW, (b + W1) & LOW
        factors[i] = scale if x0 >= limit else zero
        factors[n + i] = scale if x1 >= limit else zero
        factors[2 * n + i] = scale if x2 >= limit else zero
        factors[3 * n + i] = scale if x3 >= limit else zero


def mask_arguments(mask: Mask | None, rows: int, dtype: Any) -> tuple[Any, ...]:
    """A mask as kernels take it: (on, position, example, key word 0, key word 1, limit, scale)."""
    if mask is None:
        none = np.zeros(1, np.int64)
        return False, none, none, np.uint64(0), np.uint64(0), np.uint64(0), dtype.type(1)
    return (
        True,
        np.asarray(mask.position, np.int64),
        np.asarray(mask.example, np.int64),
        np.uint64(mask.key[0]),
        np.uint64(mask.key[1]),
        np.uint64(threshold(mask.rate)),
        dtype.type(1 / (1 - mask.rate)),
    )


@numba.njit(nogil=True, cache=True)
def _dropout(
    x: Array,
    out: Array,
    position: Any,
    example: Any,
    k0: Any,
    k1: Any,
    limit: Any,
    scale: Any,
    start: int,
    stop: int,
) -> None:
    columns = x.shape[1]
    factors = np.empty(columns + 4, x.dtype)
    for t in range(start, stop):
        fill_factors(factors, columns, position[t], example[t], 0, k0, k1, limit, scale)
        for c in range(columns):
            out[t, c] = x[t, c] * factors[c]


def dropout_forward(x: Array, mask: Mask | None) -> tuple[Array, Mask | None]:
    """See `minidistil.ops.dropout.dropout_forward`."""
    if mask is None:
        return x, None
    out = np.empty_like(x)
    run_rows(_dropout, len(x), x, out, *mask_arguments(mask, len(x), x.dtype)[1:])
    return out, mask


def dropout_backward(dout: Array, cache: Mask | None) -> Array:
    """See `minidistil.ops.dropout.dropout_backward`."""
    return dropout_forward(dout, cache)[0]
