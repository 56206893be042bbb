"""Clustering of vectors: spherical k-means, and community detection by a threshold.

Vectors of other shapes, a NaN and an Inf are an InputError.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Float32, Float64, Int64, as_vectors
from minidistil.embeddings.semantic_search import COLUMNS_AT_ONCE, blocks, duplicates
from minidistil.embeddings.similarity import Similarity, cosines, directions
from minidistil.errors import UsageError
from minidistil.ops.philox import derive_key, philox

PURPOSE = 0xC1057E  # separates these random numbers from others under the same seed
MAX_ROUNDS = 100  # a bound: each round raises the sum of cosines, and a few dozen usually suffice


class Clusters(NamedTuple):
    """Clusters of N vectors.

    Attributes
    ----------
    labels : int64 [N]
        Cluster of each vector.
    centroids : float32 [k, H]
        Directions of the clusters, of length 1.
    nearest : int64 [k]
        Member nearest to each centroid, an example of the cluster; -1 if the cluster is empty.
    cosines : float32 [N]
        Cosine of each vector with its centroid.
    """

    labels: Int64
    centroids: Float32
    nearest: Int64
    cosines: Float32


def cluster(vectors: npt.ArrayLike, k: int, *, seed: int = 0, max_rounds: int = MAX_ROUNDS) -> Clusters:
    """Cluster vectors by spherical k-means.

    Parameters
    ----------
    vectors : float [N, H]
        Only their directions count. A vector of zeros belongs to the first centroid.
    k : int
        From 1 to N.
    seed : int
        Of the first centroids; the result depends on it and on the vectors alone.
    max_rounds : int

    Returns
    -------
    Clusters
        A vector belongs to the centroid nearest to it, of equally near ones to the first.

    Raises
    ------
    UsageError
        k out of range.

    Notes
    -----
    With vectors x_i of length 1, rounds of

        label_i = argmax_j c_j . x_i,    c_j = sum_{label_i = j} x_i / |sum_{label_i = j} x_i|

    never lower the sum of the cosines c_label . x (Dhillon and Modha 2001, "Concept Decompositions for Large
    Sparse Text Data Using Clustering"), and end when no label changes. An empty cluster keeps its centroid.

    The first centroids are those of k-means++ (Arthur and Vassilvitskii 2007, "k-means++: The Advantages of
    Careful Seeding", section 2.2): one of the vectors at random, then others with a probability proportional
    to the squared distance to the nearest centroid so far, which is 2 - 2 cos.
    """
    x = as_vectors("vectors", vectors)
    if not 1 <= k <= len(x):
        raise UsageError(f"{len(x)} vectors go into 1 to {len(x)} clusters, not into {k}")
    centroids = _first_centroids(x, k, seed)
    labels, nearness, sums = _assign(x, centroids)
    for _ in range(max_rounds):
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centroids = np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), centroids)
        before = labels
        labels, nearness, sums = _assign(x, centroids)
        if np.array_equal(labels, before):
            break
    nearest = np.full(k, -1, np.int64)
    worst_first = np.lexsort((-np.arange(len(x)), nearness))
    nearest[labels[worst_first]] = worst_first  # of several that are written to one index the last stays
    return Clusters(labels, centroids.astype(np.float32), nearest, nearness.astype(np.float32))


def communities(
    vectors: npt.ArrayLike, threshold: float, *, min_size: int = 2, similarity: Similarity = "cosine"
) -> list[Int64]:
    """Detect communities: groups around a centre to which each member scores at least `threshold`.

    Parameters
    ----------
    vectors : float [N, H]
    threshold : float
        Of a cosine from -1 to 1.
    min_size : int
        Smaller groups are left out.
    similarity
        As of `minidistil.embeddings.search`.

    Returns
    -------
    list of int64 [members]
        The largest group first, of equally large ones that with the first centre. In each, the centre comes
        first, then the others in their order. No vector is in two groups.

    Raises
    ------
    UsageError
        As of `duplicates`.

    Notes
    -----
    The star algorithm (Aslam, Pelekhov and Rus 2004, "The Star Clustering Algorithm for Static and Dynamic
    Information Organization") over the graph of all pairs that are near enough: of the vectors without a
    group, the one with the most neighbours becomes a centre, and its neighbours without a group join it.
    Unlike single linkage, that makes no chains.
    """
    x = as_vectors("vectors", vectors)
    pairs, _ = duplicates(x, threshold, similarity=similarity)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    degrees = np.bincount(both[:, 0], minlength=len(x))
    neighbours = np.split(both[:, 1], np.cumsum(degrees)[:-1])
    free, groups = np.ones(len(x), np.bool_), []
    for centre in np.argsort(-degrees, kind="stable"):
        if free[centre]:
            free[centre] = False
            members = neighbours[centre][free[neighbours[centre]]]
            free[members] = False
            groups.append(np.concatenate([[centre], members]))
    groups = [group for group in groups if len(group) >= min_size]
    return sorted(groups, key=lambda group: (-len(group), group[0]))


def _first_centroids(x: npt.NDArray[Any], k: int, seed: int) -> Float64:
    """Choose first centroids [k, H] among the vectors by k-means++."""
    high, low, _, _ = philox(np.arange(k), 0, 0, 0, derive_key(seed, PURPOSE))
    # 53 of 64 random bits, as many as a float64 between 0 and 1 holds
    draws = (high.astype(np.uint64) << np.uint64(32) | low) >> np.uint64(11)
    weights = np.full(len(x), 2.0)  # half the squared distance, 1 - cos, is at most that
    chosen: list[int] = []
    for draw in draws * 2.0**-53:
        if not weights.any():  # all others equal chosen ones
            weights = (~np.isin(np.arange(len(x)), chosen)).astype(np.float64)
        sums = np.cumsum(weights)
        at = np.searchsorted(sums, draw * sums[-1], side="right")
        chosen.append(int(min(at, np.flatnonzero(weights)[-1])))
        newest = directions(x[chosen[-1:]])
        near = [cosines(directions(x[rows]), newest)[:, 0] for rows in blocks(len(x), COLUMNS_AT_ONCE)]
        weights = np.minimum(weights, 1 - np.concatenate(near))
        weights[chosen] = 0
    return directions(x[chosen])


def _assign(x: npt.NDArray[Any], centroids: Float64) -> tuple[Int64, Float64, Float64]:
    """Assign vectors to the nearest centroid: labels [N], cosines [N], sums [k, H] of the clusters."""
    labels, largest = np.zeros(len(x), np.int64), np.zeros(len(x))
    sums = np.zeros_like(centroids)
    for rows in blocks(len(x), COLUMNS_AT_ONCE):
        some = directions(x[rows])
        scores = cosines(some, centroids)
        labels[rows] = scores.argmax(1)
        largest[rows] = scores.max(1)
        sums += (labels[rows] == np.arange(len(centroids))[:, None]).astype(np.float64) @ some
    return labels, largest, sums
