"""Examples of several sequences: the same examples, whatever the batch."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from tiny import random_dataset

from minidistil.errors import InputError
from minidistil.text.dataset import MultipleChoiceDataset

OFFSETS = np.array([0, 2, 7, 8, 12, 20])


@pytest.fixture
def data():
    return MultipleChoiceDataset(random_dataset(20), OFFSETS, {"labels": np.array([1, 4, 0, 2, 3])})


def test_batches(data):
    assert len(data) == 5
    every = [data.sequences.batch([i]) for i in range(20)]
    assert data.lengths.tolist() == [
        sum(every[j].num_tokens for j in range(a, b)) for a, b in pairwise(OFFSETS)
    ]
    batch = data.batch([3, 0, 1])
    assert batch.cu_choices.tolist() == [0, 4, 6, 11]
    assert (batch.num_examples, batch.num_sequences) == (3, 11)
    assert batch.targets["labels"].tolist() == [2, 1, 4]
    members = [8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 6]
    assert batch.example_ids.tolist() == data.sequences.example_ids[members].tolist()
    assert batch.input_ids.tolist() == [t for j in members for t in every[j].input_ids]
    assert data.batch(np.zeros(0, int)).num_examples == 0
    assert data.batch(np.array([-1])).num_sequences == 8


def test_groups_in_rectangles(data):
    batch = data.batch([0, 2, 1])
    values = np.arange(8.0)
    table = batch.unpack_choices(values, fill=-np.inf)
    assert table.tolist() == [[0, 1, *[-np.inf] * 3], [2, *[-np.inf] * 4], [3, 4, 5, 6, 7]]
    np.testing.assert_array_equal(batch.pack_choices(table), values)
    plain = data.sequences.batch([0, 1])
    assert plain.num_examples == 2
    with pytest.raises(InputError, match="or a Batch with cu_choices"):
        plain.unpack_choices(values[:2])


def test_the_hash_sees_everything(data):
    changed = [
        replace(data, offsets=np.array([0, 3, 7, 8, 12, 20])),
        replace(data, targets={"labels": np.array([1, 4, 0, 2, 2])}),
        replace(data, targets={}),
        replace(data, sequences=random_dataset(20, seed=1)),
    ]
    assert len({data.content_hash(), *(d.content_hash() for d in changed)}) == 5
    assert replace(data).content_hash() == data.content_hash()


def test_a_target_named_as_a_column_hides_nothing(data):
    named = replace(data, targets={"offsets": np.arange(5)})
    other = replace(named, offsets=np.array([0, 3, 7, 8, 12, 20]))
    assert named.content_hash() != other.content_hash()


def test_what_does_not_fit():
    with pytest.raises(InputError, match="offsets must rise from 0 to 20"):
        MultipleChoiceDataset(random_dataset(20), np.array([0, 2, 2, 20]))
    with pytest.raises(InputError, match="offsets must rise from 0 to 20"):
        MultipleChoiceDataset(random_dataset(20), np.array([0, 2, 19]))
    with pytest.raises(InputError, match="'labels' has 1 rows for 2 examples"):
        MultipleChoiceDataset(random_dataset(20), np.array([0, 2, 20]), {"labels": np.array([0])})


def test_end_to_end(data):
    other = MultipleChoiceDataset(random_dataset(5, seed=1), np.array([0, 3, 5]))
    whole = data.concatenate(other)
    assert whole.offsets.tolist() == [0, 2, 7, 8, 12, 20, 23, 25]
    assert whole.targets["labels"].tolist() == [1, 4, 0, 2, 3, -100, -100]
    assert whole.batch([6]).input_ids.tolist() == other.batch([1]).input_ids.tolist()
    assert len(set(whole.sequences.example_ids.tolist())) == 25
