"""Multi-head self-attention (Vaswani et al. 2017, arXiv:1706.03762) over packed sequences."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.ops.dropout import Mask, keep
from minidistil.ops.softmax import softmax_backward, softmax_forward

Array = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
Cache = tuple[Array, IntArray, int, Mask | None, list[Array]]


def split_heads(rows: Array, num_heads: int) -> Array:
    """[L, A * D] -> [A, L, D]."""
    return rows.reshape(len(rows), num_heads, -1).transpose(1, 0, 2)


def merge_heads(heads: Array) -> Array:
    """[A, L, D] -> [L, A * D]."""
    return heads.transpose(1, 0, 2).reshape(heads.shape[1], -1)


def attention_probabilities(qkv: Array, cu_seqlens: IntArray, num_heads: int) -> list[Array]:
    """What each token looks at: for every sequence, softmax(q k^T / sqrt(D)).

    Returns
    -------
    list of B arrays [A, L, L], rows summing to 1
    """
    probabilities = []
    for start, stop in pairwise(cu_seqlens):
        q, k, _ = (split_heads(x, num_heads) for x in np.split(qkv[start:stop], 3, axis=1))  # each [A, L, D]
        scores = q @ k.transpose(0, 2, 1)  # [A, L, D] @ [A, D, L] -> [A, L, L]
        scores *= scores.dtype.type(1 / math.sqrt(q.shape[-1]))
        probabilities.append(softmax_forward(scores)[0])
    return probabilities


def first_token_attention(
    x: Array, cu_seqlens: IntArray, weight: Array, bias: Array, num_heads: int
) -> Array:
    """What the first token of each sequence gathers, without any other token's key or value.

    Parameters
    ----------
    x : [T, H]
        What goes into the layer, before the linear layer that makes queries, keys and values.
    cu_seqlens : integers [B + 1]
        Cumulative lengths; no sequence is empty.
    weight : [3H, H]
        Of that linear layer: W_q, W_k and W_v.
    bias : [3H]
    num_heads : int

    Returns
    -------
    out : [B, H]
        The rows of `attention_forward` that belong to first tokens.

    Notes
    -----
    For one head of one sequence, with the query q [D] of the first token:

        s_j = q . (W_k x_j + b_k) = (W_k^T q) . x_j + q . b_k
        o   = sum_j p_j (W_v x_j + b_v) = W_v (sum_j p_j x_j) + b_v        since the p_j sum to 1

    The softmax does not see q . b_k, which is the same for all j. So instead of multiplying all L tokens by
    two H x D matrices, one query and one mean are multiplied by them.
    """
    H = x.shape[1]
    D = H // num_heads
    query, key, value = weight.reshape(3, num_heads, D, H)
    query_bias, _, value_bias = bias.reshape(3, num_heads, D, 1)
    out = np.empty((len(cu_seqlens) - 1, H), x.dtype)
    for b, (start, stop) in enumerate(pairwise(cu_seqlens)):
        rows = x[start:stop]  # [L, H]
        q = query @ rows[0][:, None] + query_bias  # [A, D, H] @ [H, 1] -> [A, D, 1]
        across = (q.transpose(0, 2, 1) @ key)[:, 0]  # [A, 1, D] @ [A, D, H] -> [A, H]
        p, _ = softmax_forward(across @ rows.T * x.dtype.type(1 / math.sqrt(D)))  # [A, H] @ [H, L] -> [A, L]
        mean = (p @ rows)[:, :, None]  # [A, L] @ [L, H] -> [A, H, 1]
        out[b] = (value @ mean + value_bias).reshape(H)  # [A, D, H] @ [A, H, 1] -> [A, D, 1]
    return out


def attention_forward(
    qkv: Array, cu_seqlens: IntArray, num_heads: int, mask: Mask | None = None
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

    Returns
    -------
    out : [T, H]
    cache : for `attention_backward`
    """
    probabilities = attention_probabilities(qkv, cu_seqlens, num_heads)
    out = np.empty((len(qkv), qkv.shape[1] // 3), qkv.dtype)
    for start, stop, p in zip(cu_seqlens[:-1], cu_seqlens[1:], probabilities, strict=True):
        v = split_heads(np.split(qkv[start:stop], 3, axis=1)[2], num_heads)  # [A, L, D]
        out[start:stop] = merge_heads((p * kept(mask, start, p)) @ v)  # [A, L, L] @ [A, L, D]
    return out, (qkv, cu_seqlens, num_heads, mask, probabilities)


def attention_backward(dout: Array, cache: Cache) -> Array:
    """Gradient of attention.

    Returns
    -------
    dqkv : [T, 3H]

    Notes
    -----
    Forward, for one head of one sequence:

        S = q k^T / sqrt(D),   P = softmax(S) by rows,   M = P * mask,   o = M v

    Backward, in reverse:

        dv = M^T do
        dM = do v^T,  dP = dM * mask
        dS = P * (dP - rowsum(dP * P))          (softmax_backward)
        dq = dS k / sqrt(D),  dk = dS^T q / sqrt(D)
    """
    qkv, cu_seqlens, num_heads, mask, probabilities = cache
    dqkv = np.empty_like(qkv)
    for start, stop, p in zip(cu_seqlens[:-1], cu_seqlens[1:], probabilities, strict=True):
        q, k, v = (split_heads(x, num_heads) for x in np.split(qkv[start:stop], 3, axis=1))  # each [A, L, D]
        scale = qkv.dtype.type(1 / math.sqrt(q.shape[-1]))
        do = split_heads(dout[start:stop], num_heads)  # [A, L, D]
        kept_p = kept(mask, start, p)  # [A, L, L] or 1
        dv = (p * kept_p).transpose(0, 2, 1) @ do
        dp = (do @ v.transpose(0, 2, 1)) * kept_p
        ds = softmax_backward(dp, p) * scale
        dq = ds @ k
        dk = ds.transpose(0, 2, 1) @ q
        dqkv[start:stop] = np.concatenate([merge_heads(x) for x in (dq, dk, dv)], axis=1)
    return dqkv


def kept(mask: Mask | None, start: int, p: Array) -> Array | float:
    """What dropout multiplies the probabilities [A, L, L] of the sequence at row `start` by.

    The row of a query is its position, the column is the key, and each head is a plane.
    """
    if mask is None:
        return 1
    heads, length, _ = p.shape
    rows = mask._replace(
        example=mask.example[start : start + length], position=mask.position[start : start + length]
    )
    planes = np.stack([keep(rows, length, plane=head) for head in range(heads)])  # [A, L, L]
    return planes * p.dtype.type(1 / (1 - mask.rate))
