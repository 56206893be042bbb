"""From the rectangular form to the packed one and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidistil.batch import Batch
from minidistil.errors import InputError

masks = st.integers(1, 5).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(0, 1), min_size=width, max_size=width).filter(any), min_size=1, max_size=5
    )
)


@given(masks, st.integers(0, 2**31 - 1))
def test_pack_and_unpack_are_inverse_for_any_mask(mask, seed):
    """Also with padding on the left, and holes."""
    mask = np.array(mask)
    rng = np.random.default_rng(seed)
    ids, types = rng.integers(0, 99, mask.shape), rng.integers(0, 2, mask.shape)
    values = rng.standard_normal((*mask.shape, 3))
    batch = Batch.from_padded(ids, mask, types)
    assert batch.num_tokens == mask.sum()
    np.testing.assert_array_equal(batch.lengths, mask.sum(1))
    np.testing.assert_array_equal(batch.input_ids, ids[mask == 1])
    np.testing.assert_array_equal(batch.token_type_ids, types[mask == 1])
    np.testing.assert_array_equal(batch.columns, np.nonzero(mask)[1])
    np.testing.assert_array_equal(batch.unpack(batch.input_ids), ids * mask)
    np.testing.assert_array_equal(batch.unpack(batch.pack(values), fill=-1)[mask == 1], values[mask == 1])
    assert (batch.unpack(batch.pack(values), fill=-1)[mask == 0] == -1).all()
    packed = rng.standard_normal(batch.num_tokens)
    np.testing.assert_array_equal(batch.pack(batch.unpack(packed)), packed)


@given(masks)
def test_rows_and_places_say_where_a_token_is(mask):
    batch = Batch.from_padded(np.ones_like(mask), mask)
    for t in range(batch.num_tokens):
        start, stop = batch.cu_seqlens[batch.sequence_ids[t] : batch.sequence_ids[t] + 2]
        assert start <= t < stop
        assert batch.token_index[t] == t - start
    np.testing.assert_array_equal(batch.token_index[batch.cls_rows], 0)


def test_sequences_and_their_rectangle_give_the_same_batch():
    sequences = [[5, 6, 7], [8], [9, 10]]
    packed = Batch.from_sequences(sequences, [[0, 0, 1], [0], [1, 1]])
    ids, mask = [[5, 6, 7], [8, 0, 0], [9, 10, 0]], [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    other = Batch.from_padded(ids, mask, [[0, 0, 1], [0, 0, 0], [1, 1, 0]])
    for name in ("input_ids", "cu_seqlens", "token_type_ids", "example_ids", "columns"):
        a, b = getattr(packed, name), getattr(other, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert packed.width == other.width == 3
    np.testing.assert_array_equal(packed.unpack(packed.input_ids), ids)


def test_one_row_needs_no_brackets_and_no_mask():
    batch = Batch.from_padded([4, 5, 6])
    np.testing.assert_array_equal(batch.cu_seqlens, [0, 3])


def test_an_empty_batch():
    batch = Batch.from_sequences([])
    assert (batch.num_sequences, batch.num_tokens, batch.width) == (0, 0, 0)


def test_targets_are_added_without_touching_the_batch():
    batch = Batch.from_sequences([[1, 2]], targets={"a": np.array([1])})
    more = batch.with_targets(b=np.array([2]))
    assert set(batch.targets) == {"a"}
    assert set(more.targets) == {"a", "b"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Batch.from_padded([[1, 2], [3, 4]], [[1, 1], [0, 0]]),
            "row 1 of attention_mask is all zeros",
        ),
        (lambda: Batch.from_padded([[1, 2]], [[1, 1, 1]]), r"attention_mask has shape \[1, 3\]"),
        (lambda: Batch.from_padded([[1, 2]], None, [[0]]), r"token_type_ids has shape \[1, 1\]"),
        (lambda: Batch.from_padded([[1.5, 2]]), r"must be integers of shape \[B, L\], not float64"),
        (lambda: Batch.from_padded([[[1]]]), r"not int64 \[1, 1, 1\]"),
        (lambda: Batch.from_padded([[1, -2]]), "token id -2 is outside any vocabulary"),
        (lambda: Batch.from_padded([[2**31]]), "token id 2147483648"),
        (lambda: Batch.from_padded([[1, 2], [3]]), "rows of input_ids have different lengths"),
        (lambda: Batch.from_sequences([[1], []]), "sequence 1 has no tokens"),
        (lambda: Batch.from_sequences([[1], [2.5]]), "sequence 1 must be integers"),
        (
            lambda: Batch.from_sequences([[1], [[2]]]),
            r"sequence 1 must be integers \[n\], not int64 \[1, 1\]",
        ),
        (lambda: Batch.from_sequences([np.array([2**32 + 1])]), "sequence 0 holds 4294967297"),
        (lambda: Batch.from_sequences([[1, 2], [3]], [[0], [0, 1]]), "one for each token"),
        (lambda: Batch.from_sequences([[1, 2, 3]], [[1]]), "one for each token"),
        (lambda: Batch.from_sequences([[1], [2]], example_ids=[4]), "1 example_ids for 2 sequences"),
        (lambda: Batch.from_padded([[1, 2]]).pack(np.zeros((2, 1))), r"shape \[1, 2, \.\.\.\], not \[2, 1\]"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
