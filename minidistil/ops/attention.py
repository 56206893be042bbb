"""Multi-head self-attention (Vaswani et al. 2017, arXiv:1706.03762) over packed sequences."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import overload

import numpy as np

from minidistil.arrays import Array, IntArray
from minidistil.ops.dropout import Mask, keep_mask
from minidistil.ops.relative_bias import add_by_distance, by_distance
from minidistil.ops.softmax import softmax_backward, softmax_forward

Cache = tuple[Array, IntArray, int, Mask | None, list[Array]]


def split_heads(rows: Array, num_heads: int) -> Array:
    """[L, A * D] -> [A, L, D]."""
    return rows.reshape(len(rows), num_heads, -1).transpose(1, 0, 2)


def merge_heads(heads: Array) -> Array:
    """[A, L, D] -> [L, A * D]."""
    return heads.transpose(1, 0, 2).reshape(heads.shape[1], -1)


def attention_scores(
    qkv: Array, cu_seqlens: IntArray, num_heads: int, bias: Array | None = None
) -> list[Array]:
    """Attention scores of every sequence: q k^T / sqrt(D), and the bias if there is one.

    Returns
    -------
    list of B arrays [A, L, L]
    """
    return [scores_of(qkv[start:stop], num_heads, bias) for start, stop in pairwise(cu_seqlens)]


def scores_of(rows: Array, num_heads: int, bias: Array | None = None) -> Array:
    """Scores of one sequence, [L, 3H] -> [A, L, L]."""
    q, k, _ = (split_heads(x, num_heads) for x in np.split(rows, 3, axis=1))  # each [A, L, D]
    scores = q @ k.transpose(0, 2, 1)  # [A, L, D] @ [A, D, L] -> [A, L, L]
    scores *= scores.dtype.type(1 / math.sqrt(q.shape[-1]))
    if bias is not None:
        scores += by_distance(bias, len(rows))
    return scores


def attention_probabilities(
    qkv: Array, cu_seqlens: IntArray, num_heads: int, bias: Array | None = None
) -> list[Array]:
    """Attention probabilities of every sequence: softmax of the scores.

    Returns
    -------
    list of B arrays [A, L, L], rows summing to 1
    """
    return [softmax_forward(scores)[0] for scores in attention_scores(qkv, cu_seqlens, num_heads, bias)]


def attention_forward(
    qkv: Array,
    cu_seqlens: IntArray,
    num_heads: int,
    mask: Mask | None = None,
    bias: Array | None = None,
) -> tuple[Array, Cache]:
    """Let every token gather values from the tokens of its own sequence.

    Parameters
    ----------
    qkv : [T, 3H]
        Queries, keys and values side by side.
    cu_seqlens : integers [B + 1]
        Cumulative lengths. Sequences never see each other, and there is no padding to mask.
    num_heads : int
        A; each head has D = H / A columns.
    mask : Mask, optional
        Dropout of the probabilities.
    bias : [A, 2N - 1], optional
        A number for each head and distance, added to the scaled scores: bias[a, j - i + N - 1] for query i
        and key j. N is at least the length of the longest sequence. See `relative_bias_forward`.

    Returns
    -------
    out : [T, H]
    cache : for `attention_backward`
    """
    probabilities = attention_probabilities(qkv, cu_seqlens, num_heads, bias)
    out = np.empty((len(qkv), qkv.shape[1] // 3), qkv.dtype)
    for (start, stop), p in zip(pairwise(cu_seqlens), probabilities, strict=True):
        v = split_heads(np.split(qkv[start:stop], 3, axis=1)[2], num_heads)  # [A, L, D]
        out[start:stop] = merge_heads((p * scaled_keep_mask(mask, start, p)) @ v)  # [A, L, L] @ [A, L, D]
    return out, (qkv, cu_seqlens, num_heads, mask, probabilities)


@overload
def attention_backward(dout: Array, cache: Cache, dbias: None = None) -> Array: ...
@overload
def attention_backward(dout: Array, cache: Cache, dbias: Array) -> tuple[Array, Array]: ...
def attention_backward(
    dout: Array, cache: Cache, dbias: Array | None = None
) -> Array | tuple[Array, Array]:  # fmt: skip
    """Gradient of attention.

    Parameters
    ----------
    dout : [T, H]
    cache : from `attention_forward`
    dbias : [A, 2N - 1], optional
        The gradient of the bias is added here, if it is wanted.

    Returns
    -------
    dqkv : [T, 3H]
    dbias : that which was given, if one was

    Notes
    -----
    Forward, for one head of one sequence, b being the bias:

        S = q k^T / sqrt(D) + b[j - i],   P = softmax(S) by rows,   M = P * mask,   o = M v

    Backward, in reverse:

        dv = M^T do
        dM = do v^T,  dP = dM * mask
        dS = P * (dP - rowsum(dP * P))          (softmax_backward)
        dq = dS k / sqrt(D),  dk = dS^T q / sqrt(D)
        db[d] = the sum of dS_ij over j - i = d
    """
    qkv, cu_seqlens, num_heads, mask, probabilities = cache
    dqkv = np.empty_like(qkv)
    for (start, stop), p in zip(pairwise(cu_seqlens), probabilities, strict=True):
        q, k, v = (split_heads(x, num_heads) for x in np.split(qkv[start:stop], 3, axis=1))  # each [A, L, D]
        scale = qkv.dtype.type(1 / math.sqrt(q.shape[-1]))
        do = split_heads(dout[start:stop], num_heads)  # [A, L, D]
        factors = scaled_keep_mask(mask, start, p)  # [A, L, L] or 1
        dv = (p * factors).transpose(0, 2, 1) @ do
        dp = (do @ v.transpose(0, 2, 1)) * factors
        ds = softmax_backward(dp, p)
        if dbias is not None:
            add_by_distance(ds, dbias)
        ds *= scale
        dq = ds @ k
        dk = ds.transpose(0, 2, 1) @ q
        dqkv[start:stop] = np.concatenate([merge_heads(x) for x in (dq, dk, dv)], axis=1)
    return dqkv if dbias is None else (dqkv, dbias)


def attention_map_gradients(
    dout: Array,
    qkv: Array,
    cu_seqlens: IntArray,
    num_heads: int,
    mask: Mask | None = None,
    bias: Array | None = None,
) -> tuple[list[Array], list[Array]]:
    """Gradients inside `attention_backward`, of every sequence.

    Returns
    -------
    dscores, dprobabilities : lists of B arrays [A, L, L]
        dS and dP of `attention_backward`: at the scores, and at the probabilities before dropout.
    """
    dscores: list[Array] = []
    dprobabilities: list[Array] = []
    probabilities = attention_probabilities(qkv, cu_seqlens, num_heads, bias)
    for (start, stop), p in zip(pairwise(cu_seqlens), probabilities, strict=True):
        v = split_heads(np.split(qkv[start:stop], 3, axis=1)[2], num_heads)  # [A, L, D]
        do = split_heads(dout[start:stop], num_heads)
        dp = (do @ v.transpose(0, 2, 1)) * scaled_keep_mask(mask, start, p)
        dprobabilities.append(dp)
        dscores.append(softmax_backward(dp, p))
    return dscores, dprobabilities


def scaled_keep_mask(mask: Mask | None, start: int, p: Array) -> Array | float:
    """Factors of dropout for the probabilities [A, L, L] of the sequence at row `start`.

    The row of a query is its position, the column is the key, and each head is a plane.
    """
    if mask is None:
        return 1
    heads, length, _ = p.shape
    rows = mask._replace(
        example=mask.example[start : start + length], position=mask.position[start : start + length]
    )
    planes = np.stack([keep_mask(rows, length, plane=head) for head in range(heads)])  # [A, L, L]
    return planes * p.dtype.type(1 / (1 - mask.rate))
