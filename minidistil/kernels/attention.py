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

import numba
import numpy as np
import numpy.typing as npt

from minidistil.kernels import scalar
from minidistil.kernels.random import Drop, drop_of, fill_factors
from minidistil.kernels.softmax import softmax_row
from minidistil.ops.dropout import Mask
from minidistil.threads import run_rows

Array = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
Cache = tuple[Array, IntArray, int, Mask | None, Array, Array]

FLAGS = {"contract", "reassoc", "nsz"}


@numba.njit(nogil=True, cache=True, fastmath=FLAGS)
def _transpose(rows: Array, out: Array) -> None:
    """out[d, j] = rows[j, d], for the first rows of a wider `out`."""
    for j in range(rows.shape[0]):
        for d in range(rows.shape[1]):
            out[d, j] = rows[j, d]


@numba.njit(nogil=True, cache=True, fastmath=FLAGS)
def _dot_columns(x: Array, columns: Array, scale: Any, out: Array) -> None:
    """out[j] = scale * sum_d x[d] columns[d, j]: the dot products with all keys at once."""
    for j in range(out.shape[0]):
        out[j] = 0
    for d in range(x.shape[0]):
        factor, column = x[d] * scale, columns[d]
        for j in range(out.shape[0]):
            out[j] += factor * column[j]


@numba.njit(nogil=True, cache=True, fastmath=FLAGS)
def _add_scaled(factor: Any, x: Array, out: Array) -> None:
    """out += factor x."""
    for d in range(x.shape[0]):
        out[d] += factor * x[d]


@numba.njit(nogil=True, cache=True, fastmath=FLAGS)
def _dot(x: Array, y: Array) -> Any:
    total = x.dtype.type(0)
    for d in range(x.shape[0]):
        total += x[d] * y[d]
    return total


@numba.njit(nogil=True, cache=True, fastmath=FLAGS)
def _forward(
    qkv: Array, cu: Any, heads: int, longest: int, scale: Any, out: Array, lse: Array,
    drop: Drop, start: int, stop: int,
) -> None:  # fmt: skip
    H = out.shape[1]
    D = H // heads
    one = qkv.dtype.type(1)
    columns, row_space = np.empty((D, longest), qkv.dtype), np.empty(longest, qkv.dtype)
    factors = np.empty(longest + 3, qkv.dtype)
    for job in range(start, stop):
        b, h = job // heads, job % heads
        begin, end = cu[b], cu[b + 1]
        L = end - begin
        q = qkv[begin:end, h * D : (h + 1) * D]
        k = qkv[begin:end, H + h * D : H + (h + 1) * D]
        v = qkv[begin:end, 2 * H + h * D : 2 * H + (h + 1) * D]
        o = out[begin:end, h * D : (h + 1) * D]
        keys, p = columns[:, :L], row_space[:L]
        _transpose(k, keys)
        for i in range(L):
            _dot_columns(q[i], keys, scale, p)
            lse[h, begin + i] = softmax_row(p)
            if drop.on:
                fill_factors(factors, L, drop, begin + i, h)
                for j in range(L):
                    p[j] *= factors[j]
            _dot_columns(p, v, one, o[i])  # o_i = sum_j p_j v_j


@numba.njit(nogil=True, cache=True, fastmath=FLAGS)
def _backward(
    dout: Array, qkv: Array, cu: Any, heads: int, longest: int, scale: Any, out: Array, lse: Array,
    dqkv: Array, drop: Drop, start: int, stop: int,
) -> None:  # fmt: skip
    """As in the textbook, a row of queries at a time:

    p = exp(scale q k - lse);  dv_j += p_j m_j do;  dp_j = (do . v_j) m_j
    ds = p (dp - sum p dp) scale, and sum_j p_j dp_j = do . o;  dq = ds k;  dk_j += ds_j q
    """
    H = out.shape[1]
    D = H // heads
    one = qkv.dtype.type(1)
    key_columns, value_columns = np.empty((D, longest), qkv.dtype), np.empty((D, longest), qkv.dtype)
    p_space, dp_space = np.empty(longest, qkv.dtype), np.empty(longest, qkv.dtype)
    factors = np.empty(longest + 3, qkv.dtype)
    for job in range(start, stop):
        b, h = job // heads, job % heads
        begin, end = cu[b], cu[b + 1]
        L = end - begin
        own, key, value = h * D, H + h * D, 2 * H + h * D  # where this head's columns begin
        q, dq = qkv[begin:end, own : own + D], dqkv[begin:end, own : own + D]
        k, dk = qkv[begin:end, key : key + D], dqkv[begin:end, key : key + D]
        v, dv = qkv[begin:end, value : value + D], dqkv[begin:end, value : value + D]
        o, do = out[begin:end, own : own + D], dout[begin:end, own : own + D]
        keys, values, p, dp = key_columns[:, :L], value_columns[:, :L], p_space[:L], dp_space[:L]
        _transpose(k, keys)
        _transpose(v, values)
        dk[:, :] = 0
        dv[:, :] = 0
        for i in range(L):
            _dot_columns(q[i], keys, scale, p)
            _dot_columns(do[i], values, one, dp)
            along, total = _dot(do[i], o[i]), lse[h, begin + i]
            for j in range(L):
                p[j] = scalar.exp(p[j] - total)
            if drop.on:
                fill_factors(factors, L, drop, begin + i, h)
                for j in range(L):
                    dp[j] = p[j] * (dp[j] * factors[j] - along) * scale
                    p[j] *= factors[j]
            else:
                for j in range(L):
                    dp[j] = p[j] * (dp[j] - along) * scale
            _dot_columns(dp, k, one, dq[i])  # dq_i = sum_j ds_j k_j
            for j in range(L):
                _add_scaled(dp[j], q[i], dk[j])
                _add_scaled(p[j], do[i], dv[j])


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
    longest = int(np.diff(cu).max(initial=0))
    jobs = (len(cu) - 1) * num_heads
    drop = drop_of(mask, out.dtype)
    run_rows(kernel, jobs, *inputs, cu, num_heads, longest, scale, out, *more, drop, grain=8)
