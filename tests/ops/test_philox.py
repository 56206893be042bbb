"""Philox by hand, the known answers of its authors, and streams that do not meet."""

import numpy as np
import pytest

from minidistil.ops.philox import derive_key, normal, philox, random_order

ONES = 0xFFFFFFFF
# Random123, tests/kat_vectors, "philox4x32 10": counter, key, answer. The third is digits of pi.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def test_by_hand():
    """Ten rounds on plain integers. A round multiplies the first and third word by constants, 32 x 32 bits
    to 64. Each high half is XORed into the word next to the other product's, with half of the key; the low
    halves move over. Between rounds both halves of the key move on by a fixed step.
    """
    a, b, c, d = 1, 2, 3, 4
    key_b, key_d = 5, 6
    for _ in range(10):
        high_a, low_a = divmod(0xD2511F53 * a, 2**32)
        high_c, low_c = divmod(0xCD9E8D57 * c, 2**32)
        a, b, c, d = high_c ^ b ^ key_b, low_c, high_a ^ d ^ key_d, low_a
        key_b, key_d = (key_b + 0x9E3779B9) % 2**32, (key_d + 0xBB67AE85) % 2**32
    assert [int(word) for word in philox(1, 2, 3, 4, (5, 6))] == [a, b, c, d]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(counter, key, answer):
    assert tuple(int(word) for word in philox(*counter, key)) == answer


def test_counters_broadcast():
    words = philox(np.arange(3)[:, None], np.arange(2)[None, :], 5, 7, (1, 2))
    for word, alone in zip(words, philox(2, 1, 5, 7, (1, 2)), strict=True):
        assert word.shape == (3, 2)
        assert word.dtype == np.uint32
        assert word[2, 1] == alone


def test_keys_differ_by_every_element_of_their_path():
    paths = [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (1, 2, 3), (3, 2, 1), (2**32,), (2**40 + 1,)]
    keys = {derive_key(seed, *path) for seed in (0, 1, 2**32, 2**63) for path in paths}
    assert len(keys) == 4 * len(paths)


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_random_order_is_a_permutation_that_repeats(n):
    order = random_order(n, 3, 1)
    assert sorted(order) == list(range(n))
    np.testing.assert_array_equal(order, random_order(n, 3, 1))
    if n == 1000:
        assert (order != random_order(n, 3, 2)).mean() > 0.9
        assert (order != np.arange(n)).mean() > 0.9


def test_normal_numbers_are_normal_and_repeat():
    x = normal((200, 500), 7, 1)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, normal((200, 500), 7, 1))
    assert not np.array_equal(x, normal((200, 500), 7, 2))
    assert abs(x.mean()) < 5 / 100_000**0.5
    assert abs(x.var() - 1) < 5 * (2 / 100_000) ** 0.5
    assert np.abs(x).max() > 3.5
