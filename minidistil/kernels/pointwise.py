"""Activations: one pass over memory, forward and backward of each side by side.

A kernel works on a block of a matrix, rows [r0, r1) and columns [c0, c1), so that a matrix product can
apply it to each block of its result.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil import threads
from minidistil.kernels import scalar
from minidistil.kernels.jit import pointwise
from minidistil.kernels.parallel import run
from minidistil.kernels.workspace import empty_like
from minidistil.ops.gelu import CUBIC, SQRT_2_OVER_PI

Array = npt.NDArray[np.floating[Any]]

GRAIN = 16  # least rows of a thread's share


@pointwise
def _gelu(x: Array, out: Array, r0: int, r1: int, c0: int, c1: int) -> None:
    half, one, root = x.dtype.type(0.5), x.dtype.type(1), x.dtype.type(math.sqrt(0.5))
    for r in range(r0, r1):
        z, y = x[r, c0:c1], out[r, c0:c1]
        for c in range(z.shape[0]):
            y[c] = z[c] * (half * (one + scalar.erf(z[c] * root)))


@pointwise
def _dgelu(dout: Array, x: Array, dx: Array, r0: int, r1: int, c0: int, c1: int) -> None:
    half, one, root = x.dtype.type(0.5), x.dtype.type(1), x.dtype.type(math.sqrt(0.5))
    norm = x.dtype.type(1 / math.sqrt(2 * math.pi))
    for r in range(r0, r1):
        z, g, dz = x[r, c0:c1], dout[r, c0:c1], dx[r, c0:c1]
        for c in range(z.shape[0]):
            cdf = half * (one + scalar.erf(z[c] * root))
            dz[c] = g[c] * (cdf + z[c] * (norm * scalar.exp(-half * z[c] * z[c])))


@pointwise
def _gelu_tanh(x: Array, out: Array, r0: int, r1: int, c0: int, c1: int) -> None:
    half, one, a, b = x.dtype.type(0.5), x.dtype.type(1), x.dtype.type(SQRT_2_OVER_PI), x.dtype.type(CUBIC)
    for r in range(r0, r1):
        z, y = x[r, c0:c1], out[r, c0:c1]
        for c in range(z.shape[0]):
            y[c] = half * z[c] * (one + scalar.tanh(a * (z[c] + b * z[c] * z[c] * z[c])))


@pointwise
def _dgelu_tanh(dout: Array, x: Array, dx: Array, r0: int, r1: int, c0: int, c1: int) -> None:
    half, one, a, b = x.dtype.type(0.5), x.dtype.type(1), x.dtype.type(SQRT_2_OVER_PI), x.dtype.type(CUBIC)
    three_b = x.dtype.type(3 * CUBIC)
    for r in range(r0, r1):
        z, g, dz = x[r, c0:c1], dout[r, c0:c1], dx[r, c0:c1]
        for c in range(z.shape[0]):
            t = scalar.tanh(a * (z[c] + b * z[c] * z[c] * z[c]))
            slope = (one - t * t) * (a * (one + three_b * z[c] * z[c]))
            dz[c] = g[c] * (half * (one + t) + half * z[c] * slope)


@pointwise
def _relu(x: Array, out: Array, r0: int, r1: int, c0: int, c1: int) -> None:
    zero = x.dtype.type(0)
    for r in range(r0, r1):
        z, y = x[r, c0:c1], out[r, c0:c1]
        for c in range(z.shape[0]):
            y[c] = zero if z[c] < zero else z[c]  # NaN is not below zero, and stays


@pointwise
def _drelu(dout: Array, x: Array, dx: Array, r0: int, r1: int, c0: int, c1: int) -> None:
    for r in range(r0, r1):
        z, g, dz = x[r, c0:c1], dout[r, c0:c1], dx[r, c0:c1]
        for c in range(z.shape[0]):
            dz[c] = g[c] * x.dtype.type(z[c] > 0)


# Epilogues of a matrix product: what happens to each block of the result while it is still in cache.
NOTHING, BIAS, GELU, GELU_TANH, RELU = range(5)


@pointwise
def finish(kind: int, c: Array, bias: Array, out: Array, r0: int, r1: int, c0: int, c1: int) -> None:
    """c += bias, then out = activation(c), on rows [r0, r1) and columns [c0, c1), as far as `kind` says.

    Without activation `out` is not touched; with one it may be `c` itself.
    """
    if kind == NOTHING:
        return
    part = bias[c0:c1]
    for r in range(r0, r1):
        row = c[r, c0:c1]
        for i in range(part.shape[0]):
            row[i] += part[i]
    if kind == GELU:
        _gelu(c, out, r0, r1, c0, c1)
    elif kind == GELU_TANH:
        _gelu_tanh(c, out, r0, r1, c0, c1)
    elif kind == RELU:
        _relu(c, out, r0, r1, c0, c1)


# By the names that configurations use.
ACTIVATIONS = {"gelu": GELU, "gelu_new": GELU_TANH, "gelu_pytorch_tanh": GELU_TANH, "relu": RELU}


@pointwise
def _activate(kind: int, x: Array, out: Array, start: int, stop: int) -> None:
    if kind == GELU:
        _gelu(x, out, start, stop, 0, x.shape[1])
    elif kind == GELU_TANH:
        _gelu_tanh(x, out, start, stop, 0, x.shape[1])
    else:
        _relu(x, out, start, stop, 0, x.shape[1])


@pointwise
def _dactivate(kind: int, dout: Array, x: Array, dx: Array, start: int, stop: int) -> None:
    if kind == GELU:
        _dgelu(dout, x, dx, start, stop, 0, x.shape[1])
    elif kind == GELU_TANH:
        _dgelu_tanh(dout, x, dx, start, stop, 0, x.shape[1])
    else:
        _drelu(dout, x, dx, start, stop, 0, x.shape[1])


@pointwise
def _run_forward(pool: Any, kind: int, x: Array, out: Array) -> None:
    run(pool, _activate, (kind, x, out), x.shape[0], GRAIN)


@pointwise
def _run_backward(pool: Any, kind: int, dout: Array, x: Array, dx: Array) -> None:
    run(pool, _dactivate, (kind, dout, x, dx), x.shape[0], GRAIN)


def activation_forward(kind: int, x: Array) -> tuple[Array, Array]:
    """Apply the activation `kind` to every number of `x`; the cache is `x` itself."""
    flat = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    out = empty_like(flat)
    _run_forward(threads.pool(), kind, flat, out)
    return out.reshape(x.shape), x


def activation_backward(kind: int, dout: Array, x: Array) -> Array:
    """dout times the derivative of the activation `kind` at x."""
    x2, d2 = (np.ascontiguousarray(a).reshape(-1, a.shape[-1]) for a in (x, dout))
    dx = empty_like(x2)
    _run_backward(threads.pool(), kind, d2, x2, dx)
    return dx.reshape(x.shape)


def gelu_forward(x: Array) -> tuple[Array, Array]:
    """Exact GELU; see `minidistil.ops.gelu.gelu_forward`."""
    return activation_forward(GELU, x)


def gelu_backward(dout: Array, cache: Array) -> Array:
    """See `minidistil.ops.gelu.gelu_backward`."""
    return activation_backward(GELU, dout, cache)


def gelu_tanh_forward(x: Array) -> tuple[Array, Array]:
    """tanh form of GELU; see `minidistil.ops.gelu.gelu_tanh_forward`."""
    return activation_forward(GELU_TANH, x)


def gelu_tanh_backward(dout: Array, cache: Array) -> Array:
    """See `minidistil.ops.gelu.gelu_tanh_backward`."""
    return activation_backward(GELU_TANH, dout, cache)


def relu_forward(x: Array) -> tuple[Array, Array]:
    """See `minidistil.ops.relu.relu_forward`."""
    return activation_forward(RELU, x)


def relu_backward(dout: Array, cache: Array) -> Array:
    """See `minidistil.ops.relu.relu_backward`."""
    return activation_backward(RELU, dout, cache)
