"""Layer normalisation, alone and fused with dropout and the residual sum: one pass over each row."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidistil.arrays import Array
from minidistil.kernels.dropout import Drop, drop_of, fill_factors
from minidistil.kernels.engine.compile import reassociate
from minidistil.kernels.engine.parallel import run
from minidistil.kernels.engine.pool import awake_pool
from minidistil.kernels.engine.workspace import NO_MATRIX, NO_VECTOR, empty, empty_like
from minidistil.ops.dropout import Mask

GRAIN = 16  # least rows of a thread's share
CHUNK = 64  # rows whose parameter gradients are summed together: fixed, so that bits are too


@reassociate
def _normalise(
    x: Array, residual: Array, has_residual: bool, weight: Array, bias: Array, eps: Any,
    out: Array, normed: Array, rstd: Array, drop: Drop, start: int, stop: int,
) -> None:  # fmt: skip
    """out = layernorm(residual + dropout(x)); `normed` and `rstd` are for the backward pass, if not empty."""
    H = x.shape[1]
    keep, scratch = normed.shape[0] > 0, np.empty(x.shape[1], x.dtype)
    size, one = x.dtype.type(H), x.dtype.type(1)
    factors = np.empty(H + 3, x.dtype)
    for t in range(start, stop):
        x_row, row, out_row = x[t], normed[t] if keep else scratch, out[t]
        if drop.on:
            fill_factors(factors, H, drop, t, 0)
            for c in range(H):
                row[c] = x_row[c] * factors[c]
            x_row = row
        mean, variance = x.dtype.type(0), x.dtype.type(0)
        if has_residual:
            residual_row = residual[t]
            for c in range(H):
                row[c] = x_row[c] + residual_row[c]
        else:
            for c in range(H):
                row[c] = x_row[c]
        for c in range(H):  # a loop of its own: one that stores too sums otherwise where arrays lie close
            mean += row[c]
        mean /= size
        for c in range(H):
            deviation = row[c] - mean
            variance += deviation * deviation
        r = one / np.sqrt(variance / size + eps)
        if keep:
            rstd[t] = r
        for c in range(H):
            row[c] = (row[c] - mean) * r
            out_row[c] = row[c] * weight[c] + bias[c]


@reassociate
def _backward(
    dout: Array, normed: Array, rstd: Array, weight: Array, dsum: Array, dx: Array, parts: Array, drop: Drop,
    start: int, stop: int,
) -> None:  # fmt: skip
    """dsum = r (dn - mean(dn) - n mean(dn n)) with dn = dout w; dx = dsum through dropout.

    `parts` [2, chunks, H] takes the gradients of weight and bias, summed over CHUNK rows; start and stop
    count chunks.
    """
    H = dout.shape[1]
    dweight, dbias = parts[0, 0], parts[1, 0]
    size = dout.dtype.type(H)
    factors = np.empty(H + 3, dout.dtype)
    for t in range(start * CHUNK, min(stop * CHUNK, dout.shape[0])):
        if t % CHUNK == 0:
            dweight, dbias = parts[0, t // CHUNK], parts[1, t // CHUNK]
        g, n, dsum_row, r = dout[t], normed[t], dsum[t], rstd[t]
        along_one, along_normed = dout.dtype.type(0), dout.dtype.type(0)
        for c in range(H):
            dn = g[c] * weight[c]
            along_one += dn
            along_normed += dn * n[c]
        along_one /= size
        along_normed /= size
        for c in range(H):
            dweight[c] += g[c] * n[c]
        for c in range(H):
            dbias[c] += g[c]
        for c in range(H):
            dsum_row[c] = r * (g[c] * weight[c] - along_one - n[c] * along_normed)
        if drop.on:
            fill_factors(factors, H, drop, t, 0)
            dx_row = dx[t]
            for c in range(H):
                dx_row[c] = dsum_row[c] * factors[c]


@reassociate
def _normalise_all(
    pool: Any, x: Array, residual: Array, has_residual: bool, weight: Array, bias: Array, eps: Any,
    out: Array, normed: Array, rstd: Array, drop: Drop,
) -> None:  # fmt: skip
    arguments = (x, residual, has_residual, weight, bias, eps, out, normed, rstd, drop)
    run(pool, _normalise, arguments, x.shape[0], GRAIN)


@reassociate
def _backward_all(
    pool: Any, dout: Array, normed: Array, rstd: Array, weight: Array, dsum: Array, dx: Array, parts: Array,
    drop: Drop, dweight: Array, dbias: Array,
) -> None:  # fmt: skip
    run(pool, _backward, (dout, normed, rstd, weight, dsum, dx, parts, drop), parts.shape[1], 1)
    for i in range(parts.shape[1]):
        dw, db = parts[0, i], parts[1, i]
        for c in range(dweight.shape[0]):
            dweight[c] += dw[c]
        for c in range(dbias.shape[0]):
            dbias[c] += db[c]


def layernorm_forward(x: Array, weight: Array, bias: Array, eps: float = 1e-12) -> tuple[Array, Any]:
    """See `minidistil.ops.layernorm.layernorm_forward`."""
    return residual_layernorm_forward(x, None, weight, bias, eps)


def layernorm_backward(
    dout: Array, cache: Any, dweight: Array | None = None, dbias: Array | None = None
) -> tuple[Array, Array, Array]:
    """See `minidistil.ops.layernorm.layernorm_backward`."""
    dx, _, dweight, dbias = residual_layernorm_backward(dout, cache, dweight, dbias)
    return dx, dweight, dbias


def residual_layernorm_forward(
    x: Array, residual: Array | None, weight: Array, bias: Array, eps: float = 1e-12,
    mask: Mask | None = None, *, keep_cache: bool = True,
) -> tuple[Array, Any]:  # fmt: skip
    """layernorm(residual + dropout(x)); see `minidistil.ops.layernorm.residual_layernorm_forward`."""
    dtype = x.dtype
    out, normed, rstd = empty(x.shape, dtype), NO_MATRIX[dtype], NO_VECTOR[dtype]
    if keep_cache:
        normed, rstd = empty(x.shape, dtype), empty((len(x),), dtype)
    other, has_residual = (x, False) if residual is None else (residual, True)
    scalar, drop = dtype.type(eps), drop_of(mask, dtype)
    _normalise_all(awake_pool(), x, other, has_residual, weight, bias, scalar, out, normed, rstd, drop)
    return out, (normed, rstd, weight, mask) if keep_cache else None


def residual_layernorm_backward(
    dout: Array, cache: Any, dweight: Array | None = None, dbias: Array | None = None
) -> tuple[Array, Array, Array, Array]:
    """See `minidistil.ops.layernorm.residual_layernorm_backward`."""
    normed, rstd, weight, mask = cache
    rows, H = dout.shape
    dsum = empty_like(dout)
    dx = dsum if mask is None else empty_like(dout)
    parts = np.zeros((2, max(1, -(-rows // CHUNK)), H), dout.dtype)
    dweight = np.zeros(H, dout.dtype) if dweight is None else dweight
    dbias = np.zeros(H, dout.dtype) if dbias is None else dbias
    drop = drop_of(mask, dout.dtype)
    _backward_all(awake_pool(), dout, normed, rstd, weight, dsum, dx, parts, drop, dweight, dbias)
    return dx, dsum, dweight, dbias
