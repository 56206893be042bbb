"""Choosing sentences: against plain loops, within the limits, nothing twice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidistil.errors import InputError, UsageError
from minidistil.tasks.summarization.selection import ALIKE, SAME, Limits, best, centroid, mmr

NONE = Limits(None, None)


def cosine(a, b):
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def loop(x, k, value):
    """One after the other; `value` of the cosines with the mean and with the nearest that is chosen."""
    mean = np.mean([v / np.linalg.norm(v) for v in x], axis=0)
    chosen = []
    while len(chosen) < k:
        values = {}
        for i in set(range(len(x))) - set(chosen):
            nearest = max((cosine(x[i], x[j]) for j in chosen), default=0)
            if nearest < SAME:
                values[i] = value(cosine(x[i], mean), nearest)
        if not values:
            break
        chosen.append(max(values, key=values.get))
    return sorted(chosen)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("width", [2, 8])
def test_against_a_loop(weight, width):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(12, width)) + 0.5
        for k in (1, 3, 12):
            picked = mmr(x, np.ones(12), Limits(k), weight=weight)
            assert picked.indices.tolist() == loop(x, k, lambda a, b: weight * a - (1 - weight) * b)
            picked = centroid(x, np.ones(12), Limits(k))
            assert picked.indices.tolist() == loop(x, k, lambda a, b: (b < ALIKE, a))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 20), st.integers(1, 6))
def test_order_and_length_of_vectors_do_not_matter(seed, n, k):
    rng = np.random.default_rng(seed)  # of two vectors both are as near to their mean
    x, order = rng.normal(size=(n, 5)), rng.permutation(n)
    for choose in (centroid, mmr):
        picks = choose(x, np.ones(n), Limits(k))
        again = choose((x * rng.uniform(0.1, 9, (n, 1)))[order], np.ones(n), Limits(k))
        assert sorted(order[again.indices]) == picks.indices.tolist() == sorted(picks.indices.tolist())
        np.testing.assert_allclose(sorted(again.scores), sorted(picks.scores), atol=1e-6)


def test_nothing_is_said_twice():
    x = np.array([[1, 0], [1, 0.01], [2, 0], [0.5, 1], [0, 0]])
    picks = centroid(x, np.ones(5), Limits(2))
    assert picks.indices.tolist() == [1, 3], "one of the three that are alike"
    assert ((picks.scores > 0) & (picks.scores <= 1)).all()
    for choose in (centroid, mmr):
        assert choose(x, np.ones(5), NONE).indices.tolist() == [0, 1, 3], "none without direction, none twice"
    assert centroid(np.ones((4, 3)), np.ones(4)).indices.tolist() == [0], "of equal ones the first"
    assert mmr(np.zeros((4, 3)), np.ones(4)).indices.tolist() == []
    assert mmr([[0, 0], [1, 0]], [1, 1], weight=0.0).indices.tolist() == [1]
    assert mmr(np.zeros((0, 3)), np.zeros(0)).indices.tolist() == []
    assert centroid([[1, 0], [-1, 0]], [1, 1]).indices.tolist() == [0, 1], "a mean of zero is near to nobody"


def test_limits():
    scores, lengths = [0.1, 0.9, 0.5, 0.9, -np.inf], [1, 5, 2, 5, 1]
    assert best(scores, lengths, Limits(1)).indices.tolist() == [1]
    assert best(scores, lengths, Limits(2)).indices.tolist() == [1, 3]
    picks = best(scores, lengths, NONE)
    assert (picks.indices.tolist(), picks.scores.tolist()) == ([0, 1, 2, 3], [0.1, 0.9, 0.5, 0.9])
    assert best(scores, lengths, Limits(None, 8)).indices.tolist() == [0, 1, 2], (
        "what does not fit is passed over"
    )
    assert best(scores, lengths, Limits(2, 8)).indices.tolist() == [1, 2]
    assert best(scores, lengths, Limits(3, 1)).indices.tolist() == [0]
    assert best([], []).indices.tolist() == []


def test_trigram_blocking():
    words = ["abcd", "xbcd", "bc", "acbd", "qdcb"]  # a letter a word
    scores, lengths = [0.9, 0.8, 0.7, 0.6, 0.5], [4, 4, 2, 4, 4]
    assert best(scores, lengths, NONE).indices.tolist() == [0, 1, 2, 3, 4]
    assert best(scores, lengths, NONE, words=words).indices.tolist() == [0, 2, 3, 4]
    assert best(scores, lengths, Limits(2), words=words).indices.tolist() == [0, 2]


def test_what_is_refused():
    with pytest.raises(UsageError, match="from 0 to 1"):
        mmr(np.ones((2, 2)), [1, 1], weight=1.5)
    with pytest.raises(InputError, match="2 numbers, and lengths of 1"):
        best([1, 2], [1])
    with pytest.raises(InputError, match="NaN"):
        best([np.nan], [1])
    with pytest.raises(InputError, match="NaN"):
        centroid([[np.nan, 1]], [1])
    with pytest.raises(InputError, match="words of 1 sentences"):
        best([1, 2], [1, 1], words=[["a"]])


def test_many_sentences_take_little_time_and_memory():
    x = np.random.default_rng(0).normal(size=(20_000, 16))
    assert len(mmr(x, np.ones(20_000), Limits(50)).indices) == 50  # a matrix of cosines would be 3 GB
    same = [["a", "b", "c"]] * 20_000
    assert best(np.ones(20_000), np.ones(20_000), NONE, words=same).indices.tolist() == [0]
