"""Layer normalisation, alone and fused with dropout and the residual sum: one pass over each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.kernels.jit import summing
from minidistil.kernels.random import Drop, drop_of, fill_factors
from minidistil.ops.dropout import Mask
from minidistil.threads import parallel_for, run_rows

Array = npt.NDArray[np.floating[Any]]
Cache = tuple[Array, Array, Array]

CHUNK = 64  # rows whose parameter gradients are summed together: fixed, so that bits are too


@summing
def _normalise(
    x: Array, residual: Array, has_residual: bool, weight: Array, bias: Array, eps: Any,
    out: Array, normed: Array, rstd: Array, drop: Drop, start: int, stop: int,
) -> None:  # fmt: skip
    """out = layernorm(residual + dropout(x)), keeping what the backward pass needs."""
    H = x.shape[1]
    size, one = x.dtype.type(H), x.dtype.type(1)
    factors = np.empty(H + 3, x.dtype)
    for t in range(start, stop):
        x_row, row, out_row = x[t], normed[t], out[t]
        for c in range(H):
            row[c] = x_row[c]
        if drop.on:
            fill_factors(factors, H, drop, t, 0)
            for c in range(H):
                row[c] *= factors[c]
        if has_residual:
            residual_row = residual[t]
            for c in range(H):
                row[c] += residual_row[c]
        mean = x.dtype.type(0)
        for c in range(H):
            mean += row[c]
        mean /= size
        variance = x.dtype.type(0)
        for c in range(H):
            row[c] -= mean
            variance += row[c] * row[c]
        r = one / np.sqrt(variance / size + eps)
        rstd[t] = r
        for c in range(H):
            row[c] *= r
            out_row[c] = row[c] * weight[c] + bias[c]


@summing
def _backward(
    dout: Array, normed: Array, rstd: Array, weight: Array, dsum: Array, dx: Array,
    dweight: Array, dbias: Array, drop: Drop, start: int, stop: int,
) -> None:  # fmt: skip
    """dsum = r (dn - mean(dn) - n mean(dn n)) with dn = dout w; dx = dsum through dropout."""
    H = dout.shape[1]
    size = dout.dtype.type(H)
    factors = np.empty(H + 3, dout.dtype)
    for t in range(start, stop):
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


def _run_forward(
    x: Array, residual: Array | None, weight: Array, bias: Array, eps: float, mask: Mask | None
) -> tuple[Array, Cache]:
    out, normed, rstd = np.empty_like(x), np.empty_like(x), np.empty(len(x), x.dtype)
    other = x if residual is None else residual
    results = (out, normed, rstd)
    drop = drop_of(mask, x.dtype)
    run_rows(
        _normalise, len(x), x, other, residual is not None, weight, bias, x.dtype.type(eps), *results, drop
    )
    return out, (normed, rstd, weight)


def _run_backward(
    dout: Array, cache: Cache, mask: Mask | None, dweight: Array | None, dbias: Array | None
) -> tuple[Array, Array, Array, Array]:
    normed, rstd, weight = cache
    rows, H = dout.shape
    dsum = np.empty_like(dout)
    dx = dsum if mask is None else np.empty_like(dout)
    chunks = -(-rows // CHUNK)
    parts = np.zeros((2, chunks, H), dout.dtype)
    drop = drop_of(mask, dout.dtype)

    def chunk(i: int) -> None:
        stop = min((i + 1) * CHUNK, rows)
        _backward(dout, normed, rstd, weight, dsum, dx, parts[0, i], parts[1, i], drop, i * CHUNK, stop)

    parallel_for(chunk, chunks)
    dweight = np.zeros(H, dout.dtype) if dweight is None else dweight
    dbias = np.zeros(H, dout.dtype) if dbias is None else dbias
    dweight += parts[0].sum(0)
    dbias += parts[1].sum(0)
    return dx, dsum, dweight, dbias


def layernorm_forward(x: Array, weight: Array, bias: Array, eps: float = 1e-12) -> tuple[Array, Cache]:
    """See `minidistil.ops.layernorm.layernorm_forward`."""
    return _run_forward(x, None, weight, bias, eps, None)


def layernorm_backward(
    dout: Array, cache: Cache, dweight: Array | None = None, dbias: Array | None = None
) -> tuple[Array, Array, Array]:
    """See `minidistil.ops.layernorm.layernorm_backward`."""
    dx, _, dweight, dbias = _run_backward(dout, cache, None, dweight, dbias)
    return dx, dweight, dbias


def residual_layernorm_forward(
    x: Array, residual: Array, weight: Array, bias: Array, eps: float = 1e-12, mask: Mask | None = None
) -> tuple[Array, tuple[Cache, Mask | None]]:
    """layernorm(residual + dropout(x)); see `minidistil.ops.fused.residual_layernorm_forward`."""
    out, cache = _run_forward(x, residual, weight, bias, eps, mask)
    return out, (cache, mask)


def residual_layernorm_backward(
    dout: Array, cache: tuple[Cache, Mask | None], dweight: Array | None = None, dbias: Array | None = None
) -> tuple[Array, Array, Array, Array]:
    """See `minidistil.ops.fused.residual_layernorm_backward`."""
    norm, mask = cache
    return _run_backward(dout, norm, mask, dweight, dbias)
