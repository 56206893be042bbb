"""Activations: one pass over memory, forward and backward of each side by side.

They work on a row or a part of one, so that a matrix product can apply them to each block of its result. The
backward of each also returns y = a(z), for the price of a store, so that y need not be kept.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidistil.arrays import Array
from minidistil.kernels.engine import vector_math
from minidistil.kernels.engine.compile import contract
from minidistil.kernels.engine.parallel import run
from minidistil.kernels.engine.pool import awake_pool
from minidistil.kernels.engine.workspace import empty_like
from minidistil.ops.activations import CUBIC, SQRT_2_OVER_PI

GRAIN = 16  # least rows of a thread's share


@contract
def _gelu(z: Array) -> None:
    half, root = z.dtype.type(0.5), z.dtype.type(math.sqrt(0.5))
    for c in range(z.shape[0]):
        z[c] = half * z[c] + half * z[c] * vector_math.erf(z[c] * root)


@contract
def _dgelu(g: Array, z: Array, dz: Array, y: Array) -> None:
    half, one, root = z.dtype.type(0.5), z.dtype.type(1), z.dtype.type(math.sqrt(0.5))
    norm = z.dtype.type(1 / math.sqrt(2 * math.pi))
    for c in range(z.shape[0]):
        cdf = half * (one + vector_math.erf(z[c] * root))
        dz[c] = g[c] * (cdf + z[c] * (norm * vector_math.exp(-half * z[c] * z[c])))
        y[c] = z[c] * cdf


@contract
def _gelu_tanh(z: Array) -> None:
    half, one, a, b = z.dtype.type(0.5), z.dtype.type(1), z.dtype.type(SQRT_2_OVER_PI), z.dtype.type(CUBIC)
    for c in range(z.shape[0]):
        z[c] = half * z[c] * (one + vector_math.tanh(a * (z[c] + b * z[c] * z[c] * z[c])))


@contract
def _dgelu_tanh(g: Array, z: Array, dz: Array, y: Array) -> None:
    half, one, a, b = z.dtype.type(0.5), z.dtype.type(1), z.dtype.type(SQRT_2_OVER_PI), z.dtype.type(CUBIC)
    three_b = z.dtype.type(3 * CUBIC)
    for c in range(z.shape[0]):
        t = vector_math.tanh(a * (z[c] + b * z[c] * z[c] * z[c]))
        slope = (one - t * t) * (a * (one + three_b * z[c] * z[c]))
        dz[c] = g[c] * (half * (one + t) + half * z[c] * slope)
        y[c] = half * z[c] * (one + t)


@contract
def _relu(z: Array) -> None:
    zero = z.dtype.type(0)
    for c in range(z.shape[0]):
        z[c] = zero if z[c] < zero else z[c]  # NaN is not below zero, and stays


@contract
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


@contract
def _activate(activation: int, z: Array) -> None:
    """z = activation(z): in place, so that the compiler sees one array and need not allow for overlap."""
    if activation == GELU:
        _gelu(z)
    elif activation == GELU_TANH:
        _gelu_tanh(z)
    elif activation == RELU:
        _relu(z)


@contract
def add_bias(c: Array, bias: Array, r0: int, r1: int, c0: int, c1: int) -> None:
    """c += bias on rows [r0, r1) and columns [c0, c1)."""
    part = bias[c0:c1]
    for r in range(r0, r1):
        z = c[r, c0:c1]
        for i in range(part.shape[0]):
            z[i] += part[i]


@contract
def activate(activation: int, c: Array, pre_activation: Array, r0: int, r1: int, c0: int, c1: int) -> None:
    """c = activation(c) on rows [r0, r1) and columns [c0, c1), if `activation` is one.

    `pre_activation` takes c before that, which the backward pass needs, unless it is empty.
    """
    if activation <= BIAS and not pre_activation.size:
        return
    for r in range(r0, r1):
        z = c[r, c0:c1]
        if pre_activation.size:
            row = pre_activation[r, c0:c1]
            for i in range(row.shape[0]):
                row[i] = z[i]
        _activate(activation, z)


@contract
def _activate_rows(activation: int, x: Array, out: Array, start: int, stop: int) -> None:
    for r in range(start, stop):
        row, z = x[r], out[r]
        for c in range(row.shape[0]):
            z[c] = row[c]
        _activate(activation, z)


@contract
def _backward_rows(
    activation: int, dout: Array, x: Array, dx: Array, out: Array, start: int, stop: int
) -> None:
    for r in range(start, stop):
        if activation == GELU:
            _dgelu(dout[r], x[r], dx[r], out[r])
        elif activation == GELU_TANH:
            _dgelu_tanh(dout[r], x[r], dx[r], out[r])
        else:
            _drelu(dout[r], x[r], dx[r], out[r])


@contract
def _run_forward(pool: Any, activation: int, x: Array, out: Array) -> None:
    run(pool, _activate_rows, (activation, x, out), x.shape[0], GRAIN)


@contract
def _run_backward(pool: Any, activation: int, dout: Array, x: Array, dx: Array, out: Array) -> None:
    run(pool, _backward_rows, (activation, dout, x, dx, out), x.shape[0], GRAIN)


def activation_forward(activation: int, x: Array) -> tuple[Array, Array]:
    """Apply an activation to every number of `x`; the cache is `x` itself."""
    flat = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    out = empty_like(flat)
    _run_forward(awake_pool(), activation, flat, out)
    return out.reshape(x.shape), x


def activation_backward(activation: int, dout: Array, x: Array) -> tuple[Array, Array]:
    """dout times the activation's derivative at x; and again activation(x), nearly for free."""
    x2, d2 = (np.ascontiguousarray(a).reshape(-1, a.shape[-1]) for a in (x, dout))
    dx, out = empty_like(x2), empty_like(x2)
    _run_backward(awake_pool(), activation, d2, x2, dx, out)
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
