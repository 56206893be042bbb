"""Squared error of logits by hand, and how far it is from the mean squared error."""

import numpy as np
import pytest

from minidistil.errors import InputError
from minidistil.losses import logits_mse, mean_squared_error

rng = np.random.default_rng(0)
STUDENT, TEACHER = rng.normal(size=(4, 6)), rng.normal(size=(4, 6))


def test_by_hand():
    """Differences (1, -2) and (0, 3): squares sum to 5 and 9. The gradient is twice the difference."""
    loss = logits_mse(np.array([[2.0, 0.0], [1.0, 4.0]]), np.array([[1.0, 2.0], [1.0, 1.0]]))
    assert (loss.sum, loss.count, loss.mean) == (14, 2, 7)
    np.testing.assert_array_equal(loss.grad, [[2, -4], [0, 6]])


def test_it_is_the_mean_squared_error_times_the_classes():
    logits, mean = logits_mse(STUDENT, TEACHER), mean_squared_error(STUDENT, TEACHER)
    assert logits.mean == pytest.approx(6 * mean.mean, rel=1e-14)
    np.testing.assert_allclose(logits.grad, 6 * mean.grad, rtol=1e-14)


def test_the_sum_of_many_float32_rows_is_accurate():
    x = np.full((1_000_000, 2), np.float32(0.1))
    assert logits_mse(x, 0 * x).sum == pytest.approx(2e6 * float(x[0, 0] * x[0, 0]), rel=1e-12)


def test_vocabularies_must_match():
    with pytest.raises(InputError, match=r"teacher_logits has shape \[4, 7\], student_logits has \[4, 6\]"):
        logits_mse(STUDENT, np.zeros((4, 7)))
