"""The linear layer and its fusions: bias and activation are applied to each panel as it leaves BLAS."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.kernels.jit import exact
from minidistil.kernels.matmul import matmul
from minidistil.kernels.pointwise import ACTIVATIONS
from minidistil.threads import run_rows

Array = npt.NDArray[np.floating[Any]]
Cache = tuple[Array, Array]


@exact
def _add_bias(y: Array, bias: Array, r0: int, r1: int, c0: int, c1: int) -> None:
    part = bias[c0:c1]
    for r in range(r0, r1):
        row = y[r, c0:c1]
        for c in range(part.shape[0]):
            row[c] += part[c]


@exact
def _add_column_sums(x: Array, total: Array, start: int, stop: int) -> None:
    """total[c] += sum_t x[t, c], rows in order, whoever takes which columns."""
    sums, part = np.zeros(stop - start, x.dtype), total[start:stop]
    for t in range(x.shape[0]):
        row = x[t, start:stop]
        for c in range(sums.shape[0]):
            sums[c] += row[c]
    for c in range(sums.shape[0]):
        part[c] += sums[c]


def linear_forward(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Cache]:
    """x W^T + b; see `minidistil.ops.linear.linear_forward`."""
    out = np.empty((len(x), len(weight)), x.dtype)
    if bias is None:
        matmul(x, weight.T, out)
    else:
        matmul(x, weight.T, out, lambda *panel: _add_bias(out, bias, *panel))
    return out, (x, weight)


def linear_backward(
    dout: Array, cache: Cache, dweight: Array | None = None, dbias: Array | None = None
) -> tuple[Array, Array, Array]:
    """Gradients of the linear layer; see `minidistil.ops.linear.linear_backward`."""
    x, weight = cache
    dx = matmul(dout, weight)  # [T, O] @ [O, I] -> [T, I]
    if dweight is None:
        dweight = matmul(dout.T, x)  # [O, T] @ [T, I] -> [O, I]
    else:
        total, part = dweight, np.empty_like(dweight)

        def add(r0: int, r1: int, c0: int, c1: int) -> None:
            total[r0:r1, c0:c1] += part[r0:r1, c0:c1]

        matmul(dout.T, x, part, add)
    dbias = np.zeros(dout.shape[1], dout.dtype) if dbias is None else dbias
    run_rows(_add_column_sums, dout.shape[1], dout, dbias, grain=128)
    return dx, dweight, dbias


def linear_activation_forward(
    x: Array, weight: Array, bias: Array, activation: str = "gelu"
) -> tuple[Array, tuple[Cache, Array, str]]:
    """activation(x W^T + b); see `minidistil.ops.fused.linear_activation_forward`."""
    y = np.empty((len(x), len(weight)), x.dtype)
    out = np.empty_like(y)
    forward = ACTIVATIONS[activation].forward
    matmul(x, weight.T, y, lambda *panel: (_add_bias(y, bias, *panel), forward(y, out, *panel)))
    return out, ((x, weight), y, activation)


def linear_activation_backward(
    dout: Array, cache: tuple[Cache, Array, str], dweight: Array | None = None, dbias: Array | None = None
) -> tuple[Array, Array, Array]:
    """Gradients; see `minidistil.ops.fused.linear_activation_backward`."""
    linear, y, activation = cache
    dy = np.empty_like(y)
    backward = ACTIVATIONS[activation].backward
    run_rows(lambda start, stop: backward(dout, y, dy, start, stop, 0, y.shape[1]), len(y))
    return linear_backward(dy, linear, dweight, dbias)
