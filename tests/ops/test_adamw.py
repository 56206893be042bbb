"""AdamW by hand: two steps, and the norm of a gradient."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

SETTINGS = {"lr": 0.1, "beta1": 0.5, "beta2": 0.5, "eps": 1e-12, "weight_decay": 1.0}


def test_by_hand(backend):
    """p = 1 with gradients 1, then -1. lr = 0.1 and wd = 1, so each step first takes a tenth off p.

        step 1   p = 0.9          m = 1/2           v = 1/2            bc = 1 - 1/2 = 1/2
                 p = 0.9 - 0.1 (m / bc) / sqrt(v / bc) = 0.9 - 0.1 * 1 / 1 = 0.8
        step 2   p = 0.72         m = 1/4 - 1/2 = -1/4    v = 1/4 + 1/2 = 3/4    bc = 1 - 1/4 = 3/4
                 p = 0.72 - 0.1 (-1/3) / sqrt(1) = 0.72 + 1/30

    The first step is lr long, and so it would be for a gradient of a thousand. The second is a third of that:
    the gradient turned round, and m remembers the first.
    """
    p, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    backend.adamw_step(p, np.array([1.0]), m, v, step=1, **SETTINGS)
    assert_allclose([p[0], m[0], v[0]], [0.8, 0.5, 0.5], rtol=1e-11)
    backend.adamw_step(p, np.array([-1.0]), m, v, step=2, **SETTINGS)
    assert_allclose([p[0], m[0], v[0]], [0.72 + 1 / 30, -0.25, 0.75], rtol=1e-11)


def test_the_size_of_the_gradient_does_not_matter(backend):
    """It cancels in m / sqrt(v). Decay is no part of the gradient (the W), so it does not go that way."""
    p, g = np.array([1.0, 1, 1]), np.array([1000.0, 1e-3, 0])
    backend.adamw_step(p, g, np.zeros(3), np.zeros(3), step=1, **SETTINGS)
    assert_allclose(p, [0.8, 0.8, 0.9], rtol=1e-8)


def test_scale_multiplies_the_gradient(backend):
    """So clipping needs no pass of its own."""
    m, v = np.zeros(1), np.zeros(1)
    backend.adamw_step(np.ones(1), np.array([4.0]), m, v, step=1, **SETTINGS, scale=0.25)
    assert_allclose([m[0], v[0]], [0.5, 0.5])


def test_norm_by_hand(backend):
    """sqrt(3^2 + 0^2 + (-4)^2) = 5."""
    assert backend.global_norm(np.array([3.0, 0, -4])) == pytest.approx(5, rel=1e-15)
