"""Orders against scikit-learn where it has the metric, otherwise against every order the ties allow."""

import math
from itertools import permutations

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minidistil.errors import InputError
from minidistil.metrics import auroc, average_precision, mean_reciprocal_rank, ndcg_at_k, recall_at_k

checked = settings(derandomize=True, deadline=None, max_examples=80)
few = st.sampled_from([-1.0, 0.0, 0.5, 1e-9, 3.0])
labelled = st.lists(st.tuples(st.integers(0, 1), few | st.floats(-5, 5)), min_size=2, max_size=30).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


def queries(relevance):
    row = st.integers(1, 5).flatmap(
        lambda n: st.lists(
            st.lists(st.tuples(relevance, few), min_size=n, max_size=n).filter(
                lambda items: any(r for r, _ in items)
            ),
            min_size=1,
            max_size=4,
        )
    )
    return row.map(lambda rows: np.moveaxis(np.array(rows, float), 2, 0))


@checked
@given(labelled)
@example([(0, 1.0), (1, 1.0)])
@example([(1, 0.0), (0, 1.0)])
def test_areas_are_those_of_scikit_learn(rows):
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    assert auroc(labels, scores) == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-14)
    assert average_precision(labels, scores) == pytest.approx(sk.average_precision_score(labels, scores))


def test_areas_by_hand():
    """Of the four pairs of a positive and a negative none is in order and one is equal: 0.5 / 4.

    Positive are 0 of 1 at or above 3, 1 of 3 at or above 2, 2 of 4 at or above 1. AP = 1/2 1/3 + 1/2 2/4.
    """
    labels, scores = [0, 1, 0, 1], [3, 2, 2, 1]
    assert auroc(labels, scores) == 0.5 / 4
    assert average_precision(labels, scores) == pytest.approx(1 / 6 + 1 / 4)
    assert auroc([0, 1, 1], [-np.inf, -np.inf, np.inf]) == 3 / 4
    assert average_precision([0, 1], [-np.inf, -np.inf]) == 1 / 2


def worst(metric, relevance, scores):
    """Mean over queries of the least that any order by falling scores gives."""
    values = []
    for r, s in zip(relevance, scores, strict=True):
        orders = [o for o in permutations(range(len(s))) if all(np.diff(s[list(o)]) <= 0)]
        values.append(min(metric([r[i] for i in o]) for o in orders))
    return np.mean(values)


def dcg(gains):
    return sum(g / math.log2(i + 2) for i, g in enumerate(gains))


@checked
@given(queries(st.integers(0, 1)), st.integers(1, 7))
def test_of_all_orders_the_scores_allow_the_worst_counts(drawn, k):
    relevance, scores = drawn
    assert recall_at_k(relevance, scores, k) == pytest.approx(
        worst(lambda r: sum(r[:k]) / sum(r), relevance, scores)
    )
    assert mean_reciprocal_rank(relevance, scores) == pytest.approx(
        worst(lambda r: 1 / (1 + r.index(1)), relevance, scores)
    )
    assert mean_reciprocal_rank(relevance, scores, k) == pytest.approx(
        worst(lambda r: 1 / (1 + r.index(1)) if 1 in r[:k] else 0, relevance, scores)
    )


@checked
@given(queries(st.integers(0, 3)), st.integers(1, 7))
def test_ndcg_is_that_of_the_definition(drawn, k):
    relevance, scores = drawn
    got = ndcg_at_k(relevance, scores, k)
    expected = worst(lambda r: dcg(r[:k]) / dcg(sorted(r, reverse=True)[:k]), relevance, scores)
    assert got == pytest.approx(expected)
    assert 0 <= got <= 1 + 1e-15


def test_without_ties_ranks_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    scores, gains = rng.normal(size=(20, 9)), rng.integers(1, 5, size=(20, 9))
    one = np.eye(9, dtype=int)[rng.integers(0, 9, 20)]
    for k in (1, 3, 20):
        assert ndcg_at_k(gains, scores, k) == pytest.approx(sk.ndcg_score(gains, scores, k=k))
    for k in (1, 3, 8):
        expected = sk.top_k_accuracy_score(one.argmax(1), scores, k=k, labels=range(9))
        assert recall_at_k(one, scores, k) == pytest.approx(expected)
    expected = sk.label_ranking_average_precision_score(one, scores)
    assert mean_reciprocal_rank(one, scores) == pytest.approx(expected)


def test_scores_that_are_all_alike_find_nothing():
    relevance = np.eye(4)
    assert recall_at_k(relevance, np.ones((4, 4)), 3) == 0
    assert recall_at_k(relevance, np.ones((4, 4)), 4) == 1
    assert mean_reciprocal_rank(relevance, np.ones((4, 4))) == 1 / 4
    assert mean_reciprocal_rank([[1, 0, 0]], [[0, -np.inf, -np.inf]]) == 1
    assert auroc([0, 1], [1, 1]) == 1 / 2


def test_queries_that_cannot_be_scored_are_refused():
    for metric in (lambda r, s: recall_at_k(r, s, 1), mean_reciprocal_rank, lambda r, s: ndcg_at_k(r, s, 1)):
        with pytest.raises(InputError, match="nothing is relevant to query 1"):
            metric([[0, 1], [0, 0]], [[1, 2], [1, 2]])
        with pytest.raises(InputError, match=r"scores is NaN at index \[0, 1\]"):
            metric([[0, 1]], [[1, np.nan]])
        with pytest.raises(InputError, match=r"relevance has shape \[1, 2\], scores has \[1, 3\]"):
            metric([[0, 1]], [[1, 2, 3]])
        with pytest.raises(InputError, match="relevance is empty"):
            metric(np.zeros((2, 0)), np.zeros((2, 0)))
    with pytest.raises(InputError, match="expected 0 or 1"):
        recall_at_k([[0, 2]], [[0, 1]], 1)
    with pytest.raises(InputError, match="finite numbers >= 0"):
        ndcg_at_k([[-1, 2]], [[0, 1]], 1)
    for metric in (recall_at_k, ndcg_at_k):
        with pytest.raises(InputError, match="k must be at least 1, not 0"):
            metric([[0, 1]], [[0, 1]], 0)


def test_labels_without_an_area_are_refused():
    with pytest.raises(InputError, match="labels are all 1"):
        auroc([1, 1], [0, 1])
    with pytest.raises(InputError, match="labels are all 0"):
        auroc([0, 0], [0, 1])
    with pytest.raises(InputError, match="labels are all 0"):
        average_precision([0, 0], [0, 1])
    for metric in (auroc, average_precision):
        with pytest.raises(InputError, match="scores is NaN"):
            metric([0, 1], [0, np.nan])
        with pytest.raises(InputError, match="labels has 2 entries, scores has 3"):
            metric([0, 1], [0, 1, 2])
        with pytest.raises(InputError, match="labels is empty"):
            metric([], [])
        with pytest.raises(InputError, match="expected 0 or 1"):
            metric([0, 2], [0, 1])
