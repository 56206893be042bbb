"""The Numba twins of `minidistil.ops`: same names, same arguments, same results, at speed.

Kernels are compiled without the GIL (`nogil`) and take a range of rows; `minidistil.threads` hands the
ranges to one pool. They are compiled on first use and cached. What is not worth a kernel, a tanh on one
vector a sequence, is the textbook's own function under the same name.
"""

from minidistil.kernels.adamw import adamw_step, global_norm
from minidistil.kernels.attention import attention_backward, attention_forward
from minidistil.kernels.embedding import embedding_backward, embedding_forward
from minidistil.kernels.first_token import first_token_attention
from minidistil.kernels.gemm import PackedWeight
from minidistil.kernels.layernorm import (
    layernorm_backward,
    layernorm_forward,
    residual_layernorm_backward,
    residual_layernorm_forward,
)
from minidistil.kernels.linear import (
    feed_forward_backward,
    feed_forward_forward,
    linear_activation_backward,
    linear_activation_forward,
    linear_backward,
    linear_forward,
)
from minidistil.kernels.pointwise import (
    gelu_backward,
    gelu_forward,
    gelu_tanh_backward,
    gelu_tanh_forward,
    relu_backward,
    relu_forward,
)
from minidistil.kernels.random import dropout_backward, dropout_forward
from minidistil.kernels.softmax import softmax_backward, softmax_forward
from minidistil.kernels.vocabulary import vocabulary_losses
from minidistil.ops.attention import attention_probabilities
from minidistil.ops.dropout import Dropout, Mask
from minidistil.ops.tanh import tanh_backward, tanh_forward

name = "numba"
pack_weight = PackedWeight

__all__ = [
    "Dropout",
    "Mask",
    "adamw_step",
    "attention_backward",
    "attention_forward",
    "attention_probabilities",
    "dropout_backward",
    "dropout_forward",
    "embedding_backward",
    "embedding_forward",
    "feed_forward_backward",
    "feed_forward_forward",
    "first_token_attention",
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
    "linear_forward",
    "name",
    "pack_weight",
    "relu_backward",
    "relu_forward",
    "residual_layernorm_backward",
    "residual_layernorm_forward",
    "softmax_backward",
    "softmax_forward",
    "tanh_backward",
    "tanh_forward",
    "vocabulary_losses",
]
