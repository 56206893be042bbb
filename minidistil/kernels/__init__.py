"""The Numba twins of `minidistil.ops`: same names, same arguments, same results, at speed.

Kernels are compiled without the GIL (`nogil`) and take a range of rows; `minidistil.threads` hands the
ranges to one pool. They are compiled on first use and cached. What is not worth a kernel, a tanh on one
vector a sequence, is the textbook's own function under the same name.
"""

from minidistil.kernels.activations import (
    gelu_backward,
    gelu_forward,
    gelu_tanh_backward,
    gelu_tanh_forward,
    relu_backward,
    relu_forward,
)
from minidistil.kernels.adamw import adamw_step, global_norm
from minidistil.kernels.attention import attention_backward, attention_forward
from minidistil.kernels.cls_attention import cls_attention
from minidistil.kernels.dropout import dropout_backward, dropout_forward
from minidistil.kernels.embedding import embedding_backward, embedding_forward
from minidistil.kernels.feed_forward import (
    feed_forward_backward,
    feed_forward_forward,
    linear_activation_backward,
    linear_activation_forward,
)
from minidistil.kernels.gemm import PackedWeight
from minidistil.kernels.layernorm import (
    layernorm_backward,
    layernorm_forward,
    residual_layernorm_backward,
    residual_layernorm_forward,
)
from minidistil.kernels.linear import linear_backward, linear_forward
from minidistil.kernels.linear_cross_entropy import linear_cross_entropy
from minidistil.kernels.softmax import softmax_backward, softmax_forward
from minidistil.ops.activations import tanh_backward, tanh_forward
from minidistil.ops.attention import attention_probabilities
from minidistil.ops.dropout import Dropout, Mask

name = "numba"
pack_weight = PackedWeight

__all__ = [
    "Dropout",
    "Mask",
    "adamw_step",
    "attention_backward",
    "attention_forward",
    "attention_probabilities",
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
    "relu_backward",
    "relu_forward",
    "residual_layernorm_backward",
    "residual_layernorm_forward",
    "softmax_backward",
    "softmax_forward",
    "tanh_backward",
    "tanh_forward",
]
