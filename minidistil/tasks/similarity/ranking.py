"""How good an order of answers is, over any number of queries, a block of them at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil import metrics
from minidistil.embeddings.semantic_search import blocks

CELLS_AT_ONCE = 4_000_000  # scores that exist at a time, 32 MB in float64

Block = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def rows_at_once(n: int, columns: int) -> Iterable[slice]:
    """n queries in slices, so that a block with so many columns is not too large."""
    return blocks(n, max(1, CELLS_AT_ONCE // max(1, columns)))


def ranked_scores(
    parts: Iterable[Block], recall: Iterable[int] = (1, 5, 10), k: int = 10
) -> dict[str, float]:
    """Means over queries.

    Parameters
    ----------
    parts : iterable of (relevance [Q, N], scores [Q, N])
        Some queries each; every query has something relevant. See `minidistil.metrics.ndcg_at_k`.
    recall : iterable of int
        For which k recall is given.
    k : int
        How far down MRR and nDCG look.

    Returns
    -------
    dict
        "recall_at_1", ..., "mrr_at_10", "ndcg_at_10".
    """
    sums: dict[str, float] = {}
    queries = 0
    for relevance, scores in parts:
        relevant = relevance > 0
        found = {f"recall_at_{i}": metrics.recall_at_k(relevant, scores, i) for i in recall}
        found[f"mrr_at_{k}"] = metrics.mean_reciprocal_rank(relevant, scores, k)
        found[f"ndcg_at_{k}"] = metrics.ndcg_at_k(relevance, scores, k)
        sums = {name: sums.get(name, 0.0) + value * len(scores) for name, value in found.items()}
        queries += len(scores)
    return {name: value / queries for name, value in sums.items()}


def one_each(labels: npt.NDArray[np.int64], columns: int) -> npt.NDArray[np.bool_]:
    """Relevance [Q, N] where one column is relevant to each query: int64 [Q] of their numbers."""
    relevance: npt.NDArray[np.bool_] = labels[:, None] == np.arange(columns)
    return relevance
