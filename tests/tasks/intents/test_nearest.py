"""Labels by the nearest of some vectors: against brute force, by hand, and a threshold from the entries."""

import numpy as np
import pytest
from embeddings_toy import ToyEncoder

from minidistil.tasks.intents.nearest import NearestNeighbours

TEXTS = ["1 0", "0 1", "3 1", "1 3", "-1 0", "2 0"]
LABELS = ["east", "north", "east", "north", "west", "east"]


@pytest.fixture
def nearest():
    return NearestNeighbours(ToyEncoder(), ToyEncoder().encode(TEXTS), LABELS)


def cosine(a, b):
    a, b = (ToyEncoder().encode([x])[0].astype(float) for x in (a, b))
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_scores_are_those_of_the_nearest_entry(nearest, monkeypatch):
    asked = ["5 1", "-2 1", "1 1", "0 -1", "1 2"]
    assert nearest.names == ("east", "north", "west")
    expected = [
        [max(cosine(a, t) for t, x in zip(TEXTS, LABELS, strict=True) if x == name) for name in nearest.names]
        for a in asked
    ]
    np.testing.assert_allclose(nearest.scores(asked), expected, atol=1e-7)
    monkeypatch.setattr("minidistil.metrics.ranking.CELLS_AT_ONCE", 1)
    np.testing.assert_allclose(nearest.scores(asked), expected, atol=1e-7)
    assert nearest.scores([]).shape == (0, 3)


def test_find(nearest):
    (found,) = nearest.find(["5 1"], 2)
    assert [(n.label, n.entry) for n in found] == [("east", 2), ("north", 3)]
    assert found[0].score == pytest.approx(cosine("5 1", "3 1"))
    (found,) = nearest.find(["4 0"], 9)
    assert [(n.label, n.entry) for n in found] == [("east", 0), ("north", 3), ("west", 4)]
    (tie,) = nearest.find(["1 1"], 1)
    assert (tie[0].label, tie[0].entry) == ("east", 2), "of equally near ones the first"


def test_a_threshold_without_other_examples():
    """Left out, "1 0" and "9 1" find each other at cosine .994, "0 1" and "1 9" as well, "-1 0" is wrong.

    Outside are .45 and .32: halfway between .994 and .45 everything but "-1 0" is right, 6 of 7.
    """
    texts = ["1 0", "0 1", "9 1", "1 9", "-1 0"]
    nearest = NearestNeighbours(
        ToyEncoder(), ToyEncoder().encode(texts), ["east", "north", "east", "north", "west"]
    )
    cut = nearest.leave_one_out_threshold(ToyEncoder().encode(["1 -2", "1 -3"]))
    assert cut.accuracy == pytest.approx(6 / 7)
    assert cut.value == pytest.approx((cosine("1 0", "9 1") + cosine("1 -2", "1 0")) / 2, abs=1e-6)


def test_what_is_near_is_what_the_encoder_is_made_for():
    """Of [2, 1] the nearest entry is another by its direction, by its length, and by its distance."""
    texts, labels = ["4 2", "0.1 0.05", "2 0.5", "9 -1"], ["far", "small", "next", "long"]
    for similarity, best, score in [
        ("cosine", "far", 1),
        ("dot", "long", 17),
        ("euclidean", "next", -0.5),
        ("manhattan", "next", -0.5),
    ]:
        encoder = ToyEncoder(similarity)
        (found,) = NearestNeighbours(encoder, encoder.encode(texts), labels).find(["2 1"], 1)
        assert (found[0].label, found[0].score) == (best, pytest.approx(score))
    encoder = ToyEncoder("euclidean")
    apart = NearestNeighbours(encoder, encoder.encode(["0 0", "0 3", "9 9", "9 8"]), ["a", "a", "b", "b"])
    assert apart.leave_one_out_threshold(encoder.encode(["20 9"])).value == pytest.approx(
        -(3 + 11) / 2, abs=1e-6
    )
