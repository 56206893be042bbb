"""Losses of a model: means unless factors are given, with their sums, counts and gradients."""

import numpy as np
import pytest

from minidistil.errors import UsageError
from minidistil.model.packed_model import get_backend
from minidistil.model.terms import Losses
from minidistil.verify.model_cases import ATTENTION_MASK, INPUT_IDS, TARGETS, TOKEN_TYPE_IDS, tiny_model

CLASSES = [
    ending if ending.startswith(("Albert", "Electra")) else f"Bert{ending}"
    for ending, targets in TARGETS.items()
    if targets
]


def model_and_input(name):
    model = tiny_model(name, get_backend("numpy"))
    targets = next(targets for ending, targets in TARGETS.items() if name.endswith(ending))
    arrays = [INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS]
    return model, [x[None] for x in arrays] if model.over_choices else arrays, targets


@pytest.mark.parametrize("name", CLASSES)
def test_a_loop_by_hand_and_loss_and_grads_agree(name):
    model, arrays, targets = model_and_input(name)
    loss, expected = model.loss_and_grads(*arrays, **targets)
    batch = model.pack(*arrays, **targets)
    outputs, cache = model.forward(batch)
    losses, grads = model.losses(outputs, batch), model.params.like()
    model.backward(losses.douts, cache, grads)
    assert losses.loss == pytest.approx(loss, rel=1e-14)
    assert losses.loss == model(*arrays, **targets).loss
    np.testing.assert_allclose(grads.flat, expected.flat, rtol=1e-12, atol=1e-15)


def test_means_by_hand():
    """Two terms of 6 over 3 items and 5 over none: 2 + 5 / 1."""
    losses = Losses({"a": 6.0, "b": 5.0}, {}, {"a": 3, "b": 0})
    assert losses.means == {"a": 2.0, "b": 5.0}
    assert losses.loss == 7.0


@pytest.mark.parametrize("name", CLASSES)
def test_explicit_factors_are_those_of_the_sums(name):
    model, arrays, targets = model_and_input(name)
    batch = model.pack(*arrays, **targets)
    outputs, _ = model.forward(batch)
    counts = model.loss_counts(batch)
    means = model.losses(outputs, batch)
    sums = model.losses(outputs, batch, dict.fromkeys(counts, 1.0))
    assert sums.sums == means.sums
    assert sums.counts == means.counts == counts
    if len(counts) == 1:
        (count,) = counts.values()
        for output, grad in sums.douts.items():
            np.testing.assert_allclose(means.douts[output] * count, grad, rtol=1e-14)
    given = model.losses(outputs, batch, {term: 1 / count for term, count in counts.items()})
    for output, grad in means.douts.items():
        np.testing.assert_array_equal(given.douts[output], grad)  # the trainer's way: the same bits
    nothing = model.losses(outputs, batch, {})
    for output, grad in sums.douts.items():
        np.testing.assert_array_equal(nothing.douts[output], grad)


def test_a_batch_without_a_label_costs_nothing():
    model, arrays, _ = model_and_input("BertForSequenceClassification")
    batch = model.pack(*arrays, labels=[-100, -100, -100])
    losses = model.losses(model.forward(batch)[0], batch)
    assert losses.loss == 0
    assert not losses.douts["logits"].any()


def test_names_that_are_not_there():
    model, arrays, targets = model_and_input("BertForSequenceClassification")
    batch = model.pack(*arrays, **targets)
    outputs, _ = model.forward(batch)
    for ask, message in (
        (lambda: outputs["logit"], r"no output 'logit' \(did you mean logits\?\)"),
        (lambda: batch.targets["label"], r"no target of this batch 'label' \(did you mean labels\?\)"),
    ):
        with pytest.raises(UsageError, match=message):
            ask()
        with pytest.raises(KeyError):
            ask()
    assert outputs.get("logit") is None
    assert batch.targets.get("label") is None
