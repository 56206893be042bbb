"""Activations: one pass over memory, forward and backward of each side by side.

They work on a row or a part of one, so that a matrix product can apply them to each block of its result. The
backward of each gives the activation again too, y = a(z): that costs a store, and nobody need keep y.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.kernels.engine import vector_math as scalar
from minidistil.kernels.engine.compile import pointwise
from minidistil.kernels.engine.parallel import run
from minidistil.kernels.engine.pool import awake_pool
from minidistil.kernels.engine.workspace import empty_like
from minidistil.ops.activations import CUBIC, SQRT_2_OVER_PI

Array = npt.NDArray[np.floating[Any]]

GRAIN = 16  # least rows of a thread's share


@pointwise
def _gelu(z: Array) -> None:
    half, root = z.dtype.type(0.5), z.dtype.type(math.sqrt(0.5))
    for c in range(z.shape[0]):
        z[c] = half * z[c] + half * z[c] * scalar.erf(z[c] * root)


@pointwise
def _dgelu(g: Array, z: Array, dz: Array, y: Array) -> None:
    half, one, root = z.dtype.type(0.5), z.dtype.type(1), z.dtype.type(math.sqrt(0.5))
    norm = z.dtype.type(1 / math.sqrt(2 * math.pi))
    for c in range(z.shape[0]):
        cdf = half * (one + scalar.erf(z[c] * root))
        dz[c] = g[c] * (cdf + z[c] * (norm * scalar.exp(-half * z[c] * z[c])))
        y[c] = z[c] * cdf


@pointwise
def _gelu_tanh(z: Array) -> None:
    half, one, a, b = z.dtype.type(0.5), z.dtype.type(1), z.dtype.type(SQRT_2_OVER_PI), z.dtype.type(CUBIC)
    for c in range(z.shape[0]):
        z[c] = half * z[c] * (one + scalar.tanh(a * (z[c] + b * z[c] * z[c] * z[c])))


@pointwise
def _dgelu_tanh(g: Array, z: Array, dz: Array, y: Array) -> None:
    half, one, a, b = z.dtype.type(0.5), z.dtype.type(1), z.dtype.type(SQRT_2_OVER_PI), z.dtype.type(CUBIC)
    three_b = z.dtype.type(3 * CUBIC)
    for c in range(z.shape[0]):
        t = scalar.tanh(a * (z[c] + b * z[c] * z[c] * z[c]))
        slope = (one - t * t) * (a * (one + three_b * z[c] * z[c]))
        dz[c] = g[c] * (half * (one + t) + half * z[c] * slope)
        y[c] = half * z[c] * (one + t)


@pointwise
def _relu(z: Array) -> None:
    zero = z.dtype.type(0)
    for c in range(z.shape[0]):
        z[c] = zero if z[c] < zero else z[c]  # NaN is not below zero, and stays


@pointwise
def _drelu(g: Array, z: Array, dz: Array, y: Array) -> None:
    zero = z.dtype.type(0)
    for c in range(z.shape[0]):
        dz[c] = g[c] * z.dtype.type(z[c] > 0)
        y[c] = zero if z[c] < zero else z[c]


# What follows a matrix product while the result is still in registers or in cache: a bias, with all but
# NOTHING, and an activation.
NOTHING, BIAS, GELU, GELU_TANH, RELU = range(5)

# By the names that configurations use.
ACTIVATIONS = {"gelu": GELU, "gelu_new": GELU_TANH, "gelu_pytorch_tanh": GELU_TANH, "relu": RELU}


@pointwise
def _activate(kind: int, z: Array) -> None:
    """z = activation(z): in place, so that the compiler sees one array and need not allow for overlap."""
    if kind == GELU:
        _gelu(z)
    elif kind == GELU_TANH:
        _gelu_tanh(z)
    elif kind == RELU:
        _relu(z)


@pointwise
def add_bias(c: Array, bias: Array, r0: int, r1: int, c0: int, c1: int) -> None:
    """c += bias on rows [r0, r1) and columns [c0, c1)."""
    part = bias[c0:c1]
    for r in range(r0, r1):
        z = c[r, c0:c1]
        for i in range(part.shape[0]):
            z[i] += part[i]


@pointwise
def activate(kind: int, c: Array, kept: Array, r0: int, r1: int, c0: int, c1: int) -> None:
    """c = activation(c) on rows [r0, r1) and columns [c0, c1), if `kind` is one.

    kept = c before that, what the backward pass needs of an activation, unless `kept` is empty.
    """
    if kind <= BIAS and not kept.size:
        return
    for r in range(r0, r1):
        z = c[r, c0:c1]
        if kept.size:
            row = kept[r, c0:c1]
            for i in range(row.shape[0]):
                row[i] = z[i]
        _activate(kind, z)


@pointwise
def _activate_rows(kind: int, x: Array, out: Array, start: int, stop: int) -> None:
    for r in range(start, stop):
        row, z = x[r], out[r]
        for c in range(row.shape[0]):
            z[c] = row[c]
        _activate(kind, z)


@pointwise
def _backward_rows(kind: int, dout: Array, x: Array, dx: Array, out: Array, start: int, stop: int) -> None:
    for r in range(start, stop):
        if kind == GELU:
            _dgelu(dout[r], x[r], dx[r], out[r])
        elif kind == GELU_TANH:
            _dgelu_tanh(dout[r], x[r], dx[r], out[r])
        else:
            _drelu(dout[r], x[r], dx[r], out[r])


@pointwise
def _run_forward(pool: Any, kind: int, x: Array, out: Array) -> None:
    run(pool, _activate_rows, (kind, x, out), x.shape[0], GRAIN)


@pointwise
def _run_backward(pool: Any, kind: int, dout: Array, x: Array, dx: Array, out: Array) -> None:
    run(pool, _backward_rows, (kind, dout, x, dx, out), x.shape[0], GRAIN)


def activation_forward(kind: int, x: Array) -> tuple[Array, Array]:
    """Apply the activation `kind` to every number of `x`; the cache is `x` itself."""
    flat = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    out = empty_like(flat)
    _run_forward(awake_pool(), kind, flat, out)
    return out.reshape(x.shape), x


def activation_backward(kind: int, dout: Array, x: Array) -> tuple[Array, Array]:
    """dout times the derivative of the activation `kind` at x; and again activation(x), nearly for free."""
    x2, d2 = (np.ascontiguousarray(a).reshape(-1, a.shape[-1]) for a in (x, dout))
    dx, out = empty_like(x2), empty_like(x2)
    _run_backward(awake_pool(), kind, d2, x2, dx, out)
    return dx.reshape(x.shape), out.reshape(x.shape)


def gelu_forward(x: Array) -> tuple[Array, Array]:
    """Exact GELU; see `minidistil.ops.activations.gelu_forward`."""
    return activation_forward(GELU, x)


def gelu_backward(dout: Array, cache: Array) -> Array:
    """See `minidistil.ops.activations.gelu_backward`."""
    return activation_backward(GELU, dout, cache)[0]


def gelu_tanh_forward(x: Array) -> tuple[Array, Array]:
    """tanh form of GELU; see `minidistil.ops.activations.gelu_tanh_forward`."""
    return activation_forward(GELU_TANH, x)


def gelu_tanh_backward(dout: Array, cache: Array) -> Array:
    """See `minidistil.ops.activations.gelu_tanh_backward`."""
    return activation_backward(GELU_TANH, dout, cache)[0]


def relu_forward(x: Array) -> tuple[Array, Array]:
    """See `minidistil.ops.activations.relu_forward`."""
    return activation_forward(RELU, x)


def relu_backward(dout: Array, cache: Array) -> Array:
    """See `minidistil.ops.activations.relu_backward`."""
    return activation_backward(RELU, dout, cache)[0]
