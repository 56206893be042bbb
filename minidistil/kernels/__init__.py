"""The Numba twins of `minidistil.ops`: same files, same names, same arguments, same results, at speed.

Kernels are compiled without the GIL (`nogil`), on first use, and cached; each takes a range of rows, and
`engine.pool` hands the ranges to its threads. `gemm/` multiplies matrices, `engine/` is the machinery.

Some have no kernel, and are the textbook's own functions: `tanh` and `pool`, whose work is one vector a
sequence, `relative_bias`, a small table once a pass, and those that write maps of attention to be looked at.
`philox` is part of `dropout`.
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
from minidistil.kernels.gemm.matmul import PackedWeight
from minidistil.kernels.layernorm import (
    layernorm_backward,
    layernorm_forward,
    residual_layernorm_backward,
    residual_layernorm_forward,
)
from minidistil.kernels.linear import linear_backward, linear_forward
from minidistil.kernels.linear_cross_entropy import linear_cross_entropy
from minidistil.kernels.softmax import softmax_backward, softmax_forward
from minidistil.ops import (
    Dropout,
    Mask,
    __all__,
    attention_map_gradients,
    attention_probabilities,
    attention_scores,
    pool_backward,
    pool_forward,
    relative_bias_backward,
    relative_bias_forward,
    tanh_backward,
    tanh_forward,
)

name = "numba"
pack_weight = PackedWeight
