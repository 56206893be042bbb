"""Semantic search: exact k nearest neighbours (kNN) among vectors, and near-duplicates.

Work is done in blocks of rows against blocks of rows, so memory grows with the number of results and not with
the square of the number of vectors. Vectors of other shapes, a NaN and an Inf are an InputError.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array, Float32, Float64, Int64, as_vectors
from minidistil.embeddings.similarity import COSINE_STEP, Similarity, check_threshold, prepare, similarities
from minidistil.errors import InputError, UsageError

ROWS_AT_ONCE, COLUMNS_AT_ONCE = 512, 4096  # 2 million cosines, 16 MB

# A score and an index in one integer, the score in the high bits: no two are equal, so the k largest are
# unique, and of equal scores the lower index is the larger number.
INDEX_BITS = 32
LAST_INDEX = 2**INDEX_BITS - 1


class Hits(NamedTuple):
    """Nearest neighbours of Q queries.

    Attributes
    ----------
    indices : int64 [Q, k]
        Rows of the corpus, nearest first.
    scores : float32 [Q, k]
        Their similarities.
    """

    indices: Int64
    scores: Float32


class Pairs(NamedTuple):
    """Pairs of rows, best first.

    Attributes
    ----------
    pairs : int64 [P, 2]
    scores : float [P]
    """

    pairs: Int64
    scores: Array


def search(
    queries: npt.ArrayLike,
    corpus: npt.ArrayLike,
    k: int = 5,
    *,
    similarity: Similarity = "cosine",
) -> Hits:
    """Search a corpus for the k vectors nearest to each query; of equally near ones the first.

    Parameters
    ----------
    queries : float [Q, H]
    corpus : float [N, H]
        Of any length.
    k : int
        At least 1; a smaller corpus is found whole.
    similarity : {"cosine", "dot", "euclidean", "manhattan"}
        `SentenceEncoder.settings.similarity` is the one that an encoder was trained for.

    Raises
    ------
    UsageError
        k below 1, or an unknown similarity.
    """
    q, c = as_vectors("queries", queries), as_vectors("the corpus", corpus)
    if q.shape[1] != c.shape[1]:
        raise InputError(f"queries have {q.shape[1]} numbers each, the corpus has {c.shape[1]}")
    if k < 1:
        raise UsageError(f"k must be at least 1, not {k}")
    k = min(k, len(c))
    nearest = np.zeros((len(q), k), np.int64)
    for rows in blocks(len(q), ROWS_AT_ONCE):
        some = prepare(q[rows], similarity)
        best = np.zeros((len(some), 0), np.int64)
        for columns in blocks(len(c), COLUMNS_AT_ONCE):
            scores = _in_order(similarities(some, prepare(c[columns], similarity), similarity))
            keys = scores << INDEX_BITS | (LAST_INDEX - np.arange(columns.start, columns.stop))
            best = np.concatenate([best, keys], axis=1)
            if best.shape[1] > k:
                best = np.partition(best, best.shape[1] - k, axis=1)[:, -k:]
        nearest[rows] = np.sort(best, axis=1)[:, ::-1]
    return Hits(LAST_INDEX - (nearest & LAST_INDEX), _as_scores(nearest >> INDEX_BITS))


def duplicates(vectors: npt.ArrayLike, threshold: float, *, similarity: Similarity = "cosine") -> Pairs:
    """Mine near-duplicates (paraphrases): all pairs i < j that score at least `threshold`.

    Parameters
    ----------
    vectors : float [N, H]
    threshold : float
        Of a cosine from -1 to 1. There are N^2 / 2 pairs, and a low threshold keeps them all.
    similarity
        As of `search`. The score of a distance is below 0.

    Returns
    -------
    Pairs
        Best first, then by i and j.

    Raises
    ------
    UsageError
        A threshold that no score can reach, or an unknown similarity.
    """
    x = as_vectors("vectors", vectors)
    check_threshold(threshold, similarity)
    least = (
        np.rint(threshold / COSINE_STEP) * COSINE_STEP if similarity == "cosine" else np.float32(threshold)
    )
    pairs, scores = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.float32)]
    for rows in blocks(len(x), ROWS_AT_ONCE):
        some = prepare(x[rows], similarity)
        for columns in blocks(len(x), COLUMNS_AT_ONCE, begin=rows.start):
            block = similarities(some, prepare(x[columns], similarity), similarity).astype(np.float32)
            i, j = np.nonzero(np.triu(block >= least, 1 + rows.start - columns.start))
            pairs.append(np.stack([i + rows.start, j + columns.start], axis=1))
            scores.append(block[i, j])
    return best_first(np.concatenate(pairs), np.concatenate(scores))


def best_first(pairs: Int64, scores: Array) -> Pairs:
    """Sort pairs by falling score, equal ones by their rows."""
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -scores))
    return Pairs(pairs[order], scores[order])


def blocks(n: int, size: int, *, begin: int = 0) -> Iterator[slice]:
    """Slices of `size` rows, from `begin` to n."""
    return (slice(i, min(i + size, n)) for i in range(begin, n, size))


def _in_order(scores: Float64) -> Int64:
    """Integers of 32 bits in the order of float32 scores; `_as_scores` turns them back."""
    bits = (scores + 0.0).astype(np.float32).view(np.int32).astype(np.int64)  # -0 becomes 0
    return np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


def _as_scores(numbers: Int64) -> Float32:
    bits = np.where(numbers < 0, numbers ^ 0x7FFFFFFF, numbers)
    return np.ascontiguousarray(bits.astype(np.int32)).view(np.float32)


def retrieval_accuracy(
    queries: npt.ArrayLike, answers: npt.ArrayLike, *, similarity: Similarity = "cosine"
) -> float:
    """Share of queries whose nearest answer is the one in the same row.

    Parameters
    ----------
    queries, answers : float [N, H]
    similarity
        As of `search`.

    Raises
    ------
    InputError
        No queries.

    Notes
    -----
    Of equally near answers the first is the nearest, so answers that are all alike find nothing.
    """
    q, a = np.asarray(queries), np.asarray(answers)
    if q.ndim != 2 or q.shape != a.shape or not len(q):
        raise InputError(
            f"expected two arrays [N, H] of the same shape, not {list(q.shape)}, {list(a.shape)}"
        )
    q, a, hits = prepare(q, similarity), prepare(a, similarity), 0
    for rows in blocks(len(q), ROWS_AT_ONCE):
        nearest = similarities(q[rows], a, similarity).argmax(1)
        hits += int((nearest == np.arange(rows.start, rows.stop)).sum())
    return hits / len(q)
