"""Layer normalisation (Ba, Kiros, Hinton 2016, arXiv:1607.06450)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidistil.arrays import Array
from minidistil.ops.dropout import Mask, dropout_backward, dropout_forward
from minidistil.ops.linear import add_to

Cache = tuple[Array, Array, Array]


def layernorm_forward(x: Array, weight: Array, bias: Array, eps: float = 1e-12) -> tuple[Array, Cache]:
    """Give every row mean 0 and variance 1, then scale by `weight` and shift by `bias`.

    Parameters
    ----------
    x : [T, H]
    weight, bias : [H]
        Called gamma and beta in the paper and in old checkpoints.
    eps : float
        Added to the variance. BERT uses 1e-12.

    Returns
    -------
    out : [T, H]
    cache : for `layernorm_backward`
    """
    mean = x.mean(-1, keepdims=True)  # [T, 1]
    centred = x - mean  # [T, H]
    variance = (centred * centred).mean(-1, keepdims=True)  # [T, 1], of the population: divided by H
    rstd = 1 / np.sqrt(variance + x.dtype.type(eps))  # [T, 1]
    normed = centred * rstd  # [T, H]
    return normed * weight + bias, (normed, rstd, weight)


def layernorm_backward(
    dout: Array, cache: Cache, dweight: Array | None = None, dbias: Array | None = None
) -> tuple[Array, Array, Array]:
    """Gradients of layer normalisation. Parameter gradients are added to those given.

    Returns
    -------
    dx : [T, H]
    dweight, dbias : [H]

    Notes
    -----
    Forward: n = (x - mean(x)) r with r = (var(x) + eps)^(-1/2), and y = n w + b. Within a row,

        dn_j/dx_i = r (delta_ij - 1/H - n_i n_j / H)

    The 1/H is the mean moving with x_i. The last term is the variance moving with it:
    dr/dx_i = -1/2 r^3 * 2 (x_i - mean)/H = -r^2 n_i / H, times (x_j - mean) = n_j / r.
    With dn = dy w, summing over j gives

        dx = r (dn - mean(dn) - n mean(dn n))
    """
    normed, rstd, weight = cache
    dweight = add_to(dweight, (dout * normed).sum(0))  # [T, H] -> [H]
    dbias = add_to(dbias, dout.sum(0))  # [T, H] -> [H]
    dnormed = dout * weight  # [T, H]
    along_one = dnormed.mean(-1, keepdims=True)  # [T, 1]
    along_normed = (dnormed * normed).mean(-1, keepdims=True)  # [T, 1]
    dx = rstd * (dnormed - along_one - normed * along_normed)  # [T, H]
    return dx, dweight, dbias


def residual_layernorm_forward(
    x: Array, residual: Array, weight: Array, bias: Array, eps: float = 1e-12, mask: Mask | None = None,
    *, keep_cache: bool = True,
) -> tuple[Array, Any]:  # fmt: skip
    """layernorm(residual + dropout(x)): how every sub-layer of a post-LN transformer ends.

    Parameters
    ----------
    x : [T, H]
        Output of the sub-layer.
    residual : [T, H]
        Its input.
    weight, bias : [H]
    mask : Mask, optional
        Dropout of `x`.
    keep_cache : bool
        False: there will be no backward pass.
    """
    dropped, mask = dropout_forward(x, mask)
    out, norm = layernorm_forward(residual + dropped, weight, bias, eps)
    return out, (norm, mask) if keep_cache else None


def residual_layernorm_backward(
    dout: Array,
    cache: Any,
    dweight: Array | None = None,
    dbias: Array | None = None,
) -> tuple[Array, Array, Array, Array]:
    """Gradients: the sum's gradient goes unchanged to the residual and, through dropout, to `x`.

    Returns
    -------
    dx, dresidual : [T, H]
    dweight, dbias : [H], added to those given
    """
    norm, mask = cache
    dsum, dweight, dbias = layernorm_backward(dout, norm, dweight, dbias)
    return dropout_backward(dsum, mask), dsum, dweight, dbias
