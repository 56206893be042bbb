"""Nothing reaches a kernel unchecked, and nothing is converted silently."""

from dataclasses import replace

import numpy as np
import pytest

from minidistil import BertConfig
from minidistil.batch import Batch
from minidistil.errors import InputError, MinidistilError, UsageError
from minidistil.model import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)
from minidistil.model.modules import Embeddings
from minidistil.ops.dropout import Dropout

CONFIG = BertConfig(
    vocab_size=30,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=8,
    max_position_embeddings=8,
)
IDS = np.array([[2, 7, 9, 3], [2, 5, 3, 0]])
MASK = np.array([[1, 1, 1, 1], [1, 1, 1, 0]])
BATCH = Batch.from_padded(IDS, MASK, position_ids=[[0, 1, 2, 3]])


def ints(*values, dtype=np.int32):
    return np.array(values, dtype)


@pytest.fixture(scope="module")
def model():
    return BertForSequenceClassification(CONFIG, backend="numpy")


def make(kind):
    return kind(CONFIG, backend="numpy")


BOUNDS = [
    (0, 4, 1000), (0, 2, 4), (3, 5, 7), (0, 0, 0), (0,), (), (0, 8, 7), (0, -1, 7), (0, 4, 4, 7),
    (0, 2**31 - 1, 7),
]  # fmt: skip
FIELDS = ("input_ids", "cu_seqlens", "token_type_ids", "position_ids", "example_ids", "columns")
SHAPES = {
    "short": lambda a: a[:-1],
    "long": lambda a: np.append(a, a[-1:]),
    "empty": lambda a: a[:0],
    "a list": lambda a: a.tolist(),
    "none": lambda a: None,
    "of two dimensions": lambda a: a[None],
    "of another byte order": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "narrower": lambda a: a.astype(np.int16),
    "floats": lambda a: a.astype(float),
    "every other": lambda a: np.repeat(a, 2)[::2],
}  # fmt: skip
BATCHES = [
    *({"cu_seqlens": ints(*bounds)} for bounds in BOUNDS),
    *({"cu_choices": ints(*bounds, dtype=np.int64)} for bounds in [(0, 3), (1, 2), (0, 0, 2), (0, 2, 1)]),
    *(
        {name: change(getattr(BATCH, name))}
        for name in FIELDS
        for shape, change in SHAPES.items()
        if (name, shape) != ("position_ids", "none")  # they may be left to the family
    ),
]


@pytest.mark.parametrize("change", BATCHES, ids=str)
def test_a_batch_that_does_not_fit_is_refused_before_anything_is_computed(model, monkeypatch, change):
    outputs, cache = model.forward(BATCH)
    bad = replace(BATCH, targets={"labels": np.array([0, 1])}, **change)
    monkeypatch.setattr(Embeddings, "forward", None)  # a forward pass would fail here with a TypeError
    monkeypatch.setattr(Embeddings, "backward", None)
    name = f"Batch: ({next(iter(change))}|cu_seqlens)"  # what other fields are measured by may be blamed
    with pytest.raises(InputError, match=name):
        model.forward(bad)
    with pytest.raises(InputError, match=name):
        model.losses(outputs, bad)
    with pytest.raises(InputError, match=name):
        model.backward({}, cache._replace(batch=bad), model.params.like())


def test_columns_that_do_not_fit_are_refused_where_they_are_used():
    for columns in (ints(0, 1, 2, 9, 0, 1, 2), ints(-1, 1, 2, 3, 0, 1, 2), ints(0, 1, 1, 3, 0, 1, 2)):
        with pytest.raises(InputError, match="columns must rise"):
            replace(BATCH, columns=columns).unpack(np.ones(7))


ARRAYS = {
    "beyond int32": (IDS * 0 + 2**32 + 1, "4294967297"),
    "floats": (IDS * 0 + 0.9, "float64"),
    "whole floats": (IDS * 0.0, "float64"),
    "text": (IDS.astype(str), "<U"),
    "dates": (IDS.astype("M8[D]"), "datetime64"),
    "bools": (IDS > 3, "bool"),
    "objects": (IDS.astype(object), "object"),
    "ragged": ([[0], [0, 1]], "not an array|different lengths"),
    "another shape": (IDS[:1, :2], "shape"),
}


@pytest.mark.parametrize(("value", "message"), ARRAYS.values(), ids=ARRAYS)
def test_only_integers_are_taken_for_integers(model, value, message):
    for name in ("token_type_ids", "position_ids"):
        with pytest.raises(InputError, match=message):
            model(IDS, **{name: value})
    with pytest.raises(InputError, match=message):  # of another shape is then the mask
        model(value, MASK)


def test_integers_of_any_width_and_byte_order_have_their_values(model):
    expected = model(IDS, MASK).logits
    for dtype in ("i1", "u2", ">i4", ">i8", "u8"):
        found = model(IDS.astype(dtype), MASK, IDS.astype(dtype) * 0).logits
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", [int, bool, np.uint8, float, ">i4"])
def test_masks_are_zeros_and_ones_of_any_number(model, kind):
    np.testing.assert_array_equal(model(IDS, MASK.astype(kind)).logits, model(IDS, MASK).logits)


@pytest.mark.parametrize(
    "mask",
    [
        np.where(MASK, 0, -1e9),
        np.where(MASK, 0, -np.inf),
        np.where(MASK, 1, np.nan),
        MASK * 0.5,
        MASK * 2,
        MASK * -1,
        MASK.astype(str),
        MASK.astype(object),
    ],
    ids=str,
)
def test_other_masks_are_refused(model, mask):
    with pytest.raises(InputError, match=r"attention_mask must hold 1 \(a token\) and 0 \(padding\)"):
        model(IDS, mask)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("atention_mask", "attention_mask"),
        ("attention_masks", "attention_mask"),
        ("token_type_id", "token_type_ids"),
        ("lables", "labels"),
        ("output_hidden_state", "output_hidden_states"),
        ("start_positions", None),
        ("return_dict", None),
    ],
)
def test_an_unknown_argument_is_refused_with_the_nearest(model, name, meant):
    calls = [lambda **more: model(IDS, labels=[0, 1], **more)]
    if meant != "output_hidden_states":
        calls += [lambda **more: model.loss_and_grads(IDS, labels=[0, 1], **more)]
        calls += [lambda **more: model.pack(IDS, labels=[0, 1], **more)]
    for call in calls:
        with pytest.raises(UsageError) as caught:
            call(**{name: MASK})
        assert f"takes no argument '{name}'" in str(caught.value)
        assert "it takes: input_ids, attention_mask" in str(caught.value)
        assert meant is None or f"did you mean {meant}?" in str(caught.value)


def test_a_target_that_is_none_is_not_given(model):
    assert "loss" not in model(IDS, labels=None)


TARGETS = [
    (BertForSequenceClassification, {"labels": [0, 1, 1]}, r"labels must be integers of shape \[2\]"),
    (BertForSequenceClassification, {"labels": [0, 2]}, "labels: label 2 at index 1 is out of range"),
    (BertForSequenceClassification, {"labels": [0, -1]}, "labels: label -1 at index 1 is out of range"),
    (BertForSequenceClassification, {"labels": ["a", "b"]}, "labels"),
    (BertForSequenceClassification, {"labels": [True, False]}, "labels"),
    (BertForSequenceClassification, {"labels": [[0], [1, 0]]}, "labels is not an array"),
    (BertForSequenceClassification, {"labels": [[0.0, np.nan], [1, 0]]}, "labels must be finite"),
    (BertForSequenceClassification, {"labels": np.ones((2, 2)).T[:, :1]}, "labels have shape"),
    (BertForSequenceClassification, {"labels": 0.5}, r"labels have shape \[\]"),
    (BertForTokenClassification, {"labels": [0, 1]}, r"labels must have shape \[2, 4, \.\.\.\]"),
    (BertForTokenClassification, {"labels": IDS}, "labels: label 2 at index 0 is out of range"),
    (BertForTokenClassification, {"labels": IDS * 0.0}, "labels must be integers"),
    (BertForMaskedLM, {"labels": IDS + 100}, "labels: label 102 at index 0 is out of range"),
    (
        BertForQuestionAnswering,
        {"start_positions": [0, 1, 1], "end_positions": [0, 1]},
        r"start_positions must be integers of shape \[2\]",
    ),
    (
        BertForQuestionAnswering,
        {"start_positions": [0, 1], "end_positions": ["0", "1"]},
        r"end_positions must be integers of shape \[2\]",
    ),
    (BertForQuestionAnswering, {"start_positions": [0, 1]}, "needs 'end_positions'"),
    (BertForMultipleChoice, {"labels": [0, 1]}, "choices are compared within an example"),
    (BertModel, {"labels": [0, 1]}, "BertModel takes no argument 'labels'"),
]


@pytest.mark.parametrize(("kind", "targets", "message"), TARGETS)
def test_targets_are_checked_by_name(kind, targets, message):
    model = make(kind)
    for call in (model, model.loss_and_grads):
        with pytest.raises(MinidistilError, match=message):
            call(IDS, MASK, **targets)


DOUTS = [
    ({"pooled": np.ones((2, 8))}, "takes no gradient of 'pooled'"),
    ({"pooler_output": np.ones((2, 8))}, "takes no gradient of 'pooler_output'"),
    ({"attentions": []}, "takes no gradient of 'attentions'"),
    ({"logits": np.ones((3, 2))}, r"gradient of logits must be numbers of shape \[2, 2\]"),
    ({"logits": [["a", "b"]] * 2}, "gradient of logits must be numbers"),
    ({"last_hidden_state": np.ones((2, 4, 8))}, r"numbers of shape \[7, 8\]"),
    ({"hidden_states": [np.ones((7, 8))]}, "gradient of hidden_states is a mapping"),
    ({"hidden_states": {3: np.ones((7, 8))}}, "numbers from 0 to 2"),
    ({"qkv": {0: np.ones((7, 8))}}, r"gradient of qkv\[0\] must be numbers of shape \[7, 24\]"),
]


@pytest.mark.parametrize(("douts", "message"), DOUTS)
def test_gradients_of_outputs_are_checked(model, douts, message):
    cache, grads = model.forward(BATCH)[1], model.params.like()
    with pytest.raises(MinidistilError, match=message):
        model.backward(douts, cache, grads)
    assert not grads.flat.any()


def test_what_belongs_to_another_model_is_refused(model):
    other = make(BertForTokenClassification)
    outputs, cache = model.forward(BATCH)
    labelled = BATCH.with_targets(labels=np.array([0, 1]))
    fewer = Batch.from_sequences([[1]], targets={"labels": np.array([0])})
    calls = [
        (lambda: model.backward({}, None, model.params.like()), "keep_cache=True"),
        (lambda: other.backward({}, cache, other.params.like()), "another model"),
        (lambda: model.backward({}, cache, other.params.like()), "laid out as"),
        (lambda: model.backward({}, cache, model.params.like(np.float64)), "laid out as"),
        (lambda: model.losses({}, labelled), "output 'logits'"),
        (lambda: model.losses(outputs, labelled, {"clasification": 1.0}), "did you mean classification"),
        (lambda: model.losses(outputs, fewer), "2 rows, and the batch 1"),
        (lambda: model.forward(IDS), "a Batch is expected, not ndarray"),
        (lambda: model.loss_and_grads(IDS, labels=[0, 1], dropout=0.1), "rates are in the model's config"),
        (lambda: Dropout("1", 2), "the seed of a Dropout is an integer"),
        (lambda: model.freeze(["bert.*"]), "one by one"),
        (lambda: model.params["bert.poler.dense.weight"], "did you mean bert.pooler.dense.weight"),
        (lambda: model.params.__setitem__("classifier.bias", 0), r"params\['classifier.bias'\]\[:\] = "),
    ]  # fmt: skip
    for call, message in calls:
        with pytest.raises(MinidistilError, match=message):
            call()
    assert model.params.get("nothing") is None  # as of any mapping
