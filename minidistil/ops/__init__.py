"""The textbook: every operation of a BERT as a forward/backward pair in plain NumPy, any float dtype.

Read in this order: linear, layernorm, activations, softmax, attention, embedding, dropout,
feed_forward. This is the specification: `minidistil.kernels` offers the same names and is tested against it.

A forward returns `(out, cache)`; the backward takes the gradient of `out` and that cache. Gradients of
parameters are added to the arrays the caller passes, so tied weights and accumulation need no special
case.
"""

from minidistil.ops.activations import (
    gelu_backward,
    gelu_forward,
    gelu_tanh_backward,
    gelu_tanh_forward,
    relu_backward,
    relu_forward,
    tanh_backward,
    tanh_forward,
)
from minidistil.ops.adamw import adamw_step, global_norm
from minidistil.ops.attention import (
    attention_backward,
    attention_forward,
    attention_map_gradients,
    attention_probabilities,
    attention_scores,
)
from minidistil.ops.cls_attention import cls_attention
from minidistil.ops.dropout import Dropout, Mask, dropout_backward, dropout_forward
from minidistil.ops.embedding import embedding_backward, embedding_forward
from minidistil.ops.feed_forward import (
    feed_forward_backward,
    feed_forward_forward,
    linear_activation_backward,
    linear_activation_forward,
)
from minidistil.ops.layernorm import (
    layernorm_backward,
    layernorm_forward,
    residual_layernorm_backward,
    residual_layernorm_forward,
)
from minidistil.ops.linear import linear_backward, linear_forward, pack_weight
from minidistil.ops.linear_cross_entropy import linear_cross_entropy
from minidistil.ops.pooling import pool_backward, pool_forward
from minidistil.ops.relative_bias import relative_bias_backward, relative_bias_forward
from minidistil.ops.softmax import softmax_backward, softmax_forward

name = "numpy"

__all__ = [
    "Dropout",
    "Mask",
    "adamw_step",
    "attention_backward",
    "attention_forward",
    "attention_map_gradients",
    "attention_probabilities",
    "attention_scores",
    "cls_attention",
    "dropout_backward",
    "dropout_forward",
    "embedding_backward",
    "embedding_forward",
    "feed_forward_backward",
    "feed_forward_forward",
    "gelu_backward",
    "gelu_forward",
    "gelu_tanh_backward",
    "gelu_tanh_forward",
    "global_norm",
    "layernorm_backward",
    "layernorm_forward",
    "linear_activation_backward",
    "linear_activation_forward",
    "linear_backward",
    "linear_cross_entropy",
    "linear_forward",
    "name",
    "pack_weight",
    "pool_backward",
    "pool_forward",
    "relative_bias_backward",
    "relative_bias_forward",
    "relu_backward",
    "relu_forward",
    "residual_layernorm_backward",
    "residual_layernorm_forward",
    "softmax_backward",
    "softmax_forward",
    "tanh_backward",
    "tanh_forward",
]
