"""Matrix products: our own kernel in float32 where it knows the processor, NumPy's BLAS everywhere else.

micro.py    the tile that stays in registers, written instruction by instruction
pack.py     both operands copied into the order in which the tile reads them
blocked.py  the loops around the tile: blocks for the caches, tickets for the threads
blas.py     the same product by BLAS
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.kernels.activations import NOTHING
from minidistil.kernels.engine.native import COLUMNS, PLAIN, TARGET
from minidistil.kernels.engine.pool import awake_pool
from minidistil.kernels.engine.workspace import empty
from minidistil.kernels.gemm import blas, blocked
from minidistil.kernels.gemm.pack import pack_panels

Array = npt.NDArray[np.floating[Any]]

_NO_BIAS = {dtype: np.zeros(0, dtype) for dtype in (np.dtype(np.float32), np.dtype(np.float64))}
_NOTHING_KEPT = {dtype: np.zeros((0, 0), dtype) for dtype in _NO_BIAS}
_NOT_PACKED = np.zeros(0, np.float32)


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
    panels : float32 or None
        None where products go to BLAS, which packs by itself.
    """

    def __init__(self, array: Array, *, transposed: bool = True) -> None:
        self.array, self.shape, self.dtype, self.transposed = array, array.shape, array.dtype, transposed
        self.panels = _pack(array, transposed) if _ours(array.dtype) else None

    def __len__(self) -> int:
        return len(self.array)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.array, dtype, copy=copy)


def _ours(dtype: np.dtype[Any]) -> bool:
    return TARGET is not PLAIN and dtype == np.float32


def _pack(b: Array, transposed: bool) -> Array:
    N, K = b.shape if transposed else b.shape[::-1]
    packed = empty((-(-N // COLUMNS) * COLUMNS * K,), np.float32)
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
    kind: int = NOTHING,
    bias: Array | None = None,
    kept: Array | None = None,
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
    kind : int
        What follows: see `minidistil.kernels.activations`.
    bias : [N], optional
    kept : [M, N], optional
        Takes A B + bias, before the activation.

    Returns
    -------
    out : [M, N]
    """
    weight = b.array if isinstance(b, PackedWeight) else b
    M, K = a.shape[::-1] if transpose_a else a.shape
    N = weight.shape[0] if transpose_b else weight.shape[1]
    out = empty((M, N), a.dtype) if out is None else out
    bias = _NO_BIAS[out.dtype] if bias is None else bias
    kept = _NOTHING_KEPT[out.dtype] if kept is None else kept
    if _ours(a.dtype) and K:
        if isinstance(b, PackedWeight) and b.transposed == transpose_b:
            panels = b.panels
        else:
            panels = _pack(weight, transpose_b) if M > blocked.DIRECT_ROWS else _NOT_PACKED
        blocked.multiply(
            awake_pool(), a, transpose_a, weight, transpose_b, panels, out, accumulate, kind, bias, kept
        )
    else:
        blas.multiply(a, transpose_a, weight, transpose_b, out, accumulate, kind, bias, kept)
    return out
