"""Attention of the [CLS] token: the one query that a classifier needs in its last layer.

A job is one head of one sequence. What it computes is so little, four passes over a head's rows of the
weights and the sequence's vectors, that plain loops in vector lanes serve it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidistil.arrays import Array, IntArray
from minidistil.kernels.engine.compile import reassociate
from minidistil.kernels.engine.parallel import run
from minidistil.kernels.engine.pool import awake_pool
from minidistil.kernels.engine.workspace import NO_MATRIX, empty
from minidistil.kernels.gemm.matmul import PackedWeight
from minidistil.kernels.linear import linear_forward
from minidistil.kernels.softmax import softmax_row


@reassociate
def _dots(x: Array, y: Array, out: Array) -> None:
    """out[j] = x[j] . y, four rows at a time: y is read once for them. The last row fills up its four."""
    last = x.shape[0] - 1
    for j in range(0, last + 1, 4):
        x0, x1, x2, x3 = x[j], x[min(j + 1, last)], x[min(j + 2, last)], x[min(j + 3, last)]
        s0 = s1 = s2 = s3 = x.dtype.type(0)
        for i in range(y.shape[0]):
            s0 += x0[i] * y[i]
            s1 += x1[i] * y[i]
            s2 += x2[i] * y[i]
            s3 += x3[i] * y[i]
        out[min(j + 3, last)] = s3
        out[min(j + 2, last)] = s2
        out[min(j + 1, last)] = s1
        out[j] = s0


@reassociate
def _weighted_sum(x: Array, weights: Array, out: Array) -> None:
    """out = sum_j weights[j] x[j], four rows at a time: `out` is read and written once for them."""
    rows = x.shape[0]
    out[:] = 0
    for j in range(0, rows - rows % 4, 4):
        x0, x1, x2, x3 = x[j], x[j + 1], x[j + 2], x[j + 3]
        w0, w1, w2, w3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        for i in range(out.shape[0]):
            out[i] += w0 * x0[i] + w1 * x1[i] + w2 * x2[i] + w3 * x3[i]
    for j in range(rows - rows % 4, rows):
        row, weight = x[j], weights[j]
        for i in range(out.shape[0]):
            out[i] += weight * row[i]


@reassociate
def _cls_attention(
    x: Array, cu: Any, longest: int, query: Array, key: Array, value: Array, bias: Array, heads: int,
    relative_bias: Array, out: Array, start: int, stop: int,
) -> None:  # fmt: skip
    """As in the textbook: s_j = (W_k^T q) . x_j,  p = softmax(s),  o = W_v (sum_j p_j x_j) + b_v.

    A relative bias [heads, 2N - 1] is added to s_j from the middle on; it is [0, 0] if there is none.
    """
    H, S = x.shape[1], cu.shape[0] - 1
    D, biased, middle = H // heads, relative_bias.shape[0] > 0, relative_bias.shape[1] // 2
    across, mean, scores = np.empty(H, x.dtype), np.empty(H, x.dtype), np.empty(longest, x.dtype)
    for job in range(start, stop):
        h, b = job // S, job % S  # the rows of the weights that a head has serve many sequences in a row
        begin, end = cu[b], cu[b + 1]
        p = scores[: end - begin]
        columns = slice(h * D, (h + 1) * D)
        _weighted_sum(key[columns], query[b, columns], across)
        _dots(x[begin:end], across, p)
        if biased:
            for j in range(p.shape[0]):
                p[j] += relative_bias[h, middle + j]
        softmax_row(p)
        _weighted_sum(x[begin:end], p, mean)
        _dots(value[columns], mean, out[b, columns])
        out[b, columns] += bias[columns]


@reassociate
def _run_cls_attention(
    pool: Any, x: Array, cu: Any, longest: int, query: Array, key: Array, value: Array, bias: Array,
    heads: int, relative_bias: Array, out: Array,
) -> None:  # fmt: skip
    arguments = (x, cu, longest, query, key, value, bias, heads, relative_bias, out)
    run(pool, _cls_attention, arguments, heads * (cu.shape[0] - 1), 2)


def cls_attention(
    x: Array,
    cu_seqlens: IntArray,
    weight: Array | PackedWeight,
    bias: Array,
    num_heads: int,
    relative_bias: Array | None = None,
) -> Array:
    """See `minidistil.ops.cls_attention.cls_attention`."""
    H = x.shape[1]
    whole = weight.array if isinstance(weight, PackedWeight) else weight
    query, _ = linear_forward(x[cu_seqlens[:-1]], whole[:H], bias[:H])  # [B, H]
    query *= x.dtype.type(1 / math.sqrt(H // num_heads))
    out = empty((len(cu_seqlens) - 1, H), x.dtype)
    longest = int((cu_seqlens[1:] - cu_seqlens[:-1]).max(initial=0))
    _run_cls_attention(
        awake_pool(), x, cu_seqlens, longest, query, whole[H : 2 * H], whole[2 * H :], bias[2 * H :],
        num_heads, NO_MATRIX[x.dtype] if relative_bias is None else relative_bias, out,
    )  # fmt: skip
    return out
