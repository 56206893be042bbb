"""Correlations against scipy, with ties, constants and extremes."""

import math
import warnings

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as sk
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from minidistil.errors import InputError
from minidistil.metrics import mean_absolute_error, mean_squared_error, pearson, spearman

checked = settings(derandomize=True, deadline=None, max_examples=80)


def pairs(values, shortest=2):
    return st.lists(st.tuples(values, values), min_size=shortest, max_size=25)


few = st.sampled_from([-1.0, 0.0, 0.1, 0.1 + 1e-9, 2.0])
wide = st.floats(-1e6, 1e6, width=32)


def scipy_statistic(f, x, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant, or nearly: scipy says so
        return f(x, y).statistic


@checked
@given(pairs(few) | pairs(wide))
@example([(0.1, 1.0), (0.1, 2.0), (0.1, 4.0)])  # the mean of 0.1, 0.1, 0.1 is not 0.1
@example([(0.0, 0.0), (0.0, 0.0)])
def test_spearman_is_that_of_scipy(drawn):
    x, y = np.array(drawn).T
    assert spearman(x, y) == pytest.approx(
        scipy_statistic(scipy.stats.spearmanr, x, y), abs=1e-13, nan_ok=True
    )


@checked
@given(pairs(few) | pairs(wide))
@example([(0.1, 1.0), (0.1, 2.0), (0.1, 4.0)])
def test_pearson_is_that_of_scipy(drawn):
    x, y = np.array(drawn).T
    for a in (x, y):  # what is lost in the mean is noise, to scipy as well
        assume((a == a[0]).all() or np.ptp(a) > 1e-7 * np.abs(a).max())
    expected = scipy_statistic(scipy.stats.pearsonr, x, y)
    assert pearson(x, y) == pytest.approx(expected, abs=1e-8, nan_ok=True)


def test_by_hand():
    """Ranks of y are 1, 2.5, 2.5, 4: deviations -3/2, 0, 0, 3/2 and -3/2, -1/2, 1/2, 3/2."""
    x, y = [1, 2, 3, 4], [0, 5, 5, 9]
    assert spearman(x, y) == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert pearson([0, 1], [3, -1]) == pytest.approx(-1)
    assert mean_squared_error([1, 2], [1, 5]) == 9 / 2
    assert mean_absolute_error([1, 2], [1, 5]) == 3 / 2


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e200, 1e307])
def test_extreme_values_neither_overflow_nor_vanish(scale):
    x = np.array([1.0, 2.0, 4.0, -8.0])
    y = np.array([0.0, 3.0, 3.0, 1.0])
    assert pearson(x * scale, y) == pytest.approx(pearson(x, y), abs=1e-3 if scale < 1e-300 else 1e-14)


@pytest.mark.parametrize("offset", [0, 1e9, 1e12, 1e15])
def test_large_values_lose_no_digits(offset):
    x = np.round(np.random.default_rng(0).normal(size=50) * 1000) + offset
    y = np.random.default_rng(1).normal(size=50) + (x - offset) / 1000
    # Next to 10^15 a mean is rounded to a multiple of 0.1.
    assert pearson(x, y) == pytest.approx(pearson(x - offset, y), rel=1e-12 if offset < 1e13 else 1e-6)


@pytest.mark.parametrize("correlation", [pearson, spearman])
def test_a_constant_has_no_correlation(correlation):
    assert math.isnan(correlation([0.1] * 3, [1, 2, 3]))
    assert math.isnan(correlation([1, 2, 3], np.full(3, 1 / 3, np.float32)))
    assert math.isnan(correlation([1], [1]))


@checked
@given(pairs(wide, 1))
def test_errors_are_those_of_scikit_learn(drawn):
    t, p = np.array(drawn).T
    assert mean_squared_error(t, p) == pytest.approx(sk.mean_squared_error(t, p), rel=1e-12)
    assert mean_absolute_error(t, p) == pytest.approx(sk.mean_absolute_error(t, p), rel=1e-12)


@pytest.mark.parametrize("metric", [pearson, spearman, mean_squared_error, mean_absolute_error])
def test_other_numbers_are_refused(metric):
    with pytest.raises(InputError, match="has 3 entries"):
        metric([1, 2, 3], [1, 2])
    with pytest.raises(InputError, match="is empty"):
        metric([], [])
    for bad in (np.nan, np.inf):
        with pytest.raises(InputError, match=f"has {bad} at index 1"):
            metric([1, 2], [1, bad])
    with pytest.raises(InputError, match="1-d array of numbers"):
        metric([[1, 2]], [[1, 2]])
    with pytest.raises(InputError, match="1-d array of numbers"):
        metric(["1", "2"], [1, 2])
