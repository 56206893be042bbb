"""Cosine distance by hand, and its geometry."""

import numpy as np
import pytest

from minidistil.errors import InputError
from minidistil.losses import cosine

rng = np.random.default_rng(0)
STUDENT, TEACHER = rng.normal(size=(4, 6)), rng.normal(size=(4, 6))


def test_by_hand():
    """s = (3, 4) has length 5, t = (1, 0) has 1, s.t = 3, so c = 3/5 and the distance is 2/5. The gradient
    is c s / 25 - t / 5 = (9/125 - 25/125, 12/125) = (-16, 12) / 125."""
    loss = cosine(np.array([[3.0, 4.0]]), np.array([[1.0, 0.0]]))
    assert loss.sum == pytest.approx(2 / 5, rel=1e-11)
    assert loss.count == 1
    np.testing.assert_allclose(loss.grad, [[-16 / 125, 12 / 125]], rtol=1e-11)


def test_same_opposite_and_right_angle():
    x = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
    y = np.array([[3.0, 6.0], [-1.0, -2.0], [-2.0, 1.0]])
    assert [cosine(x[i : i + 1], y[i : i + 1]).sum for i in range(3)] == pytest.approx([0, 2, 1], abs=1e-12)


def test_length_does_not_matter_and_the_gradient_is_orthogonal():
    plain, longer = cosine(STUDENT, TEACHER), cosine(10 * STUDENT, 3 * TEACHER)
    assert longer.sum == pytest.approx(plain.sum, rel=1e-12)
    np.testing.assert_allclose(longer.grad, plain.grad / 10, rtol=1e-10)
    np.testing.assert_allclose((plain.grad * STUDENT).sum(-1), 0, atol=1e-12)


def test_zero_vectors_give_one_and_no_nan():
    zero = np.zeros((1, 3))
    loss = cosine(zero, zero)
    assert loss.sum == 1
    np.testing.assert_array_equal(loss.grad, 0)
    assert np.isfinite(cosine(zero, np.ones((1, 3))).grad).all()


def test_long_float32_vectors_do_not_overflow():
    """Squared lengths of 1e25 are fine in float32; their product 1e50 is not."""
    x = np.full((1, 10), 1e12, np.float32)
    assert cosine(x, -x).sum == pytest.approx(2, rel=1e-6)


def test_eps_is_added_to_the_squared_lengths():
    """s = t = (1, 0) with eps 1: c = 1 / sqrt(2 * 2) = 1/2; gradient (1/2 / 2 - 1 / 2, 0) = (-1/4, 0)."""
    loss = cosine(np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]]), eps=1.0)
    assert loss.sum == pytest.approx(0.5)
    np.testing.assert_allclose(loss.grad, [[-0.25, 0]])


def test_widths_must_match():
    with pytest.raises(InputError, match=r"teacher has shape \[4, 5\], student has \[4, 6\]"):
        cosine(STUDENT, TEACHER[:, :5])
