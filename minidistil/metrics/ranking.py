"""Ranking metrics: recall, reciprocal rank, nDCG, AUROC, average precision.

Equal scores have no order, so no metric rewards them: within a query a relevant item comes last among its
equals; `auroc` counts equals half, and `average_precision` takes them as one.

Inputs of other shapes or entries are an InputError, as are NaN and a query without anything relevant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Bool, Float64
from minidistil.errors import InputError
from minidistil.metrics.base import average_ranks, numbers, same_length, same_shape, zeros_and_ones


def recall_at_k(relevance: npt.ArrayLike, scores: npt.ArrayLike, k: int) -> float:
    """Share of the relevant items that are among the k highest scores, mean over queries.

    Parameters
    ----------
    relevance : 0 or 1 [Q, N]
        Relevance of N items to Q queries; each query has at least one.
    scores : real [Q, N]
        Infinite ones may be among them: -inf puts an item last.
    k : int
    """
    _check_k(k)
    ranked = _by_score(zeros_and_ones("relevance", relevance, 2).astype(np.float64), scores)
    return float((ranked[:, :k].sum(1) / ranked.sum(1)).mean())


def mean_reciprocal_rank(relevance: npt.ArrayLike, scores: npt.ArrayLike, k: int | None = None) -> float:
    """1 / rank of the first relevant item, mean over queries (Voorhees 1999, the TREC-8 question track).

    With `k` a query whose first one is not among the k highest scores counts 0: MRR@k. Parameters as of
    `recall_at_k`.
    """
    ranked = _by_score(zeros_and_ones("relevance", relevance, 2).astype(np.float64), scores)
    if k is not None:
        _check_k(k)
        ranked = ranked[:, :k]
    return float((ranked.any(1) / (1 + ranked.argmax(1))).mean())


def ndcg_at_k(relevance: npt.ArrayLike, scores: npt.ArrayLike, k: int) -> float:
    """Discounted gain of the k highest scores, relative to that of the best order; mean over queries.

    Parameters
    ----------
    relevance : real [Q, N], >= 0
        Relevance of each item to each query; at least one of each query is above 0.
    scores : real [Q, N]
    k : int

    Notes
    -----
    Järvelin and Kekäläinen (2002), "Cumulated gain-based evaluation of IR techniques", with the discount
    log2(1 + rank) and the relevance itself as gain, as scikit-learn's `ndcg_score` has it:

        DCG = sum_{r = 1..k} relevance of the item with rank r / log2(1 + r)
    """
    _check_k(k)
    gains = numbers("relevance", relevance, 2)
    if (gains < 0).any() or np.isinf(gains).any():
        raise InputError("relevance must be finite numbers >= 0")
    ranked = _by_score(gains, scores)[:, :k]
    best = -np.sort(-gains, 1)[:, :k]
    discounts = np.log2(2 + np.arange(ranked.shape[1]))
    return float(((ranked / discounts).sum(1) / (best / discounts).sum(1)).mean())


CELLS_AT_ONCE = 4_000_000  # scores in memory at a time, 32 MB in float64

Block = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def row_blocks(n: int, columns: int) -> Iterator[slice]:
    """Slices of n rows, so that no block with so many columns has more than `CELLS_AT_ONCE` entries."""
    size = max(1, CELLS_AT_ONCE // max(1, columns))
    return (slice(i, min(i + size, n)) for i in range(0, n, size))


def ranking_scores(
    blocks: Iterable[Block], recall: Iterable[int] = (1, 5, 10), k: int = 10
) -> dict[str, float]:
    """Recall, reciprocal rank and nDCG of many queries, block by block.

    Parameters
    ----------
    blocks : iterable of (relevance [Q, N], scores [Q, N])
        See `ndcg_at_k`.
    recall : iterable of int
        Values of k of recall at k.
    k : int
        Of MRR and nDCG.

    Returns
    -------
    dict
        "recall_at_1", ..., "mrr_at_10", "ndcg_at_10": means over all queries.
    """
    sums: dict[str, float] = {}
    queries = 0
    for relevance, scores in blocks:
        relevant = relevance > 0
        block = {f"recall_at_{i}": recall_at_k(relevant, scores, i) for i in recall}
        block[f"mrr_at_{k}"] = mean_reciprocal_rank(relevant, scores, k)
        block[f"ndcg_at_{k}"] = ndcg_at_k(relevance, scores, k)
        sums = {name: sums.get(name, 0.0) + value * len(scores) for name, value in block.items()}
        queries += len(scores)
    return {name: value / queries for name, value in sums.items()}


def auroc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the receiver operating characteristic.

    That is the chance that a positive example scores above a negative one; equal scores count half.

    Parameters
    ----------
    labels : 0 or 1 [N]
        Both occur.
    scores : real [N]

    Notes
    -----
    Hanley and McNeil (1982, Radiology 143): it is the statistic of Mann and Whitney divided by its largest
    value. With ranks r_i of all scores from 1, equal ones averaged, p positive and n negative examples:

        AUROC = (sum of r_i over the positive - p (p + 1) / 2) / (p n)
    """
    y, s = _labelled(labels, scores)
    positive = int(y.sum())
    negative = len(y) - positive
    if not positive or not negative:
        raise InputError(f"labels are all {int(y[0])}: the area needs both 0 and 1")
    rank_sum = float(average_ranks(s)[y].sum())
    return (rank_sum - positive * (positive + 1) / 2) / (positive * negative)


def average_precision(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the steps of precision over recall.

    Parameters
    ----------
    labels : 0 or 1 [N]
        1 occurs.
    scores : real [N]

    Notes
    -----
    Over the distinct scores from the highest down, each taken as a threshold, with precision P_i and
    recall R_i of what lies at or above it (scikit-learn's `average_precision_score`):

        AP = sum_i (R_i - R_{i-1}) P_i
    """
    y, s = _labelled(labels, scores)
    if not y.any():
        raise InputError("labels are all 0: there is nothing to find")
    order = np.argsort(-s)
    y, s = y[order], s[order]
    ends = np.flatnonzero(np.append(s[1:] != s[:-1], True))  # the last of each run of equal scores
    hits = np.cumsum(y)[ends]
    return float((np.diff(hits, prepend=0) * hits / (ends + 1)).sum() / hits[-1])


def _check_k(k: int) -> None:
    if k < 1:
        raise InputError(f"k must be at least 1, not {k}")


def _by_score(relevance: Float64, scores: npt.ArrayLike) -> Float64:
    """Relevance in the order of falling scores, the least relevant first among equals. [Q, N]"""
    s = numbers("scores", scores, 2)
    same_shape(("relevance", "scores"), relevance, s)
    nothing = np.flatnonzero(~relevance.any(1))
    if len(nothing):
        raise InputError(f"nothing is relevant to query {int(nothing[0])}")
    order = np.lexsort((relevance, -s))  # the last key counts first
    return np.take_along_axis(relevance, order, 1)


def _labelled(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Bool, Float64]:
    y, s = zeros_and_ones("labels", labels, 1), numbers("scores", scores, 1)
    same_length(("labels", "scores"), y, s)
    return y, s
