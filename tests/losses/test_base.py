"""The pieces the losses share."""

import numpy as np
import pytest

from minidistil.losses import Loss, log_softmax
from minidistil.losses.base import times_log


def test_log_softmax_by_hand():
    """exp of log 1, log 2, log 5 sums to 8: the probabilities are 1/8, 2/8, 5/8."""
    got = log_softmax(np.log([[1.0, 2.0, 5.0]]))
    np.testing.assert_allclose(np.exp(got), [[1 / 8, 2 / 8, 5 / 8]], rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_log_softmax_ignores_a_shift_and_does_not_overflow(dtype):
    z = np.array([[0, 1, -2], [3, 3, 3]], dtype)
    np.testing.assert_array_equal(log_softmax(z + dtype(1024)), log_softmax(z))
    assert log_softmax(z).dtype == dtype
    np.testing.assert_array_equal(log_softmax(np.array([[0, 6e4]], dtype)), [[-6e4, 0]])


def test_log_softmax_of_an_excluded_class():
    """A logit of -Inf is a class that cannot be: the others share the probability."""
    np.testing.assert_allclose(np.exp(log_softmax(np.array([[0, -np.inf, 0]]))), [[0.5, 0, 0.5]])


def test_zero_times_log_zero_is_zero_and_nan_stays():
    p = np.array([0, 0, 0.5, np.nan, 0.5])
    with np.errstate(invalid="ignore"):
        got = times_log(p, np.array([-np.inf, np.nan, -2, -1, np.nan]))
    np.testing.assert_array_equal(got, [0, 0, -1, np.nan, np.nan])


def test_the_mean_divides_the_sum_and_nothing_has_mean_zero():
    assert Loss(6.0, 4, np.zeros(1)).mean == 1.5
    assert Loss(0.0, 0, np.zeros(1)).mean == 0.0
