"""The encoder, written once over either backend: embeddings, then layers, forward above backward.

`ops` is a backend: the module `minidistil.ops` (NumPy) or `minidistil.kernels` (Numba).
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.config import ModelConfig
from minidistil.model.naming import Embeddings, Layer
from minidistil.ops.dropout import Dropout, Mask
from minidistil.packing import Batch

Array = npt.NDArray[np.floating[Any]]

# Sites where a layer drops something; with (seed, step, layer) they name a mask.
EMBEDDING_SITE, ATTENTION_SITE, ATTENTION_OUTPUT_SITE, OUTPUT_SITE, HEAD_SITE = range(5)


def token_mask(dropout: Dropout | None, rate: float, layer: int, site: int, batch: Batch) -> Mask | None:
    """The dropout mask of one site over all T tokens, or None in evaluation mode."""
    if dropout is None:
        return None
    return dropout.mask(rate, layer, site, batch.example_ids[batch.rows], batch.places)


def embeddings_forward(
    p: Embeddings, batch: Batch, config: ModelConfig, ops: ModuleType, dropout: Dropout | None
) -> tuple[Array, Any]:
    """Token ids -> vectors [T, H]: sum of three tables, layernorm, dropout."""
    x, embedding = ops.embedding_forward(
        batch.input_ids, batch.position_ids, batch.token_type_ids, p.word, p.position, p.token_type
    )
    x, norm = ops.layernorm_forward(x, p.norm_weight, p.norm_bias, config.layer_norm_eps)
    mask = token_mask(dropout, config.hidden_dropout_prob, 0, EMBEDDING_SITE, batch)
    x, drop = ops.dropout_forward(x, mask)
    return x, (embedding, norm, drop)


def embeddings_backward(dout: Array, cache: Any, g: Embeddings, ops: ModuleType) -> None:
    """Adds the gradients of the tables and of the layernorm to `g`."""
    embedding, norm, drop = cache
    dx = ops.dropout_backward(dout, drop)
    dx, _, _ = ops.layernorm_backward(dx, norm, g.norm_weight, g.norm_bias)
    ops.embedding_backward(dx, embedding, g.word, g.position, g.token_type)


def layer_forward(
    x: Array, p: Layer, batch: Batch, config: ModelConfig, ops: ModuleType, dropout: Dropout | None, i: int
) -> tuple[Array, Any]:
    """One transformer layer, layernorm after each residual (post-LN): [T, H] -> [T, H]."""
    eps = config.layer_norm_eps
    drop_attention = token_mask(dropout, config.attention_probs_dropout_prob, i, ATTENTION_SITE, batch)
    drop_projected = token_mask(
        dropout, config.attention_output_dropout_prob, i, ATTENTION_OUTPUT_SITE, batch
    )
    drop_output = token_mask(dropout, config.hidden_dropout_prob, i, OUTPUT_SITE, batch)

    qkv, c1 = ops.linear_forward(x, p.qkv_weight, p.qkv_bias)  # [T, H] -> [T, 3H]
    context, c2 = ops.attention_forward(qkv, batch.cu_seqlens, config.num_attention_heads, drop_attention)
    projected, c3 = ops.linear_forward(context, p.out_weight, p.out_bias)  # [T, H] -> [T, H]
    attended, c4 = ops.residual_layernorm_forward(
        projected, x, p.attention_norm_weight, p.attention_norm_bias, eps, drop_projected
    )
    wide, c5 = ops.linear_activation_forward(attended, p.up_weight, p.up_bias, config.hidden_act)  # -> [T, I]
    narrow, c6 = ops.linear_forward(wide, p.down_weight, p.down_bias)  # [T, I] -> [T, H]
    out, c7 = ops.residual_layernorm_forward(
        narrow, attended, p.output_norm_weight, p.output_norm_bias, eps, drop_output
    )
    return out, (c1, c2, c3, c4, c5, c6, c7)


def layer_backward(dout: Array, cache: Any, g: Layer, ops: ModuleType) -> Array:
    """The same steps in reverse. Adds parameter gradients to `g`, returns dx [T, H].

    x and `attended` are each used twice, by a sub-layer and by its residual: their gradients add. (The
    sum is in place. Without dropout the two gradients that `residual_layernorm_backward` returns are one
    array, so the first must be used up before the second is added to, as it is here.)
    """
    c1, c2, c3, c4, c5, c6, c7 = cache
    dnarrow, dattended, _, _ = ops.residual_layernorm_backward(
        dout, c7, g.output_norm_weight, g.output_norm_bias
    )
    dwide, _, _ = ops.linear_backward(dnarrow, c6, g.down_weight, g.down_bias)
    dsublayer, _, _ = ops.linear_activation_backward(dwide, c5, g.up_weight, g.up_bias)
    dattended += dsublayer
    dprojected, dx, _, _ = ops.residual_layernorm_backward(
        dattended, c4, g.attention_norm_weight, g.attention_norm_bias
    )
    dcontext, _, _ = ops.linear_backward(dprojected, c3, g.out_weight, g.out_bias)
    dqkv = ops.attention_backward(dcontext, c2)
    dsublayer, _, _ = ops.linear_backward(dqkv, c1, g.qkv_weight, g.qkv_bias)
    dx += dsublayer
    return np.asarray(dx)
