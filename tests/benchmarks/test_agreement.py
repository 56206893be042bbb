"""Engines that compute different things are found out."""

import numpy as np
import pytest

from benchmarks.agreement import DisagreementError, compare, tolerance

HIDDEN = np.array([[1.0, -4.0], [2.0, 0.5]])


def test_differences_are_relative_to_the_largest_value_of_the_first_engine():
    found = compare(
        {"torch": {"hidden": HIDDEN}, "a": {"hidden": HIDDEN + 4e-6}, "b": {"hidden": HIDDEN.copy()}}
    )
    assert found == {"hidden": {"a": pytest.approx(1e-6), "b": 0.0}}


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        (HIDDEN * 1.001, r"hidden: a differs from torch by 0.001 of its largest value, more than 3e-05"),
        (np.where(HIDDEN == 0.5, np.nan, HIDDEN), "hidden: a differs from torch by nan"),
        (HIDDEN[:1], r"hidden: a gives \[1, 2\], torch \[2, 2\]"),
    ],
)
def test_disagreement_names_engine_and_tensor(theirs, message):
    with pytest.raises(DisagreementError, match=message):
        compare({"torch": {"hidden": HIDDEN}, "a": {"hidden": theirs}})


def test_a_tensor_that_is_missing_disagrees():
    with pytest.raises(DisagreementError, match=r"score of good: a gives nothing, torch \[1\]"):
        compare({"torch": {"score of good": np.ones(1)}, "a": {"score of bad": np.ones(1)}})


def test_gradients_may_differ_more_than_outputs():
    assert tolerance("gradient of x") > tolerance("last_hidden_state")
