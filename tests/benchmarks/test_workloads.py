"""Workloads: their choice, data and arithmetic; the rectangular form of the peers."""

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.padding import pad, unpad
from benchmarks.workloads import (
    MASK_ID,
    NO_LABEL,
    WORKLOADS,
    Shape,
    choose,
    encoder_flops,
    find,
    random_batch,
)


def test_names_are_unique():
    assert len({workload.name for workload in WORKLOADS}) == len(WORKLOADS)


def test_choice_by_parts_of_names_and_patterns():
    assert [w.name for w in choose(["start/"], quick=False)] == ["start/import", "start/predict"]
    assert {w.model for w in choose(["bert-base/?x512", "minilm/1x16"], quick=False)} == {
        "bert-base",
        "minilm",
    }
    assert choose([], quick=False) == list(WORKLOADS)
    assert {w.task for w in choose([], quick=True)} == {"start", "forward", "classify", "label"}
    assert choose(["nothing"], quick=False) == []


def test_flops_of_an_encoder_counted_one_product_at_a_time():
    def product(m, k, n):
        return 2 * m * k * n

    shape, lengths = Shape(layers=3, hidden=8, heads=2, intermediate=20), [5, 2]
    tokens, size = sum(lengths), 8 // 2
    layer = 4 * product(tokens, 8, 8) + product(tokens, 8, 20) + product(tokens, 20, 8)
    for length in lengths:
        layer += 2 * (product(length, size, length) + product(length, length, size))  # two heads
    assert encoder_flops(shape, np.array(lengths, float)) == 3 * layer


def test_backward_counts_twice_forward():
    forward, finetune = find("forward/bert-base/8x128"), find("finetune/bert-base/8x128")
    assert finetune.flops(finetune.batches()) == 3 * forward.flops(forward.batches())
    distil = find("distil/bert-base/8x128")
    assert (
        600e9 < distil.flops(distil.batches()) < 680e9
    )  # teacher, and three times a student of half its size


def test_masked_tokens_are_those_with_labels():
    workload = dataclasses.replace(find("distil/bert-base/8x128"), batch=(2, 50))
    [examples] = random_batch(workload)
    ids = np.concatenate(examples.sequences)
    assert ((ids == MASK_ID) == (examples.labels != NO_LABEL)).all()
    assert (ids == MASK_ID).sum() == 15
    assert all(map(np.array_equal, examples.sequences, random_batch(workload)[0].sequences))


@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=9), min_size=1, max_size=5))
def test_padding_and_back(lists):
    sequences = [np.array(one, np.int32) for one in lists]
    ids, mask = pad(sequences)
    assert ids.shape == (len(lists), max(map(len, lists)))
    assert (mask is None) == (len(set(map(len, lists))) == 1)
    if mask is not None:
        assert ((ids > 0) == mask).all()
    assert (unpad(ids, sequences) == np.concatenate(sequences)).all()
