"""Attention over packed sequences: one job for each head of each sequence.

The forward pass keeps the row sums of the softmax (as log-sum-exp), not the probabilities; the backward
pass computes those again. Inner loops run along keys or along the head's columns, in vector lanes.

Two habits of every kernel here keep the loops in vector lanes and the bits fixed. Loops run over views
that start at 0: an index that might be negative for all the compiler knows becomes a gather. And a loop
that sums never stores to an array: where the compiler cannot tell two arrays apart it decides by their
addresses, at run time, between a vector and a scalar loop, which would sum in another order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.kernels import scalar
from minidistil.kernels.jit import summing
from minidistil.kernels.random import Drop, drop_of, fill_factors
from minidistil.kernels.softmax import softmax_row
from minidistil.ops.dropout import Mask
from minidistil.threads import run_rows

Array = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
Cache = tuple[Array, IntArray, int, Mask | None, Array, Array]

LANES = 16  # rows of scores are computed up to a multiple of this: a rest of 15 would cost like 240


@summing
def _head(x: Array, begin: int, end: int, column: int, D: int) -> Array:
    """A copy of one head's columns of one sequence: [L, D], contiguous."""
    out = np.empty((end - begin, D), x.dtype)
    for i in range(out.shape[0]):
        row = x[begin + i, column : column + D]
        for d in range(D):
            out[i, d] = row[d]
    return out


@summing
def _put_head(head: Array, begin: int, column: int, out: Array) -> None:
    """Write [L, D] back to where `_head` took it from."""
    for i in range(head.shape[0]):
        row = out[begin + i, column : column + head.shape[1]]
        for d in range(head.shape[1]):
            row[d] = head[i, d]


@summing
def _transposed(head: Array) -> Array:
    """[L, D] -> [D, P], where P is L up to a multiple of LANES, the columns that are left being 0."""
    L, D = head.shape
    out = np.zeros((D, (L + LANES - 1) // LANES * LANES), head.dtype)
    for i in range(L):
        for d in range(D):
            out[d, i] = head[i, d]
    return out


@summing
def _times_matrix(x: Array, matrix: Array, scale: Any, out: Array) -> None:
    """out[c] = scale * sum_r x[r] matrix[r, c]: one row of a matrix product, its columns in lanes."""
    for c in range(matrix.shape[1]):
        out[c] = 0
    for r in range(matrix.shape[0]):
        factor = x[r] * scale
        for c in range(matrix.shape[1]):
            out[c] += factor * matrix[r, c]


@summing
def _add_outer(x: Array, y: Array, out: Array) -> None:
    """out[r, c] += x[r] y[c]."""
    for r in range(out.shape[0]):
        factor = x[r]
        for c in range(out.shape[1]):
            out[r, c] += factor * y[c]


@summing
def _dot(x: Array, y: Array) -> Any:
    total = x.dtype.type(0)
    for c in range(x.shape[0]):
        total += x[c] * y[c]
    return total


@summing
def _forward(
    qkv: Array, cu: Any, heads: int, scale: Any, out: Array, lse: Array, drop: Drop, start: int, stop: int
) -> None:
    H = out.shape[1]
    D = H // heads
    one = qkv.dtype.type(1)
    for job in range(start, stop):
        b, h = job // heads, job % heads
        begin, end = cu[b], cu[b + 1]
        L = end - begin
        q, v = _head(qkv, begin, end, h * D, D), _head(qkv, begin, end, 2 * H + h * D, D)
        keys = _transposed(_head(qkv, begin, end, H + h * D, D))
        o, p, factors = (
            np.empty((L, D), qkv.dtype),
            np.empty(keys.shape[1], qkv.dtype),
            np.empty(L + 3, qkv.dtype),
        )
        for i in range(L):
            _times_matrix(q[i], keys, scale, p)
            lse[h, begin + i] = softmax_row(p[:L])
            if drop.on:
                fill_factors(factors, L, drop, begin + i, h)
                for j in range(L):
                    p[j] *= factors[j]
            _times_matrix(p, v, one, o[i])  # o_i = sum_j p_j v_j
        _put_head(o, begin, h * D, out)


@summing
def _backward(
    dout: Array, qkv: Array, cu: Any, heads: int, scale: Any, out: Array, lse: Array, dqkv: Array, drop: Drop,
    start: int, stop: int,
) -> None:  # fmt: skip
    """As in the textbook, a row of queries at a time:

    p = exp(scale q k - lse);  dv_j += p_j m_j do;  dp_j = (do . v_j) m_j
    ds = p (dp - sum p dp) scale, and sum_j p_j dp_j = do . o;  dq = ds k;  dk_j += ds_j q
    """
    H = out.shape[1]
    D = H // heads
    one = qkv.dtype.type(1)
    for job in range(start, stop):
        b, h = job // heads, job % heads
        begin, end = cu[b], cu[b + 1]
        L = end - begin
        q, k = _head(qkv, begin, end, h * D, D), _head(qkv, begin, end, H + h * D, D)
        o, do = _head(out, begin, end, h * D, D), _head(dout, begin, end, h * D, D)
        keys, values = _transposed(k), _transposed(_head(qkv, begin, end, 2 * H + h * D, D))
        dq, dk, dv = np.empty((L, D), qkv.dtype), np.zeros((L, D), qkv.dtype), np.zeros((L, D), qkv.dtype)
        p, ds, factors = (
            np.empty(keys.shape[1], qkv.dtype),
            np.empty(keys.shape[1], qkv.dtype),
            np.empty(L + 3, qkv.dtype),
        )
        for i in range(L):
            _times_matrix(q[i], keys, scale, p)
            _times_matrix(do[i], values, one, ds)
            along, total = _dot(do[i], o[i]), lse[h, begin + i]
            for j in range(L):
                p[j] = scalar.exp(p[j] - total)
            if drop.on:
                fill_factors(factors, L, drop, begin + i, h)
                for j in range(L):
                    ds[j] = p[j] * (ds[j] * factors[j] - along) * scale
                    p[j] *= factors[j]
            else:
                for j in range(L):
                    ds[j] = p[j] * (ds[j] - along) * scale
            _times_matrix(ds, k, one, dq[i])  # dq_i = sum_j ds_j k_j
            _add_outer(ds, q[i], dk)
            _add_outer(p, do[i], dv)
        _put_head(dq, begin, h * D, dqkv)
        _put_head(dk, begin, H + h * D, dqkv)
        _put_head(dv, begin, 2 * H + h * D, dqkv)


def attention_forward(
    qkv: Array, cu_seqlens: IntArray, num_heads: int, mask: Mask | None = None
) -> tuple[Array, Cache]:
    """See `minidistil.ops.attention.attention_forward`."""
    tokens, H = len(qkv), qkv.shape[1] // 3
    out, lse = np.empty((tokens, H), qkv.dtype), np.empty((num_heads, tokens), qkv.dtype)
    _run(_forward, (qkv,), cu_seqlens, num_heads, mask, out, lse)
    return out, (qkv, cu_seqlens, num_heads, mask, out, lse)


def attention_backward(dout: Array, cache: Cache) -> Array:
    """See `minidistil.ops.attention.attention_backward`."""
    qkv, cu_seqlens, num_heads, mask, out, lse = cache
    dqkv = np.empty_like(qkv)
    _run(_backward, (dout, qkv), cu_seqlens, num_heads, mask, out, lse, dqkv)
    return dqkv


def _run(
    kernel: Any,
    inputs: tuple[Array, ...],
    cu: IntArray,
    num_heads: int,
    mask: Mask | None,
    out: Array,
    *more: Array,
) -> None:
    """One job for each head of each sequence; a thread takes at least eight heads of average length."""
    scale = out.dtype.type(1 / math.sqrt(out.shape[1] // num_heads))
    jobs = (len(cu) - 1) * num_heads
    drop = drop_of(mask, out.dtype)
    run_rows(kernel, jobs, *inputs, cu, num_heads, scale, out, *more, drop, grain=8)
