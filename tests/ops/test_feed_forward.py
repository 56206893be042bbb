"""The feed-forward block by hand: wide, bent, and back."""

import numpy as np
from numpy.testing import assert_allclose

X = np.array([[1.0, 2]])
UP, UP_BIAS = np.array([[1.0, 1], [-1, 0], [0, 1]]), np.array([0.0, 0, -1])
DOWN, DOWN_BIAS = np.array([[1.0, 5, 0], [0, 0, 2]]), np.array([1.0, 0])


def test_by_hand(backend):
    """One token, x = (1, 2), with ReLU. Up to three numbers and down to two again:

        z = x U^T + b = (1 + 2, -1, 2 - 1) = (3, -1, 1)        w = relu(z) = (3, 0, 1)
        y = w D^T + c = (1*3 + 5*0 + 0*1 + 1, 2*1) = (4, 2)

    Backward with dy = (1, 1), in reverse: dw = dy D = (1, 5, 2). The second number was cut off, so it stops
    its gradient: dz = (1, 0, 2), and row 1 of dU is 0. dx = dz U = 1 (1, 1) + 2 (0, 1) = (1, 3).
    The matrices get the outer products dU = dz^T x and dD = dy^T w, the biases dz and dy.
    """
    out, cache = backend.feed_forward_forward(X, UP, UP_BIAS, DOWN, DOWN_BIAS, "relu")
    assert_allclose(out, [[4, 2]])
    dx, dup, dup_bias, ddown, ddown_bias = backend.feed_forward_backward(np.array([[1.0, 1]]), cache)
    assert_allclose(dx, [[1, 3]])
    assert_allclose(dup, [[1, 2], [0, 0], [2, 4]])
    assert_allclose(dup_bias, [1, 0, 2])
    assert_allclose(ddown, [[3, 0, 1], [3, 0, 1]])
    assert_allclose(ddown_bias, [1, 1])


def test_its_first_half_by_hand(backend):
    """w = relu(x U^T + b) alone, with its gradient dw = (1, 5, 2) given."""
    out, cache = backend.linear_activation_forward(X, UP, UP_BIAS, "relu")
    assert_allclose(out, [[3, 0, 1]])
    dx, dup, dup_bias = backend.linear_activation_backward(np.array([[1.0, 5, 2]]), cache)
    assert_allclose(dx, [[1, 3]])
    assert_allclose(dup, [[1, 2], [0, 0], [2, 4]])
    assert_allclose(dup_bias, [1, 0, 2])


def test_it_is_its_three_steps(backend):
    """With GELU, on more tokens than one: two linear layers and the activation between them."""
    rng = np.random.default_rng(0)
    x, up, b, down, c = (rng.normal(size=shape) for shape in ((7, 6), (10, 6), 10, (6, 10), 6))
    z, first = backend.linear_forward(x, up, b)
    w, bend = backend.gelu_forward(z)
    y, second = backend.linear_forward(w, down, c)
    dw, ddown, dc = backend.linear_backward(np.cos(y), second)
    dx, dup, db = backend.linear_backward(backend.gelu_backward(dw, bend), first)

    out, cache = backend.feed_forward_forward(x, up, b, down, c)
    assert_allclose(out, y, rtol=1e-12)
    gradients = backend.feed_forward_backward(np.cos(y), cache)
    for found, expected in zip(gradients, (dx, dup, db, ddown, dc), strict=True):
        assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
