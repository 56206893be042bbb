"""Similarity of vectors: cosine, dot product, or a distance with its sign turned, so that more is nearer.

Scores are summed in float64 and rounded: cosines to multiples of 2^-24, float32's spacing below 1, others to
float32. Equal vectors then have equal scores in every row, whatever the order of the sums. A vector of zeros
has no direction; its cosine with anything is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_choice
from minidistil.arrays import Array, Float32, Float64, as_vectors
from minidistil.errors import InputError, UsageError

Similarity = Literal["cosine", "dot", "euclidean", "manhattan"]

COSINE_STEP = 2.0**-24  # cosines are multiples of it

# Lowest and highest score, and its name in messages.
RANGES: dict[Similarity, tuple[float, float, str]] = {
    "cosine": (-1.0, 1.0, "a cosine"),
    "dot": (-math.inf, math.inf, "a dot product"),
    "euclidean": (-math.inf, 0.0, "a distance with its sign turned, 0 or less"),
    "manhattan": (-math.inf, 0.0, "a distance with its sign turned, 0 or less"),
}


def check_threshold(threshold: float, similarity: Similarity, name: str = "the threshold") -> None:
    """Raise a UsageError for a threshold that no two vectors can reach."""
    check_choice("similarity", similarity, RANGES)
    least, most, what = RANGES[similarity]
    if not least <= threshold <= most or math.isinf(threshold):
        bounds = f", from {least:g} to {most:g}" if similarity == "cosine" else ""
        raise UsageError(f"{name} is {what}{bounds}, not {threshold}")


def normalize_embeddings(vectors: Array) -> Array:
    """Rows [N, H] scaled to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), vectors.dtype)


def directions(vectors: npt.NDArray[Any]) -> Float64:
    """Rows [N, H] scaled to length 1, in float64."""
    return np.asarray(normalize_embeddings(vectors.astype(np.float64)), np.float64)


def cosines(a: Float64, b: Float64) -> Float64:
    """Cosines [A, B] of directions [A, H] and [B, H]."""
    return np.asarray(np.rint(a @ b.T / COSINE_STEP) * COSINE_STEP, np.float64)


def prepare(vectors: npt.NDArray[Any], similarity: Similarity) -> Float64:
    """Vectors [N, H] in float64, of length 1 for cosines: the input of `similarities`.

    Raises
    ------
    UsageError
        An unknown similarity.
    """
    check_choice("similarity", similarity, RANGES)
    return directions(vectors) if similarity == "cosine" else vectors.astype(np.float64)


def similarities(a: Float64, b: Float64, similarity: Similarity) -> Float64:
    """Scores [A, B] of prepared vectors [A, H] and [B, H], rounded to float32."""
    if similarity == "cosine":
        return cosines(a, b)
    if similarity == "dot":
        scores = a @ b.T
    elif similarity == "euclidean":
        scores = _by_rows(a, b, lambda difference: -np.sqrt((difference * difference).sum(1)))
    else:
        scores = _by_rows(a, b, lambda difference: -np.abs(difference).sum(1))
    return scores.astype(np.float32).astype(np.float64)


def pairwise_similarities(a: npt.NDArray[Any], b: npt.NDArray[Any], similarity: Similarity) -> Float64:
    """Scores [N] of row i of `a` [N, H] with row i of `b` [N, H], in float64, not rounded."""
    x, y = prepare(a, similarity), prepare(b, similarity)
    if similarity in ("cosine", "dot"):
        return np.asarray((x * y).sum(1))
    difference = np.abs(x - y)
    return np.asarray(
        -difference.sum(1) if similarity == "manhattan" else -np.sqrt((difference * difference).sum(1))
    )


def _by_rows(a: Float64, b: Float64, score: Callable[[Float64], Float64]) -> Float64:
    """Scores of differences: exactly 0 for equal vectors, unlike squares of products."""
    return np.array([score(b - row) for row in a]).reshape(len(a), len(b))


def similarity_matrix(a: npt.ArrayLike, b: npt.ArrayLike, similarity: Similarity) -> Float32:
    """Scores [N, M] of all vectors [N, H] with all others [M, H]; a single vector [H] is a row.

    Raises
    ------
    InputError
        Vectors of different widths, or no vectors.
    """
    x, y = _same_width(a, b)
    return similarities(prepare(x, similarity), prepare(y, similarity), similarity).astype(np.float32)


def similarity_of_rows(a: npt.ArrayLike, b: npt.ArrayLike, similarity: Similarity) -> Float32:
    """Scores [N] of the vectors [N, H] with those of the same rows [N, H]; errors as `similarity_matrix`."""
    x, y = _same_width(a, b)
    if len(x) != len(y):
        raise InputError(f"the first has {len(x)} vectors and the second {len(y)}")
    return pairwise_similarities(x, y, similarity).astype(np.float32)


def _same_width(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    x, y = (as_vectors("vectors", np.atleast_2d(np.asarray(vectors))) for vectors in (a, b))
    if x.shape[1] != y.shape[1]:
        raise InputError(f"the first vectors have {x.shape[1]} numbers and the second {y.shape[1]}")
    return x, y
