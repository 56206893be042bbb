"""Bitext mining against the equation of the paper, word for word."""

import numpy as np
import pytest
from embeddings_toy import cosine, random_vectors

from minidistil.embeddings import mine_bitext, search
from minidistil.errors import UsageError
from minidistil.ops.philox import random_order


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
