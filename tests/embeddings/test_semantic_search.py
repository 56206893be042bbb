"""Search and near-duplicates against brute force."""

import itertools

import numpy as np
import pytest
from embeddings_toy import cosine, modest, random_vectors, vectors
from hypothesis import given
from hypothesis import strategies as st

from minidistil.embeddings import duplicates, search, semantic_search
from minidistil.embeddings.similarity import pairwise_similarities
from minidistil.errors import InputError, UsageError


@pytest.fixture(params=["one block", "many blocks"])
def sizes(request, monkeypatch):
    if request.param == "many blocks":
        monkeypatch.setattr(semantic_search, "ROWS_AT_ONCE", 3)
        monkeypatch.setattr(semantic_search, "COLUMNS_AT_ONCE", 4)


def by_brute_force(queries, corpus, k):
    scores = np.array([[cosine(q, c) for c in corpus] for q in queries]).reshape(len(queries), len(corpus))
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


@pytest.mark.parametrize(("rows", "columns"), [(512, 4096), (3, 4)])
@modest
@given(data=st.data())
def test_search_is_exact_and_ties_go_to_the_first(rows, columns, data):
    queries = data.draw(vectors(st.integers(0, 7)))
    corpus = data.draw(vectors(st.integers(0, 14)))
    k = data.draw(st.integers(1, 16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(semantic_search, "ROWS_AT_ONCE", rows)
        patch.setattr(semantic_search, "COLUMNS_AT_ONCE", columns)
        found = search(queries, corpus, k)
    indices, scores = by_brute_force(queries, corpus, k)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.scores, scores, atol=1e-7)
    assert found.indices.dtype == np.int64
    assert found.scores.dtype == np.float32


def test_search_among_many(sizes):
    queries, corpus = random_vectors(11, seed=1), random_vectors(200)
    found = search(queries, corpus, 20)
    indices, scores = by_brute_force(queries, corpus, 20)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.scores, scores, atol=1e-7)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean", "manhattan"])
@modest
@given(data=st.data())
def test_every_similarity_against_its_definition(similarity, data):
    queries, corpus = data.draw(vectors(st.integers(0, 4))), data.draw(vectors(st.integers(0, 9)))
    by_hand = {
        "cosine": cosine,
        "dot": lambda a, b: np.float32(sum(a * b)),
        "euclidean": lambda a, b: -np.float32(np.sqrt(sum((a - b) ** 2))),
        "manhattan": lambda a, b: -np.float32(sum(abs(a - b))),
    }[similarity]
    scores = np.array([[by_hand(q, c) for c in corpus] for q in queries]).reshape(len(queries), len(corpus))
    found = search(queries, corpus, 5, similarity=similarity)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(found.indices, order)
    np.testing.assert_allclose(found.scores, np.take_along_axis(scores, order, axis=1), atol=1e-7)
    every = [(i, j, by_hand(corpus[i], corpus[j])) for i, j in itertools.combinations(range(len(corpus)), 2)]
    pairs = duplicates(corpus, -1, similarity=similarity)
    expected = sorted((p for p in every if p[2] >= -1), key=lambda p: (-p[2], p[0], p[1]))
    assert pairs.pairs.tolist() == [[i, j] for i, j, _ in expected]
    if len(corpus):
        near = pairwise_similarities(corpus, corpus[::-1], similarity)
        expected = [by_hand(a, b) for a, b in zip(corpus, corpus[::-1], strict=True)]
        np.testing.assert_allclose(near, expected, atol=1e-7)


def test_scores_that_no_two_vectors_have():
    for similarity, threshold in (("euclidean", 0.1), ("manhattan", np.nan), ("dot", np.inf)):
        with pytest.raises(UsageError, match="the threshold is a d"):
            duplicates([[1.0]], threshold, similarity=similarity)
    for do in (
        lambda: search([[1.0]], [[1.0]], similarity="sine"),
        lambda: duplicates([[1.0]], 0, similarity="x"),
    ):
        with pytest.raises(UsageError, match=r"similarity is .*: expected one of cosine, dot, euclid"):
            do()


def test_equal_vectors_have_equal_scores_wherever_they_stand(sizes):
    corpus = np.tile(random_vectors(5, 33), (9, 1))
    found = search(random_vectors(4, 33, seed=2), corpus, len(corpus))
    for indices, scores in zip(found.indices, found.scores, strict=True):
        assert len(np.unique(scores)) == 5
        for group in indices.reshape(5, 9):
            assert (np.diff(group) == 5).all()


def test_zeros_are_at_right_angles_to_all():
    found = search([[1.0, 0.0], [0.0, 0.0]], [[-1.0, 0.0], [0.0, 0.0], [0.0, -2.0], [3.0, 0.0]], 9)
    assert found.indices.tolist() == [[3, 1, 2, 0], [0, 1, 2, 3]]
    assert found.scores.tolist() == [[1, 0, 0, -1], [0, 0, 0, 0]]


def test_bad_vectors():
    with pytest.raises(InputError, match="row 1 of the corpus holds a NaN"):
        search([[1.0]], [[0.0], [np.nan]])
    with pytest.raises(InputError, match="row 0 of queries holds a NaN or an Inf"):
        search([[np.inf]], [[0.0]])
    with pytest.raises(InputError, match="queries have 1 numbers each, the corpus has 2"):
        search([[1.0]], [[0.0, 1.0]])
    for other in ([1.0, 2.0], [["a"]], [[1j]], []):
        with pytest.raises(InputError, match=r"numbers \[N, H\]"):
            duplicates(other, 0.5)
    with pytest.raises(UsageError, match="k must be at least 1"):
        search([[1.0]], [[1.0]], 0)


@modest
@given(x=vectors(st.integers(0, 12)), threshold=st.sampled_from([-1, -0.5, 0, 0.4, 0.9, 1]))
def test_duplicates_are_all_pairs_and_sorted(x, threshold):
    every = [(i, j, cosine(x[i], x[j])) for i, j in itertools.combinations(range(len(x)), 2)]
    expected = sorted((p for p in every if p[2] >= threshold), key=lambda p: (-p[2], p[0], p[1]))
    for size in (1, 5, 4096):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(semantic_search, "ROWS_AT_ONCE", size)
            patch.setattr(semantic_search, "COLUMNS_AT_ONCE", size + 2)
            found = duplicates(x, threshold)
        assert found.pairs.tolist() == [[i, j] for i, j, _ in expected]
        np.testing.assert_allclose(found.scores, [s for *_, s in expected], atol=1e-7)


def test_thresholds_are_cosines():
    for threshold in (-1.1, 1.5, np.nan):
        with pytest.raises(UsageError, match="from -1 to 1"):
            duplicates([[1.0]], threshold)
