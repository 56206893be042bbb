"""Patient distillation by hand, and beside the cosine distance."""

import numpy as np
import pytest

from minidistil.errors import InputError
from minidistil.losses import cosine, pkd

rng = np.random.default_rng(0)
STUDENT, TEACHER = rng.normal(size=(4, 6)), rng.normal(size=(4, 6))


def test_by_hand():
    """s = (3, 4) is u = (3/5, 4/5), t = (2, 0) is v = (1, 0): (4 + 16) / 25 = 4/5. dL/du = (-4/5, 8/5), of
    which (-12 + 32) / 25 = 4/5 points along u. The rest, (-20 - 12, 40 - 16) / 25, is divided by 5."""
    loss = pkd(np.array([[3.0, 4.0]]), np.array([[2.0, 0.0]]))
    assert loss.sum == pytest.approx(4 / 5, rel=1e-11)
    assert loss.count == 1
    np.testing.assert_allclose(loss.grad, [[-32 / 125, 24 / 125]], rtol=1e-11)


def test_it_is_twice_the_cosine_distance():
    ours, theirs = pkd(STUDENT, TEACHER), cosine(STUDENT, TEACHER)
    assert ours.sum == pytest.approx(2 * theirs.sum, rel=1e-11)
    np.testing.assert_allclose(ours.grad, 2 * theirs.grad, rtol=1e-10, atol=1e-12)


def test_nearly_equal_vectors_keep_their_digits():
    """Directions 1e-5 apart cost 1e-10, which float32 cannot take from 1 - c."""
    loss = pkd(np.array([[1, 1e-5]], np.float32), np.array([[1, 0]], np.float32))
    assert loss.sum == pytest.approx(1e-10, rel=1e-6, abs=0)


def test_zero_vectors():
    """A zero vector stays zero: it costs 1 against any direction, 0 against another zero, and no NaN."""
    zero = np.zeros((1, 3))
    assert pkd(zero, zero).sum == 0
    np.testing.assert_array_equal(pkd(zero, zero).grad, 0)
    assert pkd(TEACHER[:1, :3], zero).sum == pytest.approx(1, rel=1e-11)
    loss = pkd(zero, TEACHER[:1, :3])
    assert loss.sum == pytest.approx(1, rel=1e-11)
    assert np.isfinite(loss.grad).all()


def test_eps_is_added_to_the_squared_lengths():
    """s = (1, 0), t = (0, 1) with eps 3: u = (1/2, 0), v = (0, 1/2). dL/du = (1, -1), dL/du.u = 1/2, and
    ((1, -1) - 1/2 (1/2, 0)) / 2 = (3/8, -1/2)."""
    loss = pkd(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), eps=3.0)
    assert loss.sum == pytest.approx(0.5)
    np.testing.assert_allclose(loss.grad, [[3 / 8, -1 / 2]])


def test_long_float32_vectors_do_not_overflow():
    x = np.full((1, 10), 1e12, np.float32)
    assert pkd(x, -x).sum == pytest.approx(4, rel=1e-6)


def test_widths_must_match():
    with pytest.raises(InputError, match=r"teacher has shape \[4, 5\], student has \[4, 6\]"):
        pkd(STUDENT, TEACHER[:, :5])
