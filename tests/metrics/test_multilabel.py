"""Scores of several classes at once against scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minidistil.errors import InputError, UsageError
from minidistil.metrics import multilabel_f1, multilabel_precision_recall_f1, subset_accuracy

checked = settings(derandomize=True, deadline=None, max_examples=60)
matrices = st.tuples(st.integers(1, 12), st.integers(2, 4)).flatmap(
    lambda shape: st.tuples(arrays(np.int64, shape, elements=st.integers(0, 1)), arrays(bool, shape))
)


@checked
@given(matrices)
@example((np.zeros((3, 2), int), np.zeros((3, 2), bool)))
@example((np.zeros((3, 2), int), np.ones((3, 2), bool)))
def test_scores_are_those_of_scikit_learn(drawn):
    y, p = drawn
    assert subset_accuracy(y, p) == pytest.approx(sk.accuracy_score(y, p))
    expected = sk.precision_recall_fscore_support(y, p, zero_division=0)
    for got, want in zip(multilabel_precision_recall_f1(y, p), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-14)
    for average in ("macro", "micro", "weighted"):
        want = sk.f1_score(y, p, average=average, zero_division=0)
        assert multilabel_f1(y, p, average) == pytest.approx(want)


def test_by_hand():
    """Class 0: one hit of one. Class 1: one hit, two predicted, one there: F1 2/3. Both: 2 * 2 / (3 + 2)."""
    y, p = np.array([[1, 1], [0, 0]], np.float32), [[1, 1], [0, 1]]
    assert subset_accuracy(y, p) == 1 / 2
    assert multilabel_f1(y, p) == pytest.approx(4 / 5)
    assert multilabel_f1(y, p, "macro") == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("metric", [subset_accuracy, multilabel_precision_recall_f1, multilabel_f1])
def test_other_matrices_are_refused(metric):
    with pytest.raises(InputError, match=r"labels has shape \[1, 2\], predictions has \[2, 2\]"):
        metric([[0, 1]], np.eye(2))
    with pytest.raises(InputError, match=r"predictions has 0.5 at index \[0, 1\]: expected 0 or 1"):
        metric([[0, 1]], [[0, 0.5]])
    with pytest.raises(InputError, match="labels has nan"):
        metric([[np.nan, 1]], [[0, 1]])
    with pytest.raises(InputError, match="labels is empty"):
        metric(np.zeros((0, 2)), np.zeros((0, 2)))
    with pytest.raises(InputError, match=r"labels must be a 2-d array of numbers, not int64 \[2\]"):
        metric([0, 1], [0, 1])


def test_an_unknown_average_is_refused():
    with pytest.raises(UsageError, match="average is 'binary'"):
        multilabel_f1([[0, 1]], [[0, 1]], "binary")
