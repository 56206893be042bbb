"""Standard errors, by hand."""

import math

import pytest

from minidistil.metrics import proportion_standard_error, standard_error


def test_by_hand():
    """Differences 1, 2 and 3: a standard deviation of 1, by the root of 3."""
    assert standard_error([1.0, 2.0, 3.0]) == pytest.approx(1 / math.sqrt(3))
    assert math.isnan(standard_error([1.0]))
    assert math.isnan(standard_error([1.0, math.nan, 3.0]))


def test_of_an_accuracy():
    """80 % of 1,600: 1 point."""
    assert proportion_standard_error(0.8, 1600) == pytest.approx(0.01)
    assert proportion_standard_error(1.0, 5) == 0
    assert math.isnan(proportion_standard_error(math.nan, 5))
    assert math.isnan(proportion_standard_error(0.5, 0))
