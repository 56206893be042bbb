"""Multiple choice: a softmax within each example, whatever the number of its choices."""

from dataclasses import replace

import numpy as np
import pytest

from minidistil.batch import Batch
from minidistil.errors import InputError
from minidistil.model import BertForMultipleChoice, BertForSequenceClassification, DistilBertForMultipleChoice
from minidistil.model.packed_model import get_backend
from minidistil.ops import philox as rng
from minidistil.verify.finite_differences import Case, check_gradient
from minidistil.verify.model_cases import tiny_model

SIZES = [2, 5, 3]
LABELS = [1, 4, 0]
CLASSES = ["BertForMultipleChoice", "DistilBertForMultipleChoice"]


def ragged(labels=LABELS, sizes=SIZES):
    draw = np.random.default_rng(0)
    sequences = [draw.integers(1, 11, draw.integers(1, 6)) for _ in range(sum(sizes))]
    batch = Batch.from_sequences(sequences, targets={"labels": np.array(labels)})
    return replace(batch, cu_choices=np.append(0, np.cumsum(sizes)))


def loss_and_grads(model, batch):
    outputs, cache = model.forward(batch)
    losses = model.losses(outputs, batch)
    grads = model.params.like()
    model.backward(losses.douts, cache, grads)
    return losses.loss, grads


@pytest.mark.parametrize("name", CLASSES)
def test_the_gradient_of_uneven_groups(name):
    model, batch = tiny_model(name, get_backend("numpy")), ragged()

    def backward(douts):
        return {k: g * douts["loss"] for k, g in loss_and_grads(model, batch)[1].items()}

    case = Case(model.params, lambda: {"loss": np.array(loss_and_grads(model, batch)[0])}, backward, 8)
    results = check_gradient(case, name=name)
    assert [r for r in results if not r.passed] == []
    assert {r.tensor for r in results if r.norm < 1e-3} == {
        *(n for n in model.params if n.endswith((".key.bias", ".k_lin.bias", ".k.bias"))),
        "classifier.bias",  # a softmax ignores what raises all scores alike
    }


@pytest.mark.parametrize("name", CLASSES)
def test_groups_are_the_mean_of_each_by_itself(name):
    """One batch of 2, 5 and 3 choices, and three rectangles of one example."""
    model, batch = tiny_model(name, get_backend("numba")), ragged()
    loss, grads = loss_and_grads(model, batch)
    ids = np.split(batch.input_ids, batch.cu_seqlens[1:-1])
    apart, summed = [], 0
    for g, (first, last) in enumerate(zip(batch.cu_choices[:-1], batch.cu_choices[1:], strict=True)):
        width = max(map(len, ids[first:last]))
        padded = np.array([[*s, *[0] * (width - len(s))] for s in ids[first:last]])
        mask = np.array([[1] * len(s) + [0] * (width - len(s)) for s in ids[first:last]])
        one, its = model.loss_and_grads(padded[None], mask[None], labels=np.array(LABELS[g : g + 1]))
        logits = model(padded[None], mask[None]).logits
        assert logits.shape == (1, SIZES[g])
        expected = np.log(np.exp(logits[0]).sum()) - logits[0, LABELS[g]]
        assert one == pytest.approx(expected, rel=1e-12)
        apart.append(one)
        summed = summed + its.flat
    assert loss == pytest.approx(np.mean(apart), rel=1e-12)
    np.testing.assert_allclose(grads.flat, summed / 3, atol=1e-12)


def test_the_backends_agree():
    found = [loss_and_grads(tiny_model(CLASSES[0], get_backend(b)), ragged()) for b in ("numpy", "numba")]
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    np.testing.assert_allclose(found[0][1].flat, found[1][1].flat, atol=1e-12)


def test_an_example_without_a_label_counts_for_nothing():
    model = tiny_model(CLASSES[0], get_backend("numpy"))
    some, all_of_it = ragged([1, -100, 0]), ragged()
    assert model.loss_counts(some) == {"choice": 2}
    outputs, _ = model.forward(some)
    grad = model.losses(outputs, some, {"choice": 1.0}).douts["logits"]
    assert not grad[2:7].any()
    of_all = model.losses(outputs, all_of_it, {"choice": 1.0}).douts["logits"]
    np.testing.assert_array_equal(grad[:2], of_all[:2])


def test_rectangles():
    model = tiny_model(CLASSES[0], get_backend("numpy"))
    ids = rng.normal((3, 2, 4), 0).astype(int) % 11
    out = model(ids, labels=[1, 0, 1], output_hidden_states=True)
    assert out.logits.shape == (3, 2)
    assert out.hidden_states[0].shape == (6, 4, 8)
    flat = model(ids.reshape(6, 4))
    np.testing.assert_array_equal(flat.logits, out.logits.reshape(6))
    positions = model(ids, position_ids=[[0, 1, 2, 3]])
    np.testing.assert_array_equal(positions.logits, out.logits)
    types = (np.arange(24) % 2).reshape(3, 2, 4)
    assert not np.allclose(model(ids, token_type_ids=types).logits, out.logits)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((2, 3, 4), {"labels": [0, 3]}, "label 3 of example 1, which has choices 0 to 2"),
        ((2, 3, 4), {"labels": [0]}, r"labels must be integers of shape \[2\]"),
        ((2, 3, 4), {"attention_mask": np.ones((3, 2, 4), int)}, r"attention_mask has shape \[3, 2, 4\]"),
        ((2, 0, 4), {}, r"\[2, 0, 4\] hold no choices"),
        ((6, 4), {"labels": [0, 0]}, r"give input_ids of shape \[B, C, L\], or a Batch with cu_choices"),
    ],
)
def test_what_is_refused(shape, options, message):
    model = tiny_model(CLASSES[0], get_backend("numpy"))
    with pytest.raises(InputError, match=message):
        model(np.ones(shape, int), **options)


def test_a_label_beyond_its_own_group():
    """Another group has a choice 3; this one has not."""
    model = tiny_model(CLASSES[0], get_backend("numpy"))
    with pytest.raises(InputError, match="label 3 of example 2, which has choices 0 to 2"):
        loss_and_grads(model, ragged([1, 4, 3]))


def test_saved_and_loaded(tmp_path):
    for cls in (BertForMultipleChoice, DistilBertForMultipleChoice):
        model = tiny_model(cls.__name__, get_backend("numpy"))
        model.save_pretrained(tmp_path / cls.__name__)
        back = cls.from_pretrained(tmp_path / cls.__name__, strict=True, dtype="float64")
        assert back.params["classifier.weight"].shape == (1, 8)
        np.testing.assert_allclose(back.params.flat, model.params.flat, atol=1e-7)
    two = tiny_model("BertForSequenceClassification", get_backend("numpy"))
    assert isinstance(two, BertForSequenceClassification)
    two.save_pretrained(tmp_path / "classes")
    fresh = BertForMultipleChoice.from_pretrained(tmp_path / "classes", ignore_mismatched=True)
    assert fresh.params["classifier.weight"].shape == (1, 8)
