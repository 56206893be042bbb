"""Scores of single classes against scikit-learn, and calibration by its definition."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minidistil.errors import InputError, UsageError
from minidistil.metrics import (
    accuracy,
    calibration_bins,
    confusion_matrix,
    expected_calibration_error,
    f1,
    matthews_correlation,
    precision_recall_f1,
)

C = 5
checked = settings(derandomize=True, deadline=None, max_examples=80)


def pairs(classes):
    """Labels and predictions of up to so many classes, often of fewer."""
    return st.integers(1, classes).flatmap(
        lambda c: st.lists(st.tuples(st.integers(0, c - 1), st.integers(0, c - 1)), min_size=1, max_size=30)
    )


def test_by_hand():
    """Class 1 is predicted 3 times, 2 of them rightly, and is there 4 times: P = 2/3, R = 2/4, F1 = 4/7."""
    labels, predictions = [1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 1, 0]
    np.testing.assert_array_equal(confusion_matrix(labels, predictions, 2), [[1, 1], [2, 2]])
    scores = precision_recall_f1(labels, predictions, 2)
    assert [x[1] for x in scores] == pytest.approx([2 / 3, 1 / 2, 4 / 7, 4])
    assert f1(labels, predictions) == pytest.approx(4 / 7)
    assert accuracy(labels, predictions) == 1 / 2
    # (c n - sum t p) / sqrt(...) = (3 * 6 - (2 * 3 + 4 * 3)) / ... = 0
    assert matthews_correlation(labels, predictions) == 0


@checked
@given(pairs(C))
@example([(4, 4)])
@example([(0, 1), (1, 0)])
@example([(0, 3)] * 4)
def test_scores_are_those_of_scikit_learn(drawn):
    y, p = np.array(drawn).T
    np.testing.assert_array_equal(confusion_matrix(y, p, C), sk.confusion_matrix(y, p, labels=range(C)))
    expected = sk.precision_recall_fscore_support(y, p, labels=range(C), zero_division=0)
    for got, want in zip(precision_recall_f1(y, p, C), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-14)
    for average in ("macro", "micro", "weighted"):
        assert f1(y, p, average) == pytest.approx(sk.f1_score(y, p, average=average, zero_division=0))
    assert accuracy(y, p) == pytest.approx(sk.accuracy_score(y, p), rel=1e-15)


@checked
@given(pairs(C))
@example([(0, 0), (1, 1), (4, 4)])
@example([(0, 0), (1, 0)])
@example([(0, 0), (0, 1)])
def test_matthews_correlation_is_that_of_scikit_learn(drawn):
    y, p = np.array(drawn).T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, of a single class
        assert matthews_correlation(y, p) == pytest.approx(sk.matthews_corrcoef(y, p), abs=1e-15)


@checked
@given(pairs(2))
@example([(0, 0)])
def test_binary_f1_is_that_of_scikit_learn(drawn):
    y, p = np.array(drawn).T
    assert f1(y, p) == pytest.approx(sk.f1_score(y, p, zero_division=0))


def test_a_class_that_occurs_nowhere_lowers_no_mean():
    assert f1([0, 7_000_000_000], [0, 7_000_000_000], "macro") == 1
    assert precision_recall_f1([0, 2], [0, 2], 3).f1.tolist() == [1, 0, 1]


def test_matthews_correlation_of_many_examples_does_not_overflow():
    y = np.arange(200_000) % 2
    assert matthews_correlation(y, y) == 1
    assert matthews_correlation(y, 1 - y) == -1


def calibration_error_by_definition(y, p, bins):
    total, confidence, right = 0.0, p.max(1), p.argmax(1) == y
    edges = np.linspace(0, 1, bins + 1)
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.sum() / len(y) * abs(right[inside].mean() - confidence[inside].mean())
    return total


@checked
@given(st.data())
def test_calibration_error_is_that_of_the_definition(data):
    classes = data.draw(st.integers(1, 4))
    weights = st.lists(st.integers(0, 5), min_size=classes, max_size=classes).filter(any)  # ties and edges
    p = np.array(data.draw(st.lists(weights, min_size=1, max_size=25)), float)
    p /= p.sum(1, keepdims=True)
    y = data.draw(st.lists(st.integers(0, classes - 1), min_size=len(p), max_size=len(p)))
    bins = data.draw(st.sampled_from([1, 2, 5, 10, 15]))
    got = expected_calibration_error(y, p, bins)
    assert got == pytest.approx(calibration_error_by_definition(np.array(y), p, bins), abs=1e-14)
    assert 0 <= got <= 1


def test_calibration_by_hand():
    """With two bins 0.5 is in the lower one: |0 - 0.5| of one example, |1 - (0.9 + 0.7) / 2| of two."""
    p = [[0.5, 0.5], [0.1, 0.9], [0.7, 0.3]]
    assert expected_calibration_error([1, 1, 0], p, 2) == pytest.approx((0.5 + 2 * 0.2) / 3)
    assert expected_calibration_error([0, 1], np.eye(2, dtype=np.float32)) == 0


@pytest.mark.parametrize("metric", [accuracy, f1, matthews_correlation])
def test_labels_that_cannot_be_scored_are_refused(metric):
    with pytest.raises(InputError, match="labels is empty"):
        metric([], [])
    with pytest.raises(InputError, match="labels has 2 entries, predictions has 1"):
        metric([0, 1], [0])
    with pytest.raises(InputError, match=r"predictions must be a 1-d array of integers, not float64 \[2\]"):
        metric([0, 1], [0.0, 1.0])
    with pytest.raises(InputError, match="labels has -100 at index 1"):
        metric([0, -100], [0, 0])
    with pytest.raises(InputError, match="different lengths"):
        metric([[0], [0, 1]], [0, 1])


def test_classes_out_of_range_are_named():
    with pytest.raises(InputError, match="predictions has 3 at index 1: expected 0 to 2"):
        confusion_matrix([0, 1], [0, 3], 3)
    with pytest.raises(InputError, match="labels has 2 at index 0: expected 0 to 1"):
        f1([2, 1], [0, 1])
    with pytest.raises(UsageError, match="average is 'samples'"):
        f1([0], [0], "samples")


def test_probabilities_that_are_none_are_refused():
    with pytest.raises(InputError, match=r"NaN at index \[0, 1\]"):
        expected_calibration_error([0], [[1, np.nan]])
    with pytest.raises(InputError, match="row 1 of probabilities"):
        expected_calibration_error([0, 0], [[0.5, 0.5], [2.0, -1.0]])
    with pytest.raises(InputError, match="row 0 of probabilities"):
        expected_calibration_error([0], [[3.0, 1.0]])
    with pytest.raises(InputError, match="labels has 2 at index 0"):
        expected_calibration_error([2], [[0.5, 0.5]])
    with pytest.raises(InputError, match="labels has 1 entries, probabilities has 2"):
        expected_calibration_error([0], [[1.0], [1.0]])
    with pytest.raises(InputError, match="bins must be at least 1, not 0"):
        expected_calibration_error([0], [[1.0]], 0)


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_bins_of_calibration_add_up_to_the_error(bins):
    rng = np.random.default_rng(3)
    scores = rng.dirichlet(np.full(C, 0.3), 200)
    labels = rng.integers(0, C, 200)
    found = calibration_bins(labels, scores, bins)
    assert sum(row.examples for row in found) == 200
    gaps = [row.examples * abs(row.accuracy - row.confidence) for row in found]
    assert sum(gaps) / 200 == pytest.approx(expected_calibration_error(labels, scores, bins))
    for row in found:
        inside = (scores.max(1) > row.low) & (scores.max(1) <= row.high)
        assert inside.sum() == row.examples
        assert (scores.argmax(1) == labels)[inside].mean() == pytest.approx(row.accuracy)
        assert row.low < row.confidence <= row.high
