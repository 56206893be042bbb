"""Thresholds below which nothing is answered: against every threshold there is, and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidistil.errors import InputError
from minidistil.metrics import best_threshold, rejection_accuracy, selective_scores

scored = st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.9]) | st.floats(-1, 1)
rows = st.lists(st.tuples(st.booleans(), st.booleans(), scored), min_size=1, max_size=15)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(rows)
def test_no_threshold_is_better(drawn):
    right, outside, scores = (np.array(column) for column in zip(*drawn, strict=True))
    found = best_threshold(right, outside, scores)
    values = np.unique(scores)
    every = [*values, *(values[1:] + values[:-1]) / 2, values[0] - 1, values[-1] + 1]
    assert found.accuracy == pytest.approx(
        max(rejection_accuracy(right, outside, scores, x) for x in every), abs=1e-12
    )
    assert rejection_accuracy(right, outside, scores, found.value) == pytest.approx(found.accuracy)


def test_by_hand():
    """At 0.7 the two right answers stand, the wrong one counts for nothing, two of three outside are told."""
    right, outside = [1, 1, 0, 0, 1, 0], [0, 0, 0, 1, 1, 1]
    scores = [0.9, 0.8, 0.75, 0.6, 0.2, 0.85]
    assert rejection_accuracy(right, outside, scores, 0.7) == pytest.approx(4 / 6)
    assert rejection_accuracy(right, outside, scores, 0.8) == pytest.approx(4 / 6), (
        "at the threshold it stands"
    )
    assert rejection_accuracy(right, outside, scores, 0.801) == pytest.approx(3 / 6)
    found = best_threshold(right, outside, scores)
    assert found.value == pytest.approx(0.7), "halfway from 0.6 to 0.8: the wrong answer at 0.75 is no matter"
    assert found.accuracy == pytest.approx(4 / 6)


def test_most_room_among_equals():
    found = best_threshold([1, 0, 1, 0], [0, 1, 0, 1], [0.9, 0.8, 0.5, 0.1])
    assert found == (pytest.approx(0.3), 0.75)
    assert best_threshold([1, 1], [0, 0], [0.5, 0.7]) == (0.5, 1.0), "nothing is to be withheld"
    found = best_threshold([0, 0], [1, 1], [0.5, 0.7])
    assert found.accuracy == 1
    assert found.value > 0.7
    assert best_threshold([0], [0], [0.5]).accuracy == 0
    near = np.nextafter(0.5, 1)
    assert best_threshold([1, 0], [0, 1], [near, 0.5]) == (near, 1.0)


def test_what_is_refused():
    for arguments in (
        ([1], [0, 1], [0.5]),
        ([1, 0], [0, 1], [0.5]),
        ([1], [0], [np.nan]),
        ([1], [0], [np.inf]),
        ([2], [0], [0.5]),
        ([], [], []),
    ):
        with pytest.raises(InputError):
            best_threshold(*arguments)


def test_selective_scores_by_hand():
    """Four with an answer, one found second; two without, one of which scores above the threshold."""
    scores = np.array(
        [[0.9, 0.1, 0], [0.2, 0.7, 0.1], [0.5, 0.3, 0.2], [0.1, 0.2, 0.4], [0.4, 0.3, 0.3], [0.6, 0.2, 0.2]]
    )
    labels = np.array([0, 1, 1, 2, -1, -1])
    found = selective_scores(labels, scores, 0.45)
    assert found["recall_at_3"] == 1
    assert found["mrr_at_10"] == pytest.approx((1 + 1 + 1 / 2 + 1) / 4)
    assert found["auroc"] == pytest.approx((2 + 2 + 1 + 0.5) / 8)
    assert found["accuracy_with_none"] == pytest.approx(3 / 6)
    assert (found["none_precision"], found["none_recall"]) == (0.5, 0.5)
    assert found["best_accuracy_with_none"] == pytest.approx(4 / 6)
    assert found["best_threshold"] == pytest.approx(0.65)
    alone = selective_scores(labels[:4], scores[:4], None)
    assert set(alone) == {"recall_at_3", "recall_at_5", "mrr_at_10"}
