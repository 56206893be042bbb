"""Attention of the [CLS] token alone: the last layer of a model whose answer comes from it."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from minidistil.arrays import Array, IntArray
from minidistil.ops.softmax import softmax_forward


def cls_attention(
    x: Array,
    cu_seqlens: IntArray,
    weight: Array,
    bias: Array,
    num_heads: int,
    relative_bias: Array | None = None,
) -> Array:
    """Attention output of the first token of each sequence, without any other token's key or value.

    Parameters
    ----------
    x : [T, H]
        Input of the layer, before the linear layer that makes queries, keys and values.
    cu_seqlens : integers [B + 1]
        Cumulative lengths; no sequence is empty.
    weight : [3H, H]
        Of that linear layer: W_q, W_k and W_v.
    bias : [3H]
    num_heads : int
    relative_bias : [A, 2N - 1], optional
        What `attention_forward` calls the bias. Of it, the first tokens meet the distances from 0 on.

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
        scores = across @ rows.T * x.dtype.type(1 / math.sqrt(D))  # [A, H] @ [H, L] -> [A, L]
        if relative_bias is not None:
            middle = relative_bias.shape[1] // 2  # distance 0
            scores += relative_bias[:, middle : middle + len(rows)]
        p, _ = softmax_forward(scores)
        mean = (p @ rows)[:, :, None]  # [A, L] @ [L, H] -> [A, H, 1]
        out[b] = (value @ mean + value_bias).reshape(H)  # [A, D, H] @ [A, H, 1] -> [A, D, 1]
    return out
