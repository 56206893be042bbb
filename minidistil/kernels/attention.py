"""Attention over packed sequences: one job for each head of each sequence.

The forward pass keeps the row sums of the softmax (as log-sum-exp), not the probabilities; the backward
pass computes those again. Inner loops run along keys or along the head's columns, in vector lanes.
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
def _scores(qkv: Array, begin: int, L: int, i: int, q0: int, scale: Any, keys: Array, row: Array) -> None:
    """row[j] = scale q_i . k_j, given the transposed keys [D, L]."""
    for j in range(L):
        row[j] = 0
    for d in range(keys.shape[0]):
        q = qkv[begin + i, q0 + d] * scale
        for j in range(L):
            row[j] += q * keys[d, j]


@numba.njit(nogil=True, cache=True, fastmath=FLAGS)
def _transpose(qkv: Array, begin: int, L: int, column: int, out: Array) -> None:
    """out[d, j] = qkv[begin + j, column + d]."""
    for d in range(out.shape[0]):
        for j in range(L):
            out[d, j] = qkv[begin + j, column + d]


@numba.njit(nogil=True, cache=True, fastmath=FLAGS)
def _forward(
    qkv: Array, cu: Any, heads: int, longest: int, scale: Any, out: Array, lse: Array,
    drop: Drop, start: int, stop: int,
) -> None:  # fmt: skip
    H = out.shape[1]
    D = H // heads
    keys, row = np.empty((D, longest), qkv.dtype), np.empty(longest, qkv.dtype)
    factors, sums = np.empty(longest + 3, qkv.dtype), np.empty(D, qkv.dtype)
    for job in range(start, stop):
        b, h = job // heads, job % heads
        begin, L = cu[b], cu[b + 1] - cu[b]
        _transpose(qkv, begin, L, H + h * D, keys)
        for i in range(L):
            t = begin + i
            _scores(qkv, begin, L, i, h * D, scale, keys, row)
            lse[h, t] = softmax_row(row, L)
            if drop.on:
                fill_factors(factors, L, drop, t, h)
                for j in range(L):
                    row[j] *= factors[j]
            for d in range(D):
                sums[d] = 0
            for j in range(L):
                p = row[j]
                for d in range(D):
                    sums[d] += p * qkv[begin + j, 2 * H + h * D + d]
            for d in range(D):
                out[t, h * D + d] = sums[d]


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
    keys, values = np.empty((D, longest), qkv.dtype), np.empty((D, longest), qkv.dtype)
    p, dp = np.empty(longest, qkv.dtype), np.empty(longest, qkv.dtype)
    factors, dq = np.empty(longest + 3, qkv.dtype), np.empty(D, qkv.dtype)
    for job in range(start, stop):
        b, h = job // heads, job % heads
        begin, L = cu[b], cu[b + 1] - cu[b]
        q0, key0, value0 = h * D, H + h * D, 2 * H + h * D
        _transpose(qkv, begin, L, key0, keys)
        _transpose(qkv, begin, L, value0, values)
        for j in range(L):
            for d in range(D):
                dqkv[begin + j, key0 + d] = 0
                dqkv[begin + j, value0 + d] = 0
        for i in range(L):
            t = begin + i
            _scores(qkv, begin, L, i, q0, scale, keys, p)
            total = lse[h, t]
            for j in range(L):
                p[j] = scalar.exp(p[j] - total)
                dp[j] = 0
            for d in range(D):
                g = dout[t, q0 + d]
                for j in range(L):
                    dp[j] += g * values[d, j]
            along = qkv.dtype.type(0)
            for d in range(D):
                along += dout[t, q0 + d] * out[t, q0 + d]
                dq[d] = 0
            if drop.on:
                fill_factors(factors, L, drop, t, h)
                for j in range(L):
                    dp[j] = p[j] * (dp[j] * factors[j] - along) * scale
                    p[j] *= factors[j]
            else:
                for j in range(L):
                    dp[j] = p[j] * (dp[j] - along) * scale
            for j in range(L):
                ds, kept = dp[j], p[j]
                for d in range(D):
                    dq[d] += ds * qkv[begin + j, key0 + d]
                    dqkv[begin + j, key0 + d] += ds * qkv[t, q0 + d]
                    dqkv[begin + j, value0 + d] += kept * dout[t, q0 + d]
            for d in range(D):
                dqkv[t, q0 + d] = dq[d]


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
