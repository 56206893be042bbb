"""Layer normalisation by hand, alone and at the end of a sub-layer, and what it cannot see."""

import numpy as np
from numpy.testing import assert_allclose

from minidistil.ops import Dropout

WEIGHT, BIAS = np.array([1.0, 2, 1, 2]), np.array([0.0, 0, 1, 0])
DOUT = np.array([[8.0, 0, 0, 2]])


def test_by_hand(backend):
    """x = (1, 1, 5, 5) has mean 3 and variance 4, so r = 1/2 and n = (x - 3) r = (-1, -1, 1, 1).

    Backward, dn = dy w = (8, 0, 0, 4). Its mean is 3, and the mean of dn n = (-8, 0, 0, 4) is -1. So

        dx = r (dn - 3 - n (-1)) = 1/2 (8 - 3 - 1, 0 - 3 - 1, 0 - 3 + 1, 4 - 3 + 1) = (2, -2, -1, 1)

    and of the parameters dw = dy n and db = dy.
    """
    out, cache = backend.layernorm_forward(np.array([[1.0, 1, 5, 5]]), WEIGHT, BIAS, eps=0.0)
    assert_allclose(out, [[-1, -2, 2, 2]])
    dx, dweight, dbias = backend.layernorm_backward(DOUT, cache)
    assert_allclose(dx, [[2, -2, -1, 1]])
    assert_allclose(dweight, [-8, 0, 0, 2])
    assert_allclose(dbias, [8, 0, 0, 2])


def test_eps_is_added_to_the_variance(backend):
    """The variance 4 and eps 5 make r = 1/3."""
    out, _ = backend.layernorm_forward(np.array([[1.0, 1, 5, 5]]), np.ones(4), np.zeros(4), eps=5.0)
    assert_allclose(out, [[-2 / 3, -2 / 3, 2 / 3, 2 / 3]])


def test_shift_and_scale_of_a_row_change_nothing(backend):
    """So dx must be orthogonal to both directions: to (1, ..., 1), and to n."""
    rng = np.random.default_rng(0)
    x, weight, bias, dout = (rng.normal(size=shape) for shape in ((5, 12), 12, 12, (5, 12)))
    out, cache = backend.layernorm_forward(x, weight, bias, eps=0.0)
    assert_allclose(backend.layernorm_forward(3 * x + 7, weight, bias, eps=0.0)[0], out, rtol=1e-11)
    dx, _, _ = backend.layernorm_backward(dout, cache)
    assert_allclose(dx.sum(-1), 0, atol=1e-12)
    assert_allclose((dx * (out - bias) / weight).sum(-1), 0, atol=1e-12)


def test_residual_by_hand(backend):
    """A residual (1, 1, 1, 1) and x = (0, 0, 4, 4) sum to the row above. A sum hands its gradient to both."""
    x, residual = np.array([[0.0, 0, 4, 4]]), np.ones((1, 4))
    out, cache = backend.residual_layernorm_forward(x, residual, WEIGHT, BIAS, 0.0)
    assert_allclose(out, [[-1, -2, 2, 2]])
    dx, dresidual, dweight, dbias = backend.residual_layernorm_backward(DOUT, cache)
    assert_allclose(dx, [[2, -2, -1, 1]])
    assert_allclose(dresidual, [[2, -2, -1, 1]])
    assert_allclose(dweight, [-8, 0, 0, 2])
    assert_allclose(dbias, [8, 0, 0, 2])


def test_dropout_is_of_x_alone(backend):
    """The residual always gets through, and so does its gradient."""
    rng = np.random.default_rng(0)
    x, residual, dout = rng.normal(size=(3, 5, 8))
    mask = Dropout(0, 0).mask(0.5, 0, 0, np.arange(5), np.arange(5))
    factors, _ = backend.dropout_forward(np.ones((5, 8)), mask)
    out, cache = backend.residual_layernorm_forward(x, residual, np.ones(8), np.zeros(8), mask=mask)
    assert_allclose(out, backend.layernorm_forward(residual + x * factors, np.ones(8), np.zeros(8))[0])
    dx, dresidual, _, _ = backend.residual_layernorm_backward(dout, cache)
    assert_allclose(dx, dresidual * factors)
    assert 0 < (factors == 0).mean() < 1
