"""Softmax by hand, and what it cannot see."""

import numpy as np
from numpy.testing import assert_allclose

X = np.log([[1.0, 2, 5]])


def test_by_hand(backend):
    """x = (log 1, log 2, log 5): the exponentials 1, 2, 5 sum to 8, so p = (1/8, 2/8, 5/8).

    Backward with dp = (8, 0, 0), the mean of dp under p is 8 * 1/8 = 1, and dx = p (dp - 1) =
    (7/8, -2/8, -5/8): what the first gains the others lose.
    """
    out, cache = backend.softmax_forward(X)
    assert_allclose(out, [[1 / 8, 2 / 8, 5 / 8]])
    assert_allclose(backend.softmax_backward(np.array([[8.0, 0, 0]]), cache), [[7 / 8, -2 / 8, -5 / 8]])


def test_a_shift_of_a_row_changes_nothing(backend):
    """Not even one that is far beyond exp's range. So the gradient of a row sums to 0."""
    rng = np.random.default_rng(0)
    x, dout = rng.normal(size=(4, 6)), rng.normal(size=(4, 6))
    out, cache = backend.softmax_forward(x)
    assert_allclose(backend.softmax_forward(x + 1000)[0], out, rtol=1e-11)
    assert_allclose(backend.softmax_backward(dout, cache).sum(-1), 0, atol=1e-12)


def test_the_same_gradient_everywhere_is_none(backend):
    """p always sums to 1, so nothing can be gained everywhere. A test with ones sees no mistake."""
    _, cache = backend.softmax_forward(X)
    assert_allclose(backend.softmax_backward(np.ones((1, 3)), cache), 0, atol=1e-15)
