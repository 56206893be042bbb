"""Relative position bias: a number for each head and each distance from a query to a key, from buckets.

Raffel et al. 2020 (T5, arXiv:1910.10683, section 2.1), for both directions in Song et al. 2020 (MPNet,
arXiv:2004.09297).
"""

from __future__ import annotations

import numpy as np

from minidistil.arrays import Array, IntArray
from minidistil.errors import UsageError

Cache = tuple[IntArray, tuple[int, ...]]


def bucket_starts(buckets: int, max_distance: int) -> list[int]:
    """Smallest distance in each bucket: 0, 1, 2, ... in the first half, then wider and wider ones.

    Raises
    ------
    UsageError
        Fewer than two buckets, or no distances left for the second half.

    Notes
    -----
    With e = buckets / 2 (exact) and w = buckets - e (wide), a distance n >= e is in bucket

        e + floor(w log(n / e) / log(max_distance / e)),    at most the last

    so that bucket e + m begins at the smallest n with n^w e^m >= max_distance^m e^w. These are integers:
    where a distance falls on a border, as 16, 32 and 64 do in 16 buckets up to 128, nothing is rounded.
    """
    e = buckets // 2
    w = buckets - e
    if e < 1 or max_distance <= e:
        raise UsageError(
            f"{buckets} buckets of distances in one direction up to {max_distance}: expected at least 2 "
            f"buckets, and a largest distance above half of them"
        )
    starts, n = list(range(e)), e
    for m in range(w):
        while n**w * e**m < max_distance**m * e**w:
            n += 1
        starts.append(n)
    return starts


def distance_buckets(longest: int, buckets: int, max_distance: int, *, bidirectional: bool) -> IntArray:
    """Bucket of each distance j - i from a query i to a key j, from -(longest - 1) to longest - 1.

    Returns
    -------
    int64 [2 * longest - 1]
        With both directions, keys after the query have the second half of the buckets. With one, they are all
        in bucket 0, like the query itself: a decoder never looks there.
    """
    distances = np.arange(1 - longest, longest)
    each = buckets // 2 if bidirectional else buckets
    starts = np.array(bucket_starts(each, max_distance))
    if not bidirectional:
        return np.searchsorted(starts, np.maximum(-distances, 0), side="right") - 1
    return np.searchsorted(starts, np.abs(distances), side="right") - 1 + each * (distances > 0)


def relative_bias_forward(
    table: Array, longest: int, max_distance: int = 128, *, bidirectional: bool = True
) -> tuple[Array, Cache]:
    """Look up the bias of every distance in sequences of up to `longest` tokens.

    Parameters
    ----------
    table : [buckets, A]
        A number for each head.
    longest : int
        N, at least 1.
    max_distance : int
        All distances from here on are in the last bucket.
    bidirectional : bool
        Keys before and after a query have buckets of their own, half of them each. False: for a decoder.

    Returns
    -------
    bias : [A, 2N - 1]
        bias[a, j - i + N - 1] is added to the score of query i and key j of head a, as `attention_forward`
        takes it.
    cache : for `relative_bias_backward`

    Raises
    ------
    UsageError
        See `bucket_starts`.
    """
    rows = distance_buckets(longest, len(table), max_distance, bidirectional=bidirectional)
    return np.ascontiguousarray(table[rows].T), (rows, table.shape)  # [2N - 1, A] -> [A, 2N - 1]


def relative_bias_backward(dbias: Array, cache: Cache, dtable: Array | None = None) -> Array:
    """Gradient of the table [buckets, A], added to `dtable` if that is given: a bucket sums its distances."""
    rows, shape = cache
    if dtable is None:
        dtable = np.zeros(shape, dbias.dtype)
    np.add.at(dtable, rows, dbias.T)  # from the first distance to the last
    return dtable


def by_distance(bias: Array, length: int) -> Array:
    """The bias of each query and key of a sequence: [A, 2N - 1] -> [A, L, L], L <= N."""
    place = np.arange(length)
    middle = bias.shape[1] // 2  # distance 0
    return bias[:, middle + place - place[:, None]]


def add_by_distance(dscores: Array, dbias: Array) -> None:
    """The way back of `by_distance`: dbias [A, 2N - 1] += the sum of each diagonal of dscores [A, L, L]."""
    length, middle = dscores.shape[1], dbias.shape[1] // 2
    for distance in range(1 - length, length):
        dbias[:, middle + distance] += np.diagonal(dscores, distance, axis1=1, axis2=2).sum(-1)
