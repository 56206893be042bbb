"""Activations: GELU, exact and approximate (Hendrycks & Gimpel 2016, arXiv:1606.08415), ReLU, tanh."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from minidistil.arrays import Array

SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
CUBIC = 0.044715  # Hendrycks & Gimpel, section 2

# NumPy has no erf. One call an element is slow and plain; the kernels have a fast twin.
_erf = np.vectorize(math.erf, otypes=[np.float64])


def erf(x: Array) -> Array:
    """2/sqrt(pi) times the integral of exp(-t^2) from 0 to x, in the dtype of `x`."""
    return _erf(x).astype(x.dtype) if x.size else x.copy()


def gelu_forward(x: Array) -> tuple[Array, Array]:
    """x Phi(x), where Phi is the distribution function of the standard normal: BERT's "gelu".

    Returns
    -------
    out : like x
    cache : `x`
    """
    return x * (0.5 * (1 + erf(x / math.sqrt(2)))), x


def gelu_backward(dout: Array, cache: Array) -> Array:
    """Gradient of the exact GELU.

    Notes
    -----
    y = x Phi(x) with Phi(x) = (1 + erf(x / sqrt 2)) / 2, whose derivative is the normal density
    phi(x) = exp(-x^2 / 2) / sqrt(2 pi). The product rule gives dy/dx = Phi(x) + x phi(x).
    """
    x = cache
    cdf = 0.5 * (1 + erf(x / math.sqrt(2)))
    density = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return dout * (cdf + x * density)


def gelu_tanh_forward(x: Array) -> tuple[Array, Array]:
    """The tanh approximation of GELU: "gelu_new" and "gelu_pytorch_tanh" in configs.

    It differs from the exact form by up to 5e-4, enough to break parity: never swap one for the other.
    """
    return 0.5 * x * (1 + np.tanh(SQRT_2_OVER_PI * (x + CUBIC * x * x * x))), x


def gelu_tanh_backward(dout: Array, cache: Array) -> Array:
    """Gradient of the tanh approximation.

    Notes
    -----
    y = x (1 + t) / 2 with t = tanh(u), u = sqrt(2/pi) (x + 0.044715 x^3). Then
    dt/dx = (1 - t^2) sqrt(2/pi) (1 + 3 * 0.044715 x^2), and dy/dx = (1 + t) / 2 + x/2 dt/dx.
    """
    x = cache
    t = np.tanh(SQRT_2_OVER_PI * (x + CUBIC * x * x * x))
    dt = (1 - t * t) * (SQRT_2_OVER_PI * (1 + 3 * CUBIC * x * x))
    return dout * (0.5 * (1 + t) + 0.5 * x * dt)


def relu_forward(x: Array) -> tuple[Array, Array]:
    """max(x, 0) of every element. NaN stays NaN."""
    return np.maximum(x, 0), x


def relu_backward(dout: Array, cache: Array) -> Array:
    """Gradient of the rectifier.

    Notes
    -----
    The slope is 1 where x > 0 and 0 elsewhere, at 0 itself as in PyTorch.
    """
    return dout * (cache > 0)


def tanh_forward(x: Array) -> tuple[Array, Array]:
    """tanh of every element.

    Returns
    -------
    out : like x
    cache : `out` itself, all that the backward pass needs
    """
    out = np.tanh(x)
    return out, out


def tanh_backward(dout: Array, cache: Array) -> Array:
    """Gradient of tanh.

    Notes
    -----
    y = tanh x gives dy/dx = 1 - tanh(x)^2 = 1 - y^2.
    """
    return dout * (1 - cache * cache)


# A curve, and its gradient from what the curve kept.
Curve = tuple[Callable[[Array], tuple[Array, Any]], Callable[[Array, Any], Array]]

# By the name that config.json uses.
ACTIVATIONS: dict[str, Curve] = {
    "gelu": (gelu_forward, gelu_backward),
    "gelu_new": (gelu_tanh_forward, gelu_tanh_backward),
    "gelu_pytorch_tanh": (gelu_tanh_forward, gelu_tanh_backward),
    "relu": (relu_forward, relu_backward),
}
CURVES: dict[str, Curve] = {**ACTIVATIONS, "tanh": (tanh_forward, tanh_backward)}  # poolers have one more


def activation_of(ops: ModuleType, name: str) -> Curve:
    """The curve of that name in a backend, where both functions are called as here."""
    forward, backward = (getattr(ops, function.__name__) for function in CURVES[name])
    return forward, backward
