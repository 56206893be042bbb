"""Lists of different lengths are taken as they are: the same numbers as of padded arrays."""

import numpy as np
import pytest
from tiny import RANDOM

from minidistil import BertConfig
from minidistil.errors import InputError, UsageError
from minidistil.model import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    ErnieForSequenceClassification,
)
from minidistil.model.families.ernie import ErnieConfig

IDS = [[2, 7, 9, 3], [2, 3], [2, 5, 3]]
TYPES = [[0, 0, 1, 1], [0, 1], [1, 1, 1]]
PADDED = np.array([[2, 7, 9, 3], [2, 3, 0, 0], [2, 5, 3, 0]])
PADDED_TYPES = np.array([[0, 0, 1, 1], [0, 1, 0, 0], [1, 1, 1, 0]])
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])


def make(kind, config=RANDOM):
    return kind(config, backend="numpy", seed=1)


def assert_equal(found, wanted):
    assert list(found) == list(wanted)
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)


@pytest.mark.parametrize(
    ("kind", "targets"),
    [
        (BertForSequenceClassification, {"labels": [0, 1, 1]}),
        (BertForQuestionAnswering, {"start_positions": [0, 1, 1], "end_positions": [1, 1, 2]}),
    ],
)
def test_ragged_lists_are_padded(kind, targets):
    model = make(kind)
    wanted = model(PADDED, MASK, PADDED_TYPES, **targets)
    ones = [[1] * len(row) for row in IDS]
    forms = [
        (IDS, ones, TYPES),
        (IDS, None, TYPES),
        (tuple(map(tuple, IDS)), ones, TYPES),
        ([np.array(row, np.int32) for row in IDS], [np.array(row, bool) for row in ones], TYPES),
        (
            np.array([np.array(row) for row in IDS], object),
            ones,
            np.array([np.array(row) for row in TYPES], object),
        ),
    ]
    for ids, mask, types in forms:
        assert_equal(model(ids, mask, types, **targets), wanted)
    assert model(IDS, token_type_ids=TYPES)[0].shape[0] == 3


def test_holes_in_a_ragged_mask_stay():
    model = make(BertForSequenceClassification)
    mask = [[1, 0, 1, 1], [1, 1], [1, 1, 1]]
    wanted = model(PADDED, [[1, 0, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])
    assert_equal(model(IDS, mask), wanted)


@pytest.mark.parametrize("kind", [BertForTokenClassification, BertForMaskedLM])
def test_labels_of_tokens(kind):
    model = make(kind)
    labels, padded = [[0, 1, -100, 1], [1, 0], [0, 0, 1]], np.full(PADDED.shape, -100)
    for i, row in enumerate(labels):
        padded[i, : len(row)] = row
    wanted = model(PADDED, MASK, labels=padded)
    assert_equal(model(IDS, labels=labels), wanted)
    assert_equal(model(IDS, labels=[np.array(row, np.int8) for row in labels]), wanted)
    unsigned = [[0, 1, 0, 1], [1, 0], [0, 0, 1]]
    found = model(IDS, labels=[np.array(row, np.uint8) for row in unsigned])
    assert found.loss == model(IDS, labels=unsigned).loss
    loss, grads = model.loss_and_grads(PADDED, MASK, labels=padded)
    again, others = model.loss_and_grads(IDS, labels=labels)
    assert loss == again
    np.testing.assert_array_equal(grads.flat, others.flat)


def test_choices():
    model = make(BertForMultipleChoice)
    ids = [[[2, 7, 9, 3], [2, 3]], [[2, 5, 3], [2, 9, 3]]]
    padded = np.zeros((2, 2, 4), int)
    for i, example in enumerate(ids):
        for j, row in enumerate(example):
            padded[i, j, : len(row)] = row
    assert_equal(model(ids, labels=[0, 1]), model(padded, padded > 0, labels=[0, 1]))
    assert model(padded).logits.shape == (2, 2)
    with pytest.raises(InputError, match=r"the same number of choices, not \[1, 2\]"):
        model([[[2, 3]], [[2, 3], [2, 5, 3]]])


def test_other_ids_of_a_family():
    fields = {name: getattr(RANDOM, name) for name in ("vocab_size", "hidden_size", "num_attention_heads")}
    config = ErnieConfig(**fields, num_hidden_layers=1, intermediate_size=8, use_task_id=True)
    model = make(ErnieForSequenceClassification, config)
    task = [[1] * len(row) for row in IDS]
    assert_equal(model(IDS, task_type_ids=task), model(PADDED, MASK, task_type_ids=MASK))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"input_ids": [[2, 3], []]}, "row 1 of input_ids has no tokens"),
        (
            {"input_ids": IDS, "attention_mask": MASK},
            "rows of different lengths, .4, 2, 3.: attention_mask must",
        ),
        ({"input_ids": IDS, "attention_mask": MASK.tolist()}, r"attention_mask must .* not \[4, 4, 4\]"),
        ({"input_ids": IDS, "token_type_ids": TYPES[:2]}, r"token_type_ids must .* not \[4, 2\]"),
        ({"input_ids": IDS, "token_type_ids": 1}, "token_type_ids must .* not int"),
        ({"input_ids": [[2, 3.5], [2]]}, "input_ids must be integers"),
        ({"input_ids": [["a", "b"], ["c"]]}, "input_ids must be integers"),
        ({"input_ids": [[[2], [3, 4]], [5]]}, "rows"),
        ({"input_ids": [[2, 3], 5]}, "different lengths"),
        ({"input_ids": IDS, "attention_mask": [[1, 1, 2, 1], [1, 1], [1, 1, 1]]}, "must hold 1"),
        ({"input_ids": [[2, 99], [2]]}, "token id 99 is outside"),
    ],
)
def test_what_is_refused(inputs, message):
    with pytest.raises(InputError, match=message):
        make(BertForSequenceClassification)(**inputs)


def test_what_is_no_ids_has_a_hint():
    model = make(BertForSequenceClassification)
    with pytest.raises(UsageError, match=r"unpacked: model\(\*\*inputs\)"):
        model({"input_ids": IDS})
    for texts in ("a film", ["a film", "so bad"]):
        with pytest.raises(InputError, match=r"as model\(\*\*tokenizer\(texts\)\)"):
            model(texts)


def test_long_lists_are_shown_in_part():
    ids = [[2] * n for n in range(1, 11)]
    with pytest.raises(InputError, match=r"\[1, 2, 3, 4, 5, 6, 7, 8, \.\.\.\]"):
        make(BertForSequenceClassification, BertConfig(**{**SMALL}))(ids, attention_mask=[[1]])


SMALL = {
    "vocab_size": 5,
    "hidden_size": 4,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 4,
}
