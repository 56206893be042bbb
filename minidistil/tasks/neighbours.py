"""Which vectors are near each other: exact search by cosine, and pairs that are nearly alike.

Work is done in blocks of rows against blocks of rows, so memory grows with what is found and not with the
square of the number of vectors. Cosines are summed in float64 and rounded to multiples of 2^-24, float32's
spacing below 1: equal vectors then have equal scores wherever they stand, and a tie is a tie whatever order a
sum was made in. A vector of zeros points nowhere; its cosine with anything is 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.errors import InputError, UsageError
from minidistil.progress import Progress
from minidistil.tasks.embeddings import as_vectors, unit

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

ROWS_AT_ONCE, COLUMNS_AT_ONCE = 512, 4096  # 2 million cosines, 16 MB

UNIT = 2.0**-24  # what cosines are multiples of

# A score and an index in one integer, the score above: no two are equal, so the largest few are the same
# whatever finds them, and of equal scores the lower index is the larger number.
INDEX_BITS = 32
LAST_INDEX = 2**INDEX_BITS - 1


class Hits(NamedTuple):
    """What a search found.

    Attributes
    ----------
    indices : int64 [Q, k]
        Rows of the corpus, nearest first.
    scores : float32 [Q, k]
        Their cosines.
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
    scores: npt.NDArray[np.floating[Any]]


def search(
    queries: npt.ArrayLike, corpus: npt.ArrayLike, k: int = 5, *, progress: Progress | None = None
) -> Hits:
    """The k vectors of a corpus with the largest cosine to each query; of equal ones the first.

    Parameters
    ----------
    queries : float [Q, H]
    corpus : float [N, H]
        Of any length; they are scaled here.
    k : int
        At least 1; where the corpus has fewer, all are found.
    progress : Progress, optional
        Counts queries.

    Raises
    ------
    InputError
        Other shapes, a NaN, an Inf.
    UsageError
        k below 1.
    """
    q, c = as_vectors("queries", queries), as_vectors("the corpus", corpus)
    if q.shape[1] != c.shape[1]:
        raise InputError(f"queries have {q.shape[1]} numbers each, the corpus has {c.shape[1]}")
    if k < 1:
        raise UsageError(f"k must be at least 1, not {k}")
    k = min(k, len(c))
    found = np.zeros((len(q), k), np.int64)
    for rows in blocks(len(q), ROWS_AT_ONCE):
        some = directions(q[rows])
        best = np.zeros((len(some), 0), np.int64)
        for columns in blocks(len(c), COLUMNS_AT_ONCE):
            scores = (cosines(some, directions(c[columns])) / UNIT).astype(np.int64)
            keys = scores << INDEX_BITS | (LAST_INDEX - np.arange(columns.start, columns.stop))
            best = np.concatenate([best, keys], axis=1)
            if best.shape[1] > k:
                best = np.partition(best, best.shape[1] - k, axis=1)[:, -k:]
        found[rows] = np.sort(best, axis=1)[:, ::-1]
        if progress is not None:
            progress.update(len(some))
    return Hits(LAST_INDEX - (found & LAST_INDEX), ((found >> INDEX_BITS) * UNIT).astype(np.float32))


def duplicates(vectors: npt.ArrayLike, threshold: float, *, progress: Progress | None = None) -> Pairs:
    """All pairs i < j whose cosine is at least `threshold`, best first, then by i and j.

    Parameters
    ----------
    vectors : float [N, H]
    threshold : float
        From -1 to 1. There are N^2 / 2 pairs, and a low threshold keeps them all.
    progress : Progress, optional
        Counts vectors.

    Raises
    ------
    InputError
        Other shapes, a NaN, an Inf.
    UsageError
        A threshold that no cosine has.
    """
    x = as_vectors("vectors", vectors)
    if not -1 <= threshold <= 1:
        raise UsageError(f"the threshold is a cosine, from -1 to 1, not {threshold}")
    least = np.rint(threshold / UNIT) * UNIT
    pairs, scores = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.float32)]
    for rows in blocks(len(x), ROWS_AT_ONCE):
        some = directions(x[rows])
        for columns in blocks(len(x), COLUMNS_AT_ONCE, begin=rows.start):
            found = cosines(some, directions(x[columns])).astype(np.float32)
            i, j = np.nonzero(np.triu(found >= least, 1 + rows.start - columns.start))
            pairs.append(np.stack([i + rows.start, j + columns.start], axis=1))
            scores.append(found[i, j])
        if progress is not None:
            progress.update(len(some))
    return best_first(np.concatenate(pairs), np.concatenate(scores))


def best_first(pairs: Int64, scores: npt.NDArray[np.floating[Any]]) -> Pairs:
    """Pairs by falling score, equal ones by their rows."""
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -scores))
    return Pairs(pairs[order], scores[order])


def blocks(n: int, size: int, *, begin: int = 0) -> Iterator[slice]:
    """Rows `begin` to n in slices of `size`."""
    return (slice(i, min(i + size, n)) for i in range(begin, n, size))


def directions(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Rows scaled to length 1, in float64."""
    return np.asarray(unit(vectors.astype(np.float64)), np.float64)


def cosines(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Cosines [A, B] of directions [A, H] and [B, H], as multiples of 2^-24."""
    return np.asarray(np.rint(a @ b.T / UNIT) * UNIT, np.float64)


def retrieval_accuracy(queries: npt.ArrayLike, answers: npt.ArrayLike) -> float:
    """Share of queries whose nearest answer by cosine is their own, the one in the same row.

    Parameters
    ----------
    queries, answers : float [N, H]

    Raises
    ------
    InputError
        Other shapes, or nothing to find.

    Notes
    -----
    Of equally near answers one's own counts only if it comes first, so answers that are all alike find
    nothing.
    """
    q, a = np.asarray(queries), np.asarray(answers)
    if q.ndim != 2 or q.shape != a.shape or not len(q):
        raise InputError(
            f"expected two arrays [N, H] of the same shape, not {list(q.shape)}, {list(a.shape)}"
        )
    q, a, hits = directions(q), directions(a), 0
    for rows in blocks(len(q), ROWS_AT_ONCE):
        hits += int((cosines(q[rows], a).argmax(1) == np.arange(rows.start, rows.stop)).sum())
    return hits / len(q)
