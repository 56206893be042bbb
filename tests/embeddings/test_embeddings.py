"""Sentence and word vectors: the encoder, and what is done with vectors, against brute force."""

import itertools
import json
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tiny import BAD, CONFIG, GOOD, OTHER, make_classifier, make_encoder, make_tokenizer

from minidistil.config import DistilBertConfig
from minidistil.embeddings import search as neighbours
from minidistil.embeddings.bitext import mine_bitext
from minidistil.embeddings.cluster import cluster, communities
from minidistil.embeddings.directory import Embedding, read_embedding, write_embedding
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.embeddings.search import duplicates, search
from minidistil.embeddings.vector_files import read_vectors, write_vectors
from minidistil.embeddings.word_alignment import align, links, similarities, spans
from minidistil.errors import ConfigError, DataError, InputError, StorageError, UsageError, WeightsError
from minidistil.model import BertModel, DistilBertModel, load_model
from minidistil.ops.philox import random_order
from minidistil.text.tokenizer import Tokenizer
from minidistil.weights.safetensors_file import write_safetensors

modest = settings(derandomize=True, deadline=None, max_examples=60)
whole = st.integers(-2, 2)  # coordinates of which many vectors are alike, opposite, or zero


def vectors(rows, width=3):
    return hnp.arrays(np.float32, st.tuples(rows, st.just(width)), elements=whole.map(float))


def random_vectors(n, width=8, seed=0):
    return np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)


def cosine(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.sqrt(a @ a) * np.sqrt(b @ b)
    return np.float32(round((a @ b / lengths if lengths else 0) * 2**24) / 2**24)


@pytest.fixture(params=["one block", "many blocks"])
def sizes(request, monkeypatch):
    if request.param == "many blocks":
        monkeypatch.setattr(neighbours, "ROWS_AT_ONCE", 3)
        monkeypatch.setattr(neighbours, "COLUMNS_AT_ONCE", 4)


# Search


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
        patch.setattr(neighbours, "ROWS_AT_ONCE", rows)
        patch.setattr(neighbours, "COLUMNS_AT_ONCE", columns)
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
        near = neighbours.paired(corpus, corpus[::-1], similarity)
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


# Duplicates and communities


@modest
@given(x=vectors(st.integers(0, 12)), threshold=st.sampled_from([-1, -0.5, 0, 0.4, 0.9, 1]))
def test_duplicates_are_all_pairs_and_sorted(x, threshold):
    every = [(i, j, cosine(x[i], x[j])) for i, j in itertools.combinations(range(len(x)), 2)]
    expected = sorted((p for p in every if p[2] >= threshold), key=lambda p: (-p[2], p[0], p[1]))
    for size in (1, 5, 4096):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(neighbours, "ROWS_AT_ONCE", size)
            patch.setattr(neighbours, "COLUMNS_AT_ONCE", size + 2)
            found = duplicates(x, threshold)
        assert found.pairs.tolist() == [[i, j] for i, j, _ in expected]
        np.testing.assert_allclose(found.scores, [s for *_, s in expected], atol=1e-7)


def test_thresholds_are_cosines():
    for threshold in (-1.1, 1.5, np.nan):
        with pytest.raises(UsageError, match="from -1 to 1"):
            duplicates([[1.0]], threshold)


def stars(x, threshold):
    near = [[j for j in range(len(x)) if j != i and cosine(x[i], x[j]) >= threshold] for i in range(len(x))]
    free, groups = set(range(len(x))), []
    while free:
        centre = min(free, key=lambda i: (-len(near[i]), i))
        free.discard(centre)
        members = [j for j in near[centre] if j in free]
        free -= set(members)
        groups.append([centre, *members])
    return sorted(groups, key=lambda g: (-len(g), g[0]))


@modest
@given(x=vectors(st.integers(0, 12)), threshold=st.sampled_from([0, 0.4, 0.9]), least=st.integers(1, 4))
def test_communities_are_stars(x, threshold, least):
    found = communities(x, threshold, min_size=least)
    assert [group.tolist() for group in found] == [g for g in stars(x, threshold) if len(g) >= least]


def test_communities_make_no_chains():
    angles = np.deg2rad([0, 20, 40, 60, 80])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert [group.tolist() for group in communities(x, np.cos(np.deg2rad(25)))] == [[1, 0, 2], [3, 4]]


# Clusters


def groups_on_a_sphere(k=4, each=30, seed=3):
    middles = np.eye(8)[:k] * 5
    x = np.repeat(middles, each, axis=0) + np.random.default_rng(seed).standard_normal((k * each, 8)) * 0.3
    return x.astype(np.float32), np.repeat(np.arange(k), each)


@pytest.mark.parametrize("seed", range(5))
def test_clusters_that_are_there_are_found(seed):
    x, truth = groups_on_a_sphere()
    found = cluster(x * np.linspace(0.1, 9, len(x))[:, None], 4, seed=seed)
    assert len(set(zip(found.labels.tolist(), truth.tolist(), strict=True))) == 4
    assert len(set(found.labels.tolist())) == 4
    again = cluster(x * np.linspace(0.1, 9, len(x))[:, None], 4, seed=seed)
    for ours, theirs in zip(found, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@modest
@given(data=st.data())
def test_clusters_are_consistent(data):
    x = data.draw(vectors(st.integers(1, 12)))
    k = data.draw(st.integers(1, len(x)))
    found = cluster(x, k, seed=data.draw(st.integers(0, 3)))
    cosines = np.array([[cosine(row, c) for c in found.centroids] for row in x])
    np.testing.assert_allclose(found.cosines, cosines.max(1), atol=1e-6)
    np.testing.assert_allclose(cosines[np.arange(len(x)), found.labels], cosines.max(1), atol=1e-6)
    for j in range(k):
        members = np.flatnonzero(found.labels == j)
        if not len(members):
            assert found.nearest[j] == -1
            continue
        assert found.nearest[j] == members[found.cosines[members].argmax()]
        units = [x[i] / max(np.linalg.norm(x[i]), 1e-9) for i in members]
        mean = np.sum(units, axis=0)
        if np.linalg.norm(mean) > 1e-6:
            np.testing.assert_allclose(found.centroids[j], mean / np.linalg.norm(mean), atol=1e-5)


def test_each_round_raises_the_cosines():
    x = random_vectors(300, 6)
    sums = [cluster(x, 7, max_rounds=n).cosines.sum(dtype=np.float64) for n in range(12)]
    assert (np.diff(sums) > -1e-4).all()
    assert sums[-1] > sums[0] + 1


def test_the_start_is_spread():
    """k-means++ puts one centroid into each of groups far apart; a start drawn evenly often does not."""
    x, truth = groups_on_a_sphere(k=8, each=10)
    starts = [cluster(x, 8, seed=seed, max_rounds=0).nearest for seed in range(20)]
    hit = [len(set(truth[start].tolist())) for start in starts]
    assert np.mean(hit) > 7, "8 drawn evenly hit 8 - 8 (7/8)^8 = 5.3 of 8 groups"


def test_as_many_clusters_as_vectors():
    x = np.eye(4, dtype=np.float32)
    assert sorted(cluster(x, 4).labels.tolist()) == [0, 1, 2, 3]
    alike = cluster(np.ones((5, 2)), 3)
    assert alike.labels.tolist() == [0] * 5
    assert alike.nearest.tolist() == [0, -1, -1]
    for k in (0, 5):
        with pytest.raises(UsageError, match="1 to 4 clusters"):
            cluster(x, k)


# Bitext


def margins(x, y, k):
    """The paper's equation, word for word."""
    cos = np.array([[float(cosine(a, b)) for b in y] for a in x])
    k_x, k_y = min(k, len(y)), min(k, len(x))
    scores = np.zeros_like(cos)
    for i in range(len(x)):
        for j in range(len(y)):
            average = np.sort(cos[i])[-k_x:].sum() / (2 * k_x) + np.sort(cos[:, j])[-k_y:].sum() / (2 * k_y)
            scores[i, j] = cos[i, j] / average if average > 0 else 0
    return scores, cos


def mined_by_brute_force(x, y, k, strategy):
    scores, cos = margins(x, y, k)
    near = lambda row: np.argsort(-row, kind="stable")[:k].tolist()
    forward = {(i, max(near(cos[i]), key=lambda j: scores[i, j])) for i in range(len(x))}
    backward = {(max(near(cos[:, j]), key=lambda i: scores[i, j]), j) for j in range(len(y))}
    chosen = {"forward": forward, "backward": backward, "intersection": forward & backward}
    pairs = sorted(chosen.get(strategy, forward | backward), key=lambda p: (-scores[p], p))
    if strategy == "max":
        kept = []
        for i, j in pairs:
            if all(i != a and j != b for a, b in kept):
                kept.append((i, j))
        pairs = kept
    return [list(pair) for pair in pairs], [scores[pair] for pair in pairs]


@pytest.mark.parametrize("strategy", ["forward", "backward", "intersection", "max"])
@pytest.mark.parametrize(("n", "m", "k"), [(12, 17, 4), (9, 3, 4), (1, 1, 1), (6, 6, 1)])
def test_bitext_is_what_the_paper_says(strategy, n, m, k):
    x = random_vectors(n, 5)
    y = (np.resize(x, (m, 5)) + random_vectors(m, 5, seed=1) * 0.7).astype(np.float32)
    found = mine_bitext(x, y, k, strategy=strategy)
    pairs, scores = mined_by_brute_force(x, y, k, strategy)
    assert found.pairs.tolist() == pairs
    np.testing.assert_allclose(found.scores, scores, rtol=1e-6)
    limit = float(np.median(found.scores))
    kept = mine_bitext(x, y, k, strategy=strategy, threshold=limit)
    assert kept.pairs.tolist() == [p for p, s in zip(pairs, found.scores, strict=True) if s >= limit]


def test_bitext_finds_translations_and_leaves_the_rest():
    x = random_vectors(40, 32)
    order = random_order(40, 0)
    y = np.concatenate([x[order] + random_vectors(40, 32, seed=5) * 0.2, random_vectors(20, 32, seed=6)])
    for strategy in ("max", "intersection"):
        found = mine_bitext(x, y, strategy=strategy, threshold=1.3)
        assert sorted(map(tuple, found.pairs.tolist())) == sorted(zip(order.tolist(), range(40), strict=True))


def test_a_hub_is_not_everybodys_translation():
    """A sentence near to everything has the larger cosine, and the smaller margin."""
    x = np.array([[1, 0, 2], [-1, 0, 2], [0, 1, 2], [0, -1, 2]], np.float32)
    y = np.array([[0, 0, 1], [1.2, 0, 0.4], [-1.2, 0, 0.4], [0, 1.2, 0.4], [0, -1.2, 0.4]], np.float32)
    assert (search(x, y, 1).indices == 0).all()
    for strategy in ("forward", "max"):
        assert mine_bitext(x, y, strategy=strategy).pairs.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]


def test_bitext_of_nothing_and_of_zeros():
    for strategy in ("forward", "backward", "intersection", "max"):
        for n, m in ((0, 3), (3, 0), (0, 0)):
            found = mine_bitext(np.zeros((n, 2)), np.zeros((m, 2)), strategy=strategy)
            assert found.pairs.shape == (0, 2)
            assert found.scores.shape == (0,)
        assert (mine_bitext(np.zeros((2, 2)), np.ones((2, 2)), strategy=strategy).scores == 0).all()
    with pytest.raises(UsageError, match="strategy is 'both'"):
        mine_bitext(np.ones((2, 2)), np.ones((2, 2)), strategy="both")


# Words


def test_argmax_and_itermax_by_hand():
    s = np.array([[0.9, 0.1, 0.2], [0.8, 0.3, 0.1], [0.1, 0.2, 0.7]])
    assert links(s, "argmax").tolist() == [[0, 0], [2, 2]]
    # What is left once links are discounted: 1 is nearest to 0, 0.8 x 0.9, and 0 has a nearer one no more.
    assert links(s, "itermax").tolist() == [[0, 0], [1, 0], [2, 2]]
    assert links(s, "match").tolist() == [[0, 0], [1, 1], [2, 2]]
    assert links(np.ones((2, 2)), "argmax").tolist() == [[0, 0]], "of equal ones the first"
    assert links(np.zeros((2, 3)), "itermax").tolist() == []
    # 1 would rather go with 0, 0.8 x 0.9, than with 1, which no other word wants.
    assert links([[0.9, 0.0], [0.8, 0.7]], "itermax").tolist() == [[0, 0], [1, 0]]
    assert links([[0.9, 0.0], [0.8, 0.75]], "itermax").tolist() == [[0, 0], [1, 1]]


@modest
@given(
    s=hnp.arrays(
        np.float64, st.tuples(st.integers(0, 5), st.integers(0, 5)), elements=st.integers(0, 4).map(float)
    )
)
def test_matching_has_the_largest_sum(s):
    found = links(s, "match")
    short, long = sorted(s.shape)
    wide = s if s.shape[0] == short else s.T
    best = max(sum(wide[i, j] for i, j in enumerate(p)) for p in itertools.permutations(range(long), short))
    assert len(found) == short
    assert all(len(set(side)) == short for side in found.T.tolist())
    assert s[found[:, 0], found[:, 1]].sum() == best
    assert found.tolist() == sorted(found.tolist())
    sure, more = (set(map(tuple, links(s, method).tolist())) for method in ("argmax", "itermax"))
    assert sure <= more


def test_matching_has_the_largest_sum_of_many():
    orders = np.array(list(itertools.permutations(range(7))))
    for seed in range(40):
        s = np.random.default_rng(seed).random((6, 7)) ** 3
        found = links(s, "match")
        best = s[np.arange(6), orders[:, :6]].sum(1).max()
        np.testing.assert_allclose(s[found[:, 0], found[:, 1]].sum(), best, rtol=1e-12)
        assert links(s.T, "match").tolist() == sorted(found[:, ::-1].tolist())


def test_bad_similarities():
    for bad in ([1.0], [[-0.1]], [[np.nan]], [[np.inf]]):
        with pytest.raises(InputError, match="numbers >= 0"):
            links(bad)
    with pytest.raises(UsageError, match="method is 'best'"):
        links([[1.0]], "best")
    np.testing.assert_allclose(similarities(np.eye(2)[:1], -np.eye(2)), [[0, 0.5]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the  warmly, (film)", ["the", "warmly", ",", "(", "film", ")"]),
        ("cafe\u0301 warm\u0301\u0302 film", ["cafe\u0301", "warm\u0301\u0302", "film"]),
        ("\u4e2d\u6587 film", ["\u4e2d", "\u6587", "film"]),
        ("\U0001f600 Wa\u200brm\tF\u0130LM", ["\U0001f600", "Wa\u200brm", "F\u0130LM"]),
        ("a \u0438\u0306", ["a", "\u0438\u0306"]),
        ("\ufeffwarm\u00a0film\u2014a", ["warm", "film", "\u2014", "a"]),
        ("warm\u0941 \u093fa !\u0301 a", ["warm\u0941", "\u093fa", "!\u0301", "a"]),
        ("  ", []),
        ("", []),
    ],
)  # fmt: skip
def test_words_are_places_in_the_text(tmp_path, text, words):
    encoding = make_tokenizer(tmp_path).encode([text]).raw[0]
    assert [text[span.start : span.end] for span in spans(text, encoding)] == words


@pytest.fixture(scope="module")
def encoder_directory(tmp_path_factory):
    return make_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def encoder(encoder_directory):
    return SentenceEncoder.from_pretrained(encoder_directory)


def sentences(n):
    words = (*GOOD, *BAD, *OTHER[:5], "warmly")
    return [" ".join(words[j] for j in random_order(14, 9, i)[: 1 + i % 9]) for i in range(n)]


def test_alignment_by_hand(encoder):
    """Similarities of two sentences, from the hidden states of each alone."""
    source, target = "the warmly Film is a", "film funny the  warmly"
    states = []
    for text in (source, target):
        ids = encoder.tokenizer.encode([text]).input_ids
        states.append(encoder.model(ids, output_hidden_states=True).hidden_states[4][0])
    a, b = states
    ours = np.stack([a[1], (a[2] + a[3]) / 2, a[4], a[5], a[6]])
    theirs = np.stack([b[1], b[2], b[3], (b[4] + b[5]) / 2])
    expected = np.array([[(1 + float(cosine(x, y))) / 2 for y in theirs] for x in ours])
    for method in ("argmax", "itermax", "match"):
        (found,) = align(encoder.model, encoder.tokenizer, [source], [target], method=method)
        assert [source[s:e] for s, e in found.source] == ["the", "warmly", "Film", "is", "a"]
        assert [target[s:e] for s, e in found.target] == ["film", "funny", "the", "warmly"]
        assert [link[:2] for link in found.links] == list(map(tuple, links(expected, method).tolist()))
        np.testing.assert_allclose(
            [link.similarity for link in found.links],
            [expected[i, j] for i, j, _ in found.links],
            rtol=1e-4,
        )


def test_a_sentence_with_itself_in_any_company(encoder, monkeypatch):
    texts = sentences(30)
    texts = [" ".join(dict.fromkeys(text.split())) for text in texts]  # each word once
    found = align(encoder.model, encoder.tokenizer, texts, texts, method="argmax", layer=0)
    for alignment in found:
        assert [link[:2] for link in alignment.links] == [(i, i) for i in range(len(alignment.source))]
    others = texts[::-1]
    together = align(encoder.model, encoder.tokenizer, texts, others)
    monkeypatch.setattr("minidistil.embeddings.word_alignment.TOKENS_AT_ONCE", 20)
    apart = align(encoder.model, encoder.tokenizer, texts, others)
    for one, other in zip(together, apart, strict=True):
        assert one.source == other.source
        assert [link[:2] for link in one.links] == [link[:2] for link in other.links]
        np.testing.assert_allclose([x[2] for x in one.links], [x[2] for x in other.links], rtol=1e-6)


def test_alignments_that_cannot_be(encoder):
    def run(sources, targets, **options):
        return align(encoder.model, encoder.tokenizer, sources, targets, **options)

    assert run([], []) == []
    (nothing,) = run([""], ["warm"])
    assert (nothing.source, len(nothing.target), nothing.links) == ([], 1, [])
    with pytest.raises(InputError, match="2 sentences but 1 translations"):
        run(["a", "b"], ["a"])
    with pytest.raises(InputError, match="text 1 has 42 tokens"):
        run(["a", "warm " * 40], ["a", "b"])
    for layer in (-1, 7):
        with pytest.raises(UsageError, match="expected 0 to 6"):
            run(["a"], ["a"], layer=layer)
    with pytest.raises(UsageError, match="method is"):
        run(["a"], ["a"], method="softmax")


# The encoder


def test_order_and_company_do_not_matter(encoder):
    texts = sentences(70)
    vectors = encoder.encode(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (70, 24) == (len(texts), encoder.width)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    order = random_order(70, 1)
    turned = encoder.encode([texts[i] for i in order])
    np.testing.assert_allclose(turned, vectors[order], atol=1e-6)
    np.testing.assert_allclose(np.concatenate([encoder.encode([t]) for t in texts]), vectors, atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_vectors_are_pooled_states(encoder, encoder_directory, pooling):
    other = SentenceEncoder.from_pretrained(encoder_directory, pooling=pooling, normalize=False)
    texts = sentences(5)
    for text, vector in zip(texts, other.encode(texts), strict=True):
        states = encoder.model(encoder.tokenizer.encode([text]).input_ids).last_hidden_state[0]
        pooled = {"mean": states.mean(0), "cls": states[0], "max": states.max(0)}[pooling]
        np.testing.assert_allclose(vector, pooled, rtol=1e-4, atol=1e-5)


def test_nothing_and_next_to_nothing(encoder):
    assert encoder.encode([]).shape == (0, 24)
    assert encoder.encode([]).dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(encoder.encode(["", " \n"]), axis=1), 1, rtol=1e-6)
    with pytest.raises(InputError, match="put the one string in a list"):
        encoder.encode("a film")


def test_vectors_of_an_encoder_that_diverged(encoder_directory, tmp_path):
    model = load_model(encoder_directory)
    model.params["encoder.layer.0.output.dense.bias"][...] = 1e38  # finite, but not its square
    model.save_pretrained(tmp_path, tokenizer=Tokenizer.from_pretrained(encoder_directory))
    with pytest.raises(InputError, match="hold a NaN or an Inf: its weights are damaged"):
        SentenceEncoder.from_pretrained(tmp_path).encode(["a film"])


def test_long_texts_are_cut_with_one_warning(encoder, encoder_directory, caplog):
    with caplog.at_level(logging.WARNING):
        vectors = encoder.encode(["warm " * 50, "film", "warm " * 22, "warm " * 23])
    assert [record.getMessage() for record in caplog.records] == [
        "2 of 4 texts are longer than 24 tokens and were truncated"
    ]
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-6)
    short = SentenceEncoder.from_pretrained(encoder_directory, max_length=4)
    np.testing.assert_allclose(*short.encode(["warm film plot", "warm film cast"]), atol=1e-6)
    assert SentenceEncoder.from_pretrained(encoder_directory, max_length=999).embedding.max_length == 24
    assert caplog.messages[-1] == "texts are cut at the model's 24 positions, not at 999 tokens"
    with pytest.raises(UsageError, match="max_length"):
        SentenceEncoder.from_pretrained(encoder_directory, max_length=2).encode(["warm"])
    with pytest.raises(UsageError, match="pooling is"):
        SentenceEncoder.from_pretrained(encoder_directory, pooling="sum")


def test_saved_and_loaded(encoder, tmp_path):
    texts = sentences(9)
    ours = SentenceEncoder(encoder.model, encoder.tokenizer, Embedding("max", False, 11))
    ours.save(tmp_path / "new")
    assert read_embedding(tmp_path / "new") == Embedding("max", False, 11)
    again = SentenceEncoder.from_pretrained(tmp_path / "new")
    np.testing.assert_array_equal(again.encode(texts), ours.encode(texts))
    readme = tmp_path / "new" / "README.md"
    assert "sentence-similarity" in readme.read_text()
    readme.write_bytes(b"mine, in latin-1: \xe9")
    again.save(tmp_path / "new")
    assert readme.read_bytes() == b"mine, in latin-1: \xe9"
    assert not list(tmp_path.glob("**/.*"))
    bare = load_model(tmp_path / "new", strict=True)
    assert isinstance(bare, BertModel)


def test_saving_is_all_or_nothing(encoder, tmp_path, monkeypatch):
    encoder.save(tmp_path / "a")
    before = {path: path.read_bytes() for path in tmp_path.glob("a/**/*") if path.is_file()}

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minidistil.embeddings.encoder.write_embedding", fail)
    other = SentenceEncoder(BertModel(CONFIG, seed=1), encoder.tokenizer, Embedding("cls"))
    for place in ("a", "b"):
        with pytest.raises(StorageError, match="disk is full"):
            other.save(tmp_path / place)
    assert {path: path.read_bytes() for path in tmp_path.glob("**/*") if path.is_file()} == before


def test_any_encoder_will_do(tmp_path, encoder):
    classifier = SentenceEncoder.from_pretrained(make_classifier(tmp_path), backend="numpy", dtype="float64")
    assert classifier.encode(["warm"]).dtype == np.float32
    sizes = {"vocab_size": 23, "hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 8}
    model = DistilBertModel(DistilBertConfig(num_attention_heads=2, **sizes))
    assert SentenceEncoder(model, encoder.tokenizer).encode(["warm", "film is"]).shape == (2, 8)


def test_a_length_that_is_none(tmp_path):
    write_embedding(tmp_path, Embedding(max_length=8), 24)
    for bad in ("8", 8.5, True):
        (tmp_path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": bad}))
        with pytest.raises(ConfigError, match="max_seq_length is"):
            read_embedding(tmp_path)


# Files


@pytest.mark.parametrize("ending", [".npy", ".safetensors"])
def test_vectors_in_a_file(tmp_path, ending, monkeypatch):
    path, x = tmp_path / f"v{ending}", random_vectors(3)
    write_vectors(path, x)
    np.testing.assert_array_equal(read_vectors(path), x)
    assert [p.name for p in tmp_path.iterdir()] == [f"v{ending}"]
    before = path.read_bytes()

    def stop(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minidistil.files._sync", stop)
    with pytest.raises(StorageError, match="untouched"):
        write_vectors(path, x[:1])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [f"v{ending}"]


def test_other_files(tmp_path):
    with pytest.raises(UsageError, match=r"\.npy or \.safetensors"):
        write_vectors(tmp_path / "v.txt", random_vectors(1))
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY nothing")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing at all")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "nan.npy", np.full((2, 2), np.nan))
    np.save(tmp_path / "flat.npy", np.ones(3))
    write_safetensors(tmp_path / "other.safetensors", {"x": np.ones(3)})
    for name, kind in [
        ("bad.npy", DataError), ("missing.npy", DataError), ("objects.npy", DataError),
        ("nan.npy", InputError), ("flat.npy", InputError), ("bad.safetensors", WeightsError),
        ("other.safetensors", DataError),
    ]:  # fmt: skip
        with pytest.raises(kind, match=name.replace(".", r"\.")):
            read_vectors(tmp_path / name)
