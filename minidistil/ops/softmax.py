"""Softmax over the last axis."""

from __future__ import annotations

import numpy as np

from minidistil.arrays import Array


def softmax_forward(x: Array) -> tuple[Array, Array]:
    """exp(x) / sum exp(x) along the last axis.

    Returns
    -------
    out : like x, rows that sum to 1
    cache : `out`

    Notes
    -----
    Subtracting the row's maximum changes nothing mathematically and keeps exp from overflowing.
    """
    exp = np.exp(x - x.max(-1, keepdims=True))  # [..., C]
    out = exp / exp.sum(-1, keepdims=True)
    return out, out


def softmax_backward(dout: Array, cache: Array) -> Array:
    """Gradient of softmax.

    Notes
    -----
    p_i = e_i / sum e gives dp_i/dx_j = p_i (delta_ij - p_j), so

        dx_j = sum_i dp_i p_i (delta_ij - p_j) = p_j (dp_j - sum_i dp_i p_i)

    A constant `dout` gives zero: p always sums to 1. (So never test softmax with ones.)
    """
    p = cache
    along: Array = (dout * p).sum(-1, keepdims=True)  # [..., 1]
    return p * (dout - along)
