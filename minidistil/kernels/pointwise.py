"""Activations: one pass over memory, forward and backward of each side by side.

A kernel works on a block of a matrix, rows [r0, r1) and columns [c0, c1), so that the linear layer can
apply it to each panel of its result.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.kernels import scalar
from minidistil.kernels.jit import pointwise
from minidistil.ops.gelu import CUBIC, SQRT_2_OVER_PI
from minidistil.threads import run_rows

Array = npt.NDArray[np.floating[Any]]


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


class Activation(NamedTuple):
    """The two kernels of an activation: forward(x, out, block), backward(dout, x, dx, block)."""

    forward: Any
    backward: Any


ACTIVATIONS = {
    "gelu": Activation(_gelu, _dgelu),
    "gelu_new": Activation(_gelu_tanh, _dgelu_tanh),
    "gelu_pytorch_tanh": Activation(_gelu_tanh, _dgelu_tanh),
    "relu": Activation(_relu, _drelu),
}


def _forward(kernel: Any, x: Array) -> tuple[Array, Array]:
    flat = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    out = np.empty_like(flat)
    run_rows(lambda start, stop: kernel(flat, out, start, stop, 0, flat.shape[1]), len(flat))
    return out.reshape(x.shape), x


def _backward(kernel: Any, dout: Array, x: Array) -> Array:
    x2, d2 = (np.ascontiguousarray(a).reshape(-1, a.shape[-1]) for a in (x, dout))
    dx = np.empty_like(x2)
    run_rows(lambda start, stop: kernel(d2, x2, dx, start, stop, 0, x2.shape[1]), len(x2))
    return dx.reshape(x.shape)


def gelu_forward(x: Array) -> tuple[Array, Array]:
    """Exact GELU; see `minidistil.ops.gelu.gelu_forward`."""
    return _forward(_gelu, x)


def gelu_backward(dout: Array, cache: Array) -> Array:
    """See `minidistil.ops.gelu.gelu_backward`."""
    return _backward(_dgelu, dout, cache)


def gelu_tanh_forward(x: Array) -> tuple[Array, Array]:
    """tanh form of GELU; see `minidistil.ops.gelu.gelu_tanh_forward`."""
    return _forward(_gelu_tanh, x)


def gelu_tanh_backward(dout: Array, cache: Array) -> Array:
    """See `minidistil.ops.gelu.gelu_tanh_backward`."""
    return _backward(_dgelu_tanh, dout, cache)


def relu_forward(x: Array) -> tuple[Array, Array]:
    """See `minidistil.ops.relu.relu_forward`."""
    return _forward(_relu, x)


def relu_backward(dout: Array, cache: Array) -> Array:
    """See `minidistil.ops.relu.relu_backward`."""
    return _backward(_drelu, dout, cache)
