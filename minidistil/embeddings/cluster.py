"""Vectors in groups: a given number of clusters, or communities of those that are near enough."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.embeddings.directory import Similarity
from minidistil.embeddings.search import COLUMNS_AT_ONCE, blocks, cosines, directions, duplicates
from minidistil.embeddings.vectors import as_vectors
from minidistil.errors import UsageError
from minidistil.ops.philox import derive_key, philox

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

PURPOSE = 0xC1057E  # sets these random numbers apart from others under the same seed
MAX_ROUNDS = 100  # a safeguard: each round raises the sum of cosines, and a few dozen usually do


class Clusters(NamedTuple):
    """N vectors in k clusters.

    Attributes
    ----------
    labels : int64 [N]
        The cluster of each.
    centroids : float32 [k, H]
        Directions of the clusters, of length 1.
    nearest : int64 [k]
        The member nearest to each centroid, which may stand for the cluster; -1 if it has no members.
    cosines : float32 [N]
        Of each vector with its centroid.
    """

    labels: Int64
    centroids: npt.NDArray[np.float32]
    nearest: Int64
    cosines: npt.NDArray[np.float32]


def cluster(vectors: npt.ArrayLike, k: int, *, seed: int = 0, max_rounds: int = MAX_ROUNDS) -> Clusters:
    """Spherical k-means: k directions, each the mean of the vectors whose nearest it is.

    Parameters
    ----------
    vectors : float [N, H]
        Of any length; only directions count. One of zeros goes with whatever centroid is first.
    k : int
        From 1 to N.
    seed : int
        Of the start; the result depends on it and on the vectors alone.
    max_rounds : int

    Returns
    -------
    Clusters
        Every vector is with the centroid nearest to it, of equally near ones with the first.

    Raises
    ------
    InputError
        Other shapes, a NaN, an Inf.
    UsageError
        k out of range.

    Notes
    -----
    With vectors x_i of length 1, rounds of

        label_i = argmax_j c_j . x_i,    c_j = sum_{label_i = j} x_i / |sum_{label_i = j} x_i|

    never lower the sum of the cosines c_label . x (Dhillon and Modha 2001, "Concept Decompositions for Large
    Sparse Text Data Using Clustering"), and end when no label changes. A centroid that loses all its members
    stays where it was.

    The start is k-means++ (Arthur and Vassilvitskii 2007, "k-means++: The Advantages of Careful Seeding",
    section 2.2): the first centroid is one of the vectors at random, each further one is drawn with a
    probability proportional to its squared distance to the nearest so far, which is 2 - 2 cos.
    """
    x = as_vectors("vectors", vectors)
    if not 1 <= k <= len(x):
        raise UsageError(f"{len(x)} vectors go into 1 to {len(x)} clusters, not into {k}")
    centroids = _start(x, k, seed)
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
    nearest[labels[worst_first]] = worst_first  # of several that are written to one place the last stays
    return Clusters(labels, centroids.astype(np.float32), nearest, nearness.astype(np.float32))


def communities(
    vectors: npt.ArrayLike, threshold: float, *, min_size: int = 2, similarity: Similarity = "cosine"
) -> list[Int64]:
    """Groups around a centre, to which each member has a cosine, or other score, of at least `threshold`.

    Parameters
    ----------
    vectors : float [N, H]
    threshold : float
        Of a cosine from -1 to 1.
    min_size : int
        Smaller groups are left out.
    similarity
        As of `minidistil.embeddings.search.search`.

    Returns
    -------
    list of int64 [members]
        The largest group first, of equally large ones that with the first centre. In each, the centre comes
        first, then the others in their order. No vector is in two.

    Raises
    ------
    InputError
        Other shapes, a NaN, an Inf.
    UsageError
        A threshold that no score has.

    Notes
    -----
    The star algorithm (Aslam, Pelekhov and Rus 2004, "The Star Clustering Algorithm for Static and Dynamic
    Information Organization") over the graph of all pairs that are near enough: of the vectors not yet in a
    group, that with the most neighbours becomes a centre, and takes them along. Unlike linking whoever is
    near a member, that makes no chains. Neighbours that two stars share go to the first here.
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


def _start(x: npt.NDArray[Any], k: int, seed: int) -> Float64:
    """k-means++: k of the vectors."""
    high, low, _, _ = philox(np.arange(k), 0, 0, 0, derive_key(seed, PURPOSE))
    # 53 of 64 random bits, as many as a float64 between 0 and 1 holds
    draws = (high.astype(np.uint64) << np.uint64(32) | low) >> np.uint64(11)
    weights = np.full(len(x), 2.0)  # half the squared distance, 1 - cos, is at most that
    chosen: list[int] = []
    for draw in draws * 2.0**-53:
        if not weights.any():  # the rest equals what was chosen
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
    """The nearest centroid of each vector, their cosine, and the sum [k, H] of those that share one."""
    labels, largest = np.zeros(len(x), np.int64), np.zeros(len(x))
    sums = np.zeros_like(centroids)
    for rows in blocks(len(x), COLUMNS_AT_ONCE):
        some = directions(x[rows])
        scores = cosines(some, centroids)
        labels[rows] = scores.argmax(1)
        largest[rows] = scores.max(1)
        sums += (labels[rows] == np.arange(len(centroids))[:, None]).astype(np.float64) @ some
    return labels, largest, sums
