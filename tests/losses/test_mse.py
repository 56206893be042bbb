"""Mean squared error by hand, and its convention."""

import numpy as np
import pytest

from minidistil.errors import InputError
from minidistil.losses import mean_squared_error


def test_by_hand():
    """Differences (1, -2) and (0, 3): means of squares 5/2 and 9/2. Gradient 2/2 times the difference."""
    loss = mean_squared_error(np.array([[2.0, 0.0], [1.0, 4.0]]), np.array([[1.0, 2.0], [1.0, 1.0]]))
    assert (loss.sum, loss.count, loss.mean) == (7.0, 2, 3.5)
    np.testing.assert_array_equal(loss.grad, [[1, -2], [0, 3]])


def test_a_regression_has_one_feature_a_row():
    """Differences 1 and -3: squares 1 and 9, gradients 2 and -6."""
    x, y = np.array([2.0, 0.0]), np.array([1.0, 3.0])
    flat, column = mean_squared_error(x, y), mean_squared_error(x[:, None], y[:, None])
    assert (flat.sum, flat.count) == (column.sum, column.count) == (10.0, 2)
    np.testing.assert_array_equal(flat.grad, [2, -6])
    np.testing.assert_array_equal(column.grad, [[2], [-6]])


def test_the_mean_is_that_of_all_entries():
    r = np.random.default_rng(0)
    s, t = r.normal(size=(5, 3)), r.normal(size=(5, 3))
    assert mean_squared_error(s, t).mean == pytest.approx(((s - t) ** 2).mean(), rel=1e-14)


def test_integer_targets_are_fine():
    assert mean_squared_error(np.array([1.5, 2.0]), np.array([1, 2])).sum == 0.25


def test_shapes_do_not_broadcast():
    with pytest.raises(InputError, match=r"teacher has shape \[3, 1\], student has \[3\]"):
        mean_squared_error(np.zeros(3), np.zeros((3, 1)))
