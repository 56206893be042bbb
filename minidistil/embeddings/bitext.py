"""Bitext mining: find translations between two collections of sentences by their vectors."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_choice
from minidistil.arrays import Int64
from minidistil.embeddings.semantic_search import Hits, Pairs, best_first, search

Strategy = Literal["forward", "backward", "intersection", "max"]


def mine_bitext(
    source: npt.ArrayLike,
    target: npt.ArrayLike,
    k: int = 4,
    *,
    strategy: Strategy = "max",
    threshold: float | None = None,
) -> Pairs:
    """Mine likely translations, scored by the ratio of their cosine to those of their neighbours.

    Parameters
    ----------
    source : float [N, H]
    target : float [M, H]
        Vectors of one encoder that knows both languages.
    k : int
        Neighbours that the cosine is compared with; 4 in the paper.
    strategy : {"forward", "backward", "intersection", "max"}
        The best target for each source; the best source for each target; pairs that are both; or pairs of
        either kind from the best down, as long as neither side is taken.
    threshold : float, optional
        Least score. At 1 a pair is as near as its neighbours are on average.

    Returns
    -------
    Pairs
        Rows of source and target, best first, with float64 scores.

    Raises
    ------
    UsageError
        k below 1, or an unknown strategy.

    Notes
    -----
    Artetxe and Schwenk 2019, "Margin-based Parallel Corpus Mining with Multilingual Sentence Embeddings"
    (arXiv:1811.01136), sections 3.1 and 3.2, with the margin called ratio:

        score(x, y) = cos(x, y) / (sum_{z in NN_k(x)} cos(x, z) / 2k + sum_{z in NN_k(y)} cos(y, z) / 2k)

    where NN_k(x) are the k targets nearest to x, NN_k(y) the k sources nearest to y. A cosine alone is no
    measure, since some sentences are near to everything. Candidates for x are NN_k(x), for y NN_k(y). If the
    denominator is not positive, the neighbours are no nearer than chance, and the score is 0.
    """
    check_choice("strategy", strategy, get_args(Strategy))
    forward, backward = search(source, target, k), search(target, source, k)
    n, m = len(forward.indices), len(backward.indices)
    if not n or not m:
        return Pairs(np.zeros((0, 2), np.int64), np.zeros(0))
    source_means, target_means = (hits.scores.mean(1, dtype=np.float64) for hits in (forward, backward))
    targets, forward_scores = _best(forward, source_means, target_means)
    sources, backward_scores = _best(backward, target_means, source_means)
    # A pair as one number, so that sets of pairs are sets of numbers.
    forward_keys, backward_keys = np.arange(n) * m + targets, sources * m + np.arange(m)
    keys, scores = forward_keys, forward_scores
    if strategy == "backward":
        keys, scores = backward_keys, backward_scores
    elif strategy == "intersection":
        keys, first, _ = np.intersect1d(forward_keys, backward_keys, return_indices=True)
        scores = forward_scores[first]
    elif strategy == "max":
        keys, first = np.unique(np.concatenate([forward_keys, backward_keys]), return_index=True)
        scores = np.concatenate([forward_scores, backward_scores])[first]
    pairs, scores = best_first(np.stack(np.divmod(keys, m), axis=1), scores)
    keep = np.ones(len(keys), np.bool_) if threshold is None else scores >= threshold
    if strategy == "max":
        keep &= _first_uses(pairs)
    return Pairs(pairs[keep], scores[keep])


def _best(hits: Hits, means: npt.NDArray[Any], other_means: npt.NDArray[Any]) -> tuple[Int64, Any]:
    """Neighbour of each row with the largest score, and the score; of equal ones the nearest."""
    average = (means[:, None] + other_means[hits.indices]) / 2
    scores = np.where(average > 0, hits.scores / np.where(average > 0, average, 1), 0)
    best = scores.argmax(1)[:, None]
    return np.take_along_axis(hits.indices, best, 1)[:, 0], np.take_along_axis(scores, best, 1)[:, 0]


def _first_uses(pairs: Int64) -> npt.NDArray[np.bool_]:
    """Mask of a greedy choice: True if neither side is part of an earlier chosen pair."""
    keep = np.zeros(len(pairs), np.bool_)
    sources: set[int] = set()
    targets: set[int] = set()
    for row, (i, j) in enumerate(pairs.tolist()):
        if i not in sources and j not in targets:
            keep[row] = True
            sources.add(i)
            targets.add(j)
    return keep
