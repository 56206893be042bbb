"""Mining bitext: sentences of two languages that translate each other, found by their vectors."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from minidistil.embeddings.search import Hits, Int64, Pairs, best_first, search
from minidistil.errors import UsageError

Strategy = Literal["forward", "backward", "intersection", "max"]


def mine_bitext(
    source: npt.ArrayLike,
    target: npt.ArrayLike,
    k: int = 4,
    *,
    strategy: Strategy = "max",
    threshold: float | None = None,
) -> Pairs:
    """Pairs of rows that are likely translations, scored by the ratio of their cosine to that of others.

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
        Least score. 1 is a pair that is no nearer than its sides' neighbours are on average.

    Returns
    -------
    Pairs
        Rows of source and target, best first, with float64 scores.

    Raises
    ------
    InputError
        Other shapes, a NaN, an Inf.
    UsageError
        k below 1, an unknown strategy.

    Notes
    -----
    Artetxe and Schwenk 2019, "Margin-based Parallel Corpus Mining with Multilingual Sentence Embeddings"
    (arXiv:1811.01136), sections 3.1 and 3.2, with the margin called ratio:

        score(x, y) = cos(x, y) / (sum_{z in NN_k(x)} cos(x, z) / 2k + sum_{z in NN_k(y)} cos(y, z) / 2k)

    where NN_k(x) are the k targets nearest to x, NN_k(y) the k sources nearest to y. A cosine alone does not
    compare: some sentences are near to everything. Candidates for x are NN_k(x), for y NN_k(y). Where the
    denominator is not positive, neighbours being no nearer than chance, the score is 0.
    """
    if strategy not in get_args(Strategy):
        raise UsageError(f"strategy is {strategy!r}: expected one of {', '.join(get_args(Strategy))}")
    there, back = search(source, target, k), search(target, source, k)
    n, m = len(there.indices), len(back.indices)
    if not n or not m:
        return Pairs(np.zeros((0, 2), np.int64), np.zeros(0))
    around_source, around_target = (hits.scores.mean(1, dtype=np.float64) for hits in (there, back))
    targets, forward = _best(there, around_source, around_target)
    sources, backward = _best(back, around_target, around_source)
    # A pair as one number, so that sets of pairs are sets of numbers.
    ahead, behind = np.arange(n) * m + targets, sources * m + np.arange(m)
    keys, scores = ahead, forward
    if strategy == "backward":
        keys, scores = behind, backward
    elif strategy == "intersection":
        keys, at, _ = np.intersect1d(ahead, behind, return_indices=True)
        scores = forward[at]
    elif strategy == "max":
        keys, at = np.unique(np.concatenate([ahead, behind]), return_index=True)
        scores = np.concatenate([forward, backward])[at]
    found = best_first(np.stack(np.divmod(keys, m), axis=1), scores)
    keep = np.ones(len(keys), np.bool_) if threshold is None else found.scores >= threshold
    if strategy == "max":
        keep &= _first_uses(found.pairs)
    return Pairs(found.pairs[keep], found.scores[keep])


def _best(hits: Hits, around: npt.NDArray[Any], around_others: npt.NDArray[Any]) -> tuple[Int64, Any]:
    """Of each row's neighbours that with the largest score, and the score; of equal ones the nearest."""
    average = (around[:, None] + around_others[hits.indices]) / 2
    scores = np.where(average > 0, hits.scores / np.where(average > 0, average, 1), 0)
    best = scores.argmax(1)[:, None]
    return np.take_along_axis(hits.indices, best, 1)[:, 0], np.take_along_axis(scores, best, 1)[:, 0]


def _first_uses(pairs: Int64) -> npt.NDArray[np.bool_]:
    """Which pairs, taken from the first on, have neither side in one that was taken before."""
    keep = np.zeros(len(pairs), np.bool_)
    sources: set[int] = set()
    targets: set[int] = set()
    for row, (i, j) in enumerate(pairs.tolist()):
        if i not in sources and j not in targets:
            keep[row] = True
            sources.add(i)
            targets.add(j)
    return keep
