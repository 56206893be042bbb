"""Relative position bias: a table of four buckets by hand, and the buckets of the papers."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minidistil.errors import UsageError
from minidistil.ops.relative_bias import (
    add_by_distance,
    bucket_starts,
    by_distance,
    distance_buckets,
    relative_bias_backward,
    relative_bias_forward,
)


def test_by_hand(backend):
    """Four buckets, two in each direction: the first of distance 0, the second of all others.

    Keys at the query or before it have buckets 0 and 1. Those after it have 2 and 3, and as none of them is
    at distance 0, bucket 2 stays empty. For N = 3 the distances -2 ... 2 are in buckets 1, 1, 0, 3, 3. So the
    table (10, 20, 30, 40) gives (20, 20, 10, 40, 40), and the gradients (1, 2, 4, 8, 16) add up to 4 for
    bucket 0, 1 + 2 for bucket 1, none for bucket 2, and 8 + 16 for bucket 3.
    """
    table = np.array([[10.0], [20], [30], [40]])
    bias, cache = backend.relative_bias_forward(table, 3, 2)
    assert_array_equal(bias, [[20, 20, 10, 40, 40]])
    dbias = np.array([[1.0, 2, 4, 8, 16]])
    assert_array_equal(backend.relative_bias_backward(dbias, cache), [[4], [3], [0], [24]])
    begun = np.full((4, 1), 100.0)
    assert backend.relative_bias_backward(dbias, cache, begun) is begun
    assert_array_equal(begun, [[104], [103], [100], [124]])


def as_published(distance, buckets, max_distance, bidirectional):
    """Bucket of one distance j - i, by the logarithm of the paper's own code, in float32 as there."""
    found, n = 0, -distance
    if bidirectional:
        buckets //= 2
        found, n = (buckets if n < 0 else 0), abs(n)
    else:
        n = max(n, 0)
    exact = buckets // 2
    if n < exact:
        return found + n
    log = np.log(np.float32(n) / np.float32(exact)) / np.float32(math.log(max_distance / exact))
    return found + min(exact + int(log * np.float32(buckets - exact)), buckets - 1)


def test_the_buckets_that_t5_and_mpnet_have():
    """32 buckets up to 128, as published; all of them are met by 92 tokens."""
    assert bucket_starts(16, 128) == [*range(8), 8, 12, 16, 23, 32, 46, 64, 91]
    late = [16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113]
    assert bucket_starts(32, 128) == [*range(16), *late]
    found = distance_buckets(92, 32, 128, bidirectional=True)
    assert sorted(set(found.tolist())) == [n for n in range(32) if n != 16]  # 0 after the query is nowhere
    assert_array_equal(
        found[91 + np.array([-91, -90, -1, 0, 1, 7, 8, 11, 12])], [15, 14, 1, 0, 17, 23, 24, 24, 25]
    )


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(
    ("buckets", "max_distance"), [(32, 128), (4, 8), (6, 20), (10, 50), (32, 64), (64, 256), (40, 1000)]
)
def test_buckets_are_those_of_the_logarithm(buckets, max_distance, bidirectional):
    N = max_distance + 3
    expected = [as_published(d, buckets, max_distance, bidirectional) for d in range(1 - N, N)]
    assert distance_buckets(N, buckets, max_distance, bidirectional=bidirectional).tolist() == expected


@pytest.mark.parametrize(("buckets", "max_distance"), [(1, 128), (2, 1), (32, 16)])
def test_buckets_that_cannot_be(buckets, max_distance):
    with pytest.raises(
        UsageError, match=f"^{buckets} buckets of distances in one direction up to {max_distance}: "
    ):
        bucket_starts(buckets, max_distance)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_the_table_is_read_by_head_and_distance(backend, bidirectional):
    table = np.random.default_rng(0).normal(size=(32, 3))
    bias, _ = backend.relative_bias_forward(table, 200, bidirectional=bidirectional)
    assert bias.shape == (3, 399)
    for distance in (-199, -100, -12, -1, 0, 1, 8, 150, 199):
        row = as_published(distance, 32, 128, bidirectional)
        assert_array_equal(bias[:, distance + 199], table[row])


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_longer_table_of_distances_serves_shorter_sequences(length):
    """Entry (i, j) is that of distance j - i, and on the way back a distance gets the sum of its entries."""
    bias = np.arange(2 * 9.0).reshape(2, 9)  # N = 5: distance 0 is in column 4
    scores = by_distance(bias, length)
    assert scores.shape == (2, length, length)
    dscores, dbias, expected = (
        np.random.default_rng(0).normal(size=scores.shape),
        np.ones((2, 9)),
        np.ones((2, 9)),
    )
    add_by_distance(dscores, dbias)
    for i in range(length):
        for j in range(length):
            assert_array_equal(scores[:, i, j], bias[:, 4 + j - i])
            expected[:, 4 + j - i] += dscores[:, i, j]
    assert_allclose(dbias, expected, rtol=1e-12)


def test_float32_stays_float32(backend):
    bias, cache = backend.relative_bias_forward(np.ones((32, 2), np.float32), 5)
    assert bias.dtype == relative_bias_backward(bias, cache).dtype == np.float32
    assert relative_bias_forward(np.ones((32, 2)), 5)[0].dtype == np.float64
