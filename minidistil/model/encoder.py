"""The encoder, written once over either backend: embeddings, then layers, forward above backward."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.model.context import ATTENTION_OUTPUT_SITE, ATTENTION_SITE, EMBEDDING_SITE, OUTPUT_SITE, Run
from minidistil.model.naming import Embeddings, Layer

Array = npt.NDArray[np.floating[Any]]


def embeddings_forward(p: Embeddings, run: Run, ids: npt.NDArray[np.integer[Any]]) -> tuple[Array, Any]:
    """Token ids, as rows of `p.word` -> vectors [T, H]: sum of three tables, layernorm, dropout."""
    batch, config, ops = run.batch, run.config, run.ops
    rows = (
        [ids, batch.position_ids] if p.token_type is None else [ids, batch.token_type_ids, batch.position_ids]
    )
    x, embedding = ops.embedding_forward(p.tables(), rows)
    x, norm = ops.layernorm_forward(x, p.norm_weight, p.norm_bias, config.layer_norm_eps)
    mask = run.token_mask(config.hidden_dropout_prob, 0, EMBEDDING_SITE)
    x, drop = ops.dropout_forward(x, mask)
    return x, (embedding, norm, drop)


def embeddings_backward(dout: Array, cache: Any, g: Embeddings, ops: ModuleType) -> None:
    """Adds the gradients of the tables and of the layernorm to `g`."""
    embedding, norm, drop = cache
    dx = ops.dropout_backward(dout, drop)
    dx, _, _ = ops.layernorm_backward(dx, norm, g.norm_weight, g.norm_bias)
    ops.embedding_backward(dx, embedding, *g.tables())


def layer_forward(x: Array, p: Layer, run: Run, i: int, *, first: bool = False) -> tuple[Array, Any]:
    """Transformer layer `i`, layernorm after each residual (post-LN): [T, H] -> [T, H].

    With `first` the output has the first token of each sequence alone, [B, H]. It attends to all others, and
    nothing else is computed of them: nearly all of the layer's arithmetic goes. There is no way back from it.
    """
    config, ops, eps, keep = run.config, run.ops, run.config.layer_norm_eps, run.learns
    drop_attention = run.token_mask(config.attention_probs_dropout_prob, i, ATTENTION_SITE)
    drop_projected = run.token_mask(config.attention_output_dropout_prob, i, ATTENTION_OUTPUT_SITE)
    drop_output = run.token_mask(config.hidden_dropout_prob, i, OUTPUT_SITE)

    cu_seqlens, heads = run.batch.cu_seqlens, config.num_attention_heads
    if first:
        context = ops.cls_attention(x, cu_seqlens, p.qkv_weight, p.qkv_bias, heads)  # [B, H]
        x, c1, c2 = x[run.batch.cls_rows], None, None
    else:
        qkv, c1 = ops.linear_forward(x, p.qkv_weight, p.qkv_bias)  # [T, H] -> [T, 3H]
        context, c2 = ops.attention_forward(qkv, cu_seqlens, heads, drop_attention)
    projected, c3 = ops.linear_forward(context, p.out_weight, p.out_bias)  # [T, H] -> [T, H]
    attended, c4 = ops.residual_layernorm_forward(
        projected, x, p.attention_norm_weight, p.attention_norm_bias, eps, drop_projected, keep_cache=keep
    )
    # [T, H] -> [T, I] -> [T, H]
    transformed, c5 = ops.feed_forward_forward(
        attended, p.up_weight, p.up_bias, p.down_weight, p.down_bias, config.hidden_act, keep_cache=keep
    )
    out, c6 = ops.residual_layernorm_forward(
        transformed, attended, p.output_norm_weight, p.output_norm_bias, eps, drop_output, keep_cache=keep
    )
    return out, (c1, c2, c3, c4, c5, c6)


def layer_backward(
    dout: Array, cache: Any, g: Layer, ops: ModuleType, dqkv_too: Array | None = None
) -> Array:
    """The same steps in reverse. Adds parameter gradients to `g`, returns dx [T, H].

    `dqkv_too` [T, 3H] is a gradient that queries, keys and values have from elsewhere: from an objective that
    compares them with a teacher's.

    x and `attended` are each used twice, by a sub-layer and by its residual: their gradients add. (The
    sum is in place. Without dropout the two gradients that `residual_layernorm_backward` returns are one
    array, so the first must be used up before the second is added to, as it is here.)
    """
    c1, c2, c3, c4, c5, c6 = cache
    dtransformed, dattended, _, _ = ops.residual_layernorm_backward(
        dout, c6, g.output_norm_weight, g.output_norm_bias
    )
    dsublayer, *_ = ops.feed_forward_backward(
        dtransformed, c5, g.up_weight, g.up_bias, g.down_weight, g.down_bias
    )
    dattended += dsublayer
    dprojected, dx, _, _ = ops.residual_layernorm_backward(
        dattended, c4, g.attention_norm_weight, g.attention_norm_bias
    )
    dcontext, _, _ = ops.linear_backward(dprojected, c3, g.out_weight, g.out_bias)
    dqkv = ops.attention_backward(dcontext, c2)
    if dqkv_too is not None:
        dqkv += dqkv_too
    dsublayer, _, _ = ops.linear_backward(dqkv, c1, g.qkv_weight, g.qkv_bias)
    dx += dsublayer
    return np.asarray(dx)
