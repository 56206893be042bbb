"""GELU, its approximation, ReLU and tanh by hand, and their shapes."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

X = np.linspace(-6, 6, 121)


def test_gelu_by_hand(backend):
    """y = x Phi(x), y' = Phi(x) + x phi(x). A table of the normal distribution has Phi(1) = 0.841345 and
    phi(1) = 0.241971. So y(1) = 0.841345 and y'(1) = 1.083316. Phi(-1) = 1 - Phi(1) = 0.158655, so
    y(-1) = -0.158655 and y'(-1) = 0.158655 - 0.241971 = -0.083316: the curve falls there. At 0 it is
    0 with slope Phi(0) = 1/2.
    """
    out, cache = backend.gelu_forward(np.array([-1.0, 0, 1]))
    assert_allclose(out, [-0.158655, 0, 0.841345], atol=1e-6)
    dx = backend.gelu_backward(np.array([1.0, 10, 1]), cache)
    assert_allclose(dx, [-0.083316, 5, 1.083316], atol=1e-6)


def test_gelu_tanh_by_hand(backend):
    """At x = 1, u = sqrt(2/pi) (1 + 0.044715) = 0.833563 and t = tanh u = 0.682383, so y = (1 + t) / 2
    = 0.841192. du/dx = sqrt(2/pi) (1 + 3 * 0.044715) = 0.904916 and 1 - t^2 = 0.534353, so
    y' = 0.841192 + 1/2 * 0.534353 * 0.904916 = 1.082964. At 0, as for the exact curve, 0 and 1/2.
    """
    out, cache = backend.gelu_tanh_forward(np.array([0.0, 1]))
    assert_allclose(out, [0, 0.841192], atol=2e-6)
    assert_allclose(backend.gelu_tanh_backward(np.ones(2), cache), [0.5, 1.082964], atol=2e-6)


def test_relu_by_hand(backend):
    """Positive numbers pass with slope 1. Others are 0 and get no gradient; nor does 0 itself."""
    out, cache = backend.relu_forward(np.array([-2.0, 0, 3]))
    assert_allclose(out, [0, 0, 3])
    assert_allclose(backend.relu_backward(np.array([5.0, 5, 5]), cache), [0, 0, 5])


def test_tanh_by_hand(backend):
    """tanh(log 2) = (2 - 1/2) / (2 + 1/2) = 3/5, with slope 1 - 9/25 = 16/25."""
    out, cache = backend.tanh_forward(np.array([math.log(2), -math.log(2)]))
    assert_allclose(out, [0.6, -0.6], rtol=1e-12)
    assert_allclose(backend.tanh_backward(np.array([25.0, 50]), cache), [16, 32], rtol=1e-12)


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh"])
def test_gelu_is_x_minus_its_mirror_image(backend, name):
    """Phi(x) + Phi(-x) = 1, so y(x) - y(-x) = x, and far from 0 the curve is that of ReLU."""
    out, _ = getattr(backend, f"{name}_forward")(X)
    assert_allclose(out - out[::-1], X, atol=1e-12)
    assert_allclose(out[[0, -1]], [0, 6], atol=1e-7)


def test_the_approximation_is_near_and_not_equal(backend):
    apart = np.abs(backend.gelu_forward(X)[0] - backend.gelu_tanh_forward(X)[0])
    assert 4e-4 < apart.max() < 5e-4


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "relu", "tanh"])
def test_nan_stays_nan(backend, name):
    out, _ = getattr(backend, f"{name}_forward")(np.array([np.nan, 1.0]))
    assert np.isnan(out).tolist() == [True, False]
