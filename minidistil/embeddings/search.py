"""Nearest neighbours among vectors: exact search, and pairs that are nearly alike.

Work is done in blocks of rows against blocks of rows, so memory grows with what is found and not with the
square of the number of vectors. Scores are summed in float64 and rounded: cosines to multiples of 2^-24,
float32's spacing below 1, others to float32. Equal vectors then have equal scores wherever they stand, and a
tie is a tie whatever order a sum was made in. A vector of zeros points nowhere; its cosine with anything is
0. A distance is a score with its sign turned, so that more is always nearer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.embeddings.directory import Similarity
from minidistil.embeddings.vectors import as_vectors, unit
from minidistil.errors import InputError, UsageError
from minidistil.progress import Progress

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

ROWS_AT_ONCE, COLUMNS_AT_ONCE = 512, 4096  # 2 million cosines, 16 MB

UNIT = 2.0**-24  # what cosines are multiples of

# Least and most that a score can be, and what it is called.
RANGES: dict[Similarity, tuple[float, float, str]] = {
    "cosine": (-1.0, 1.0, "a cosine"),
    "dot": (-math.inf, math.inf, "a dot product"),
    "euclidean": (-math.inf, 0.0, "a distance with its sign turned, 0 or less"),
    "manhattan": (-math.inf, 0.0, "a distance with its sign turned, 0 or less"),
}

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
        How near they are.
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
    queries: npt.ArrayLike,
    corpus: npt.ArrayLike,
    k: int = 5,
    *,
    similarity: Similarity = "cosine",
    progress: Progress | None = None,
) -> Hits:
    """The k vectors of a corpus that are nearest to each query; of equally near ones the first.

    Parameters
    ----------
    queries : float [Q, H]
    corpus : float [N, H]
        Of any length; for cosines they are scaled here.
    k : int
        At least 1; where the corpus has fewer, all are found.
    similarity : {"cosine", "dot", "euclidean", "manhattan"}
        What makes vectors near; `SentenceEncoder.embedding.similarity` is what an encoder was made for.
    progress : Progress, optional
        Counts queries.

    Raises
    ------
    InputError
        Other shapes, a NaN, an Inf.
    UsageError
        k below 1, or an unknown similarity.
    """
    q, c = as_vectors("queries", queries), as_vectors("the corpus", corpus)
    if q.shape[1] != c.shape[1]:
        raise InputError(f"queries have {q.shape[1]} numbers each, the corpus has {c.shape[1]}")
    if k < 1:
        raise UsageError(f"k must be at least 1, not {k}")
    k = min(k, len(c))
    found = np.zeros((len(q), k), np.int64)
    for rows in blocks(len(q), ROWS_AT_ONCE):
        some = prepared(q[rows], similarity)
        best = np.zeros((len(some), 0), np.int64)
        for columns in blocks(len(c), COLUMNS_AT_ONCE):
            scores = _in_order(similarities(some, prepared(c[columns], similarity), similarity))
            keys = scores << INDEX_BITS | (LAST_INDEX - np.arange(columns.start, columns.stop))
            best = np.concatenate([best, keys], axis=1)
            if best.shape[1] > k:
                best = np.partition(best, best.shape[1] - k, axis=1)[:, -k:]
        found[rows] = np.sort(best, axis=1)[:, ::-1]
        if progress is not None:
            progress.update(len(some))
    return Hits(LAST_INDEX - (found & LAST_INDEX), _as_scores(found >> INDEX_BITS))


def duplicates(
    vectors: npt.ArrayLike,
    threshold: float,
    *,
    similarity: Similarity = "cosine",
    progress: Progress | None = None,
) -> Pairs:
    """All pairs i < j whose score is at least `threshold`, best first, then by i and j.

    Parameters
    ----------
    vectors : float [N, H]
    threshold : float
        Of a cosine from -1 to 1. There are N^2 / 2 pairs, and a low threshold keeps them all.
    similarity
        As of `search`. The score of a distance is below 0.
    progress : Progress, optional
        Counts vectors.

    Raises
    ------
    InputError
        Other shapes, a NaN, an Inf.
    UsageError
        A threshold that no score has, or an unknown similarity.
    """
    x = as_vectors("vectors", vectors)
    check_threshold(threshold, similarity)
    least = np.rint(threshold / UNIT) * UNIT if similarity == "cosine" else np.float32(threshold)
    pairs, scores = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.float32)]
    for rows in blocks(len(x), ROWS_AT_ONCE):
        some = prepared(x[rows], similarity)
        for columns in blocks(len(x), COLUMNS_AT_ONCE, begin=rows.start):
            found = similarities(some, prepared(x[columns], similarity), similarity).astype(np.float32)
            i, j = np.nonzero(np.triu(found >= least, 1 + rows.start - columns.start))
            pairs.append(np.stack([i + rows.start, j + columns.start], axis=1))
            scores.append(found[i, j])
        if progress is not None:
            progress.update(len(some))
    return best_first(np.concatenate(pairs), np.concatenate(scores))


def check_similarity(similarity: Similarity) -> Similarity:
    """The name itself, or a UsageError if there is no such similarity."""
    if similarity not in RANGES:
        raise UsageError(f"similarity is {similarity!r}: expected one of {', '.join(RANGES)}")
    return similarity


def check_threshold(threshold: float, similarity: Similarity, name: str = "the threshold") -> None:
    """A UsageError for a least score that no two vectors can have."""
    least, most, what = RANGES[check_similarity(similarity)]
    if not least <= threshold <= most or math.isinf(threshold):
        of = f", from {least:g} to {most:g}" if similarity == "cosine" else ""
        raise UsageError(f"{name} is {what}{of}, not {threshold}")


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


def prepared(vectors: npt.NDArray[Any], similarity: Similarity) -> npt.NDArray[np.float64]:
    """Vectors as `similarities` takes them: in float64, for cosines of length 1.

    Raises
    ------
    UsageError
        An unknown similarity.
    """
    return directions(vectors) if check_similarity(similarity) == "cosine" else vectors.astype(np.float64)


def similarities(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], similarity: Similarity
) -> npt.NDArray[np.float64]:
    """Scores [A, B] of vectors [A, H] and [B, H] that are `prepared`, which float32 has room for."""
    if similarity == "cosine":
        return cosines(a, b)
    if similarity == "dot":
        scores = a @ b.T
    elif similarity == "euclidean":
        scores = _by_rows(a, b, lambda apart: -np.sqrt((apart * apart).sum(1)))
    else:
        scores = _by_rows(a, b, lambda apart: -np.abs(apart).sum(1))
    return scores.astype(np.float32).astype(np.float64)


def paired(a: npt.NDArray[Any], b: npt.NDArray[Any], similarity: Similarity) -> npt.NDArray[np.float64]:
    """Scores [N] of the vectors in the same row of both, [N, H], in float64, not rounded."""
    x, y = prepared(a, similarity), prepared(b, similarity)
    if similarity in ("cosine", "dot"):
        return np.asarray((x * y).sum(1))
    apart = np.abs(x - y)
    return np.asarray(-apart.sum(1) if similarity == "manhattan" else -np.sqrt((apart * apart).sum(1)))


def _by_rows(
    a: npt.NDArray[np.float64],
    b: npt.NDArray[np.float64],
    of: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
) -> npt.NDArray[np.float64]:
    """`of` each vector's differences to all others: exactly 0 for equal ones, unlike squares of products."""
    return np.array([of(b - row) for row in a]).reshape(len(a), len(b))


def _in_order(scores: npt.NDArray[np.float64]) -> Int64:
    """Integers of 32 bits that are in the order of float32 scores; `_as_scores` turns them back."""
    bits = (scores + 0.0).astype(np.float32).view(np.int32).astype(np.int64)  # of two zeros one
    return np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


def _as_scores(numbers: Int64) -> Float32:
    bits = np.where(numbers < 0, numbers ^ 0x7FFFFFFF, numbers)
    return np.ascontiguousarray(bits.astype(np.int32)).view(np.float32)


def retrieval_accuracy(
    queries: npt.ArrayLike, answers: npt.ArrayLike, *, similarity: Similarity = "cosine"
) -> float:
    """Share of queries whose nearest answer is their own, the one in the same row.

    Parameters
    ----------
    queries, answers : float [N, H]
    similarity
        As of `search`.

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
    q, a, hits = prepared(q, similarity), prepared(a, similarity), 0
    for rows in blocks(len(q), ROWS_AT_ONCE):
        nearest = similarities(q[rows], a, similarity).argmax(1)
        hits += int((nearest == np.arange(rows.start, rows.stop)).sum())
    return hits / len(q)
