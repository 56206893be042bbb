"""The product of two matrices, with what follows it; a weight that is packed beforehand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array
from minidistil.kernels.activations import NOTHING
from minidistil.kernels.engine.native import NR
from minidistil.kernels.engine.pool import awake_pool
from minidistil.kernels.engine.workspace import NO_MATRIX, NO_VECTOR, empty
from minidistil.kernels.gemm import blas, blocked
from minidistil.kernels.gemm.operands import TILED
from minidistil.kernels.gemm.pack import pack_panels


class PackedWeight:
    """A weight together with its packed form, for one that is used many times before it changes.

    The packed form does not follow changes of the weight.

    Parameters
    ----------
    array : [N, K], C-contiguous
    transposed : bool
        Packed for x W^T, as a linear layer has it; else for dy W, as its backward pass has it.

    Attributes
    ----------
    array : [N, K]
        The weight itself.
    panels : flat array, or None
        The packed form; None where products go to BLAS, which packs by itself.
    """

    def __init__(self, array: Array, *, transposed: bool = True) -> None:
        self.array, self.shape, self.dtype, self.transposed = array, array.shape, array.dtype, transposed
        self.panels = _pack(array, transposed) if array.dtype in TILED else None

    def __len__(self) -> int:
        return len(self.array)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.array, dtype, copy=copy)


def _pack(b: Array, transposed: bool) -> Array:
    N, K = b.shape if transposed else b.shape[::-1]
    packed = empty((-(-N // NR) * NR * K,), b.dtype)
    pack_panels(awake_pool(), b, transposed, packed)
    return packed


def matmul(
    a: Array,
    b: Array | PackedWeight,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    out: Array | None = None,
    accumulate: bool = False,
    epilogue: int = NOTHING,
    bias: Array | None = None,
    pre_activation: Array | None = None,
) -> Array:
    """A B, and what is to happen to each block of it while it is in cache.

    Parameters
    ----------
    a : [M, K], or [K, M] with `transpose_a`
    b : [K, N], or [N, K] with `transpose_b`
        A `PackedWeight` saves packing, if it is packed for this side.
    out : [M, N], optional
    accumulate : bool
        Add to `out`.
    epilogue : int
        Operations on the result: see `minidistil.kernels.activations`.
    bias : [N], optional
    pre_activation : [M, N], optional
        Takes A B + bias, before the activation.

    Returns
    -------
    out : [M, N]
    """
    if isinstance(b, PackedWeight):
        weight, panels = b.array, b.panels if b.transposed == transpose_b else None
    else:
        weight, panels = b, None
    M, K = a.shape[::-1] if transpose_a else a.shape
    N = weight.shape[0] if transpose_b else weight.shape[1]
    out = empty((M, N), a.dtype) if out is None else out
    bias = NO_VECTOR[out.dtype] if bias is None else bias
    pre_activation = NO_MATRIX[out.dtype] if pre_activation is None else pre_activation
    product = a, transpose_a, weight, transpose_b, out, accumulate, epilogue, bias, pre_activation
    if a.dtype not in TILED or not K:
        blas.multiply(*product)
        return out
    if panels is None:
        panels = _pack(weight, transpose_b) if M > blocked.DIRECT_ROWS else NO_VECTOR[a.dtype]
    blocked.multiply(awake_pool(), panels, *product)
    return out
