"""The loss on other examples: the mean over all of them, however they are batched."""

import numpy as np
import pytest
from tiny import RANDOM, random_dataset, random_labelled

from minidistil import BertForMaskedLM, BertForSequenceClassification, ModelLoss, mean_loss
from minidistil.errors import InputError
from minidistil.losses import IGNORE_INDEX
from minidistil.train import validation


@pytest.fixture(scope="module")
def model():
    return BertForSequenceClassification(RANDOM, seed=2)


@pytest.mark.parametrize("at_once", [1, 17, 4096])
def test_it_is_the_mean_over_all_examples(model, monkeypatch, at_once):
    monkeypatch.setattr(validation, "TOKENS_AT_ONCE", at_once)
    data = random_labelled(30)
    batch = data.batch(np.arange(30))
    expected = model.losses(model.forward(batch)[0], batch).loss
    assert mean_loss(ModelLoss(model), data) == pytest.approx(expected, rel=1e-6)


def test_weights_of_classes_and_terms_count(model):
    data = random_labelled(30)
    logits = model.forward(data.batch(np.arange(30)))[0]["logits"].astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = data.targets["labels"]
    w = np.array([1.0, 5.0])[labels]
    expected = -(w * np.log(p[np.arange(30), labels])).sum() / w.sum()
    found = mean_loss(ModelLoss(model, class_weights=[1.0, 5.0]), data)
    assert found == pytest.approx(expected, rel=1e-5)
    half = mean_loss(ModelLoss(model, {"classification": 0.5}), data)
    assert half == pytest.approx(0.5 * mean_loss(ModelLoss(model), data), rel=1e-12)


def test_nothing_changes(model):
    before = model.params.flat.copy()
    mean_loss(ModelLoss(model), random_labelled())
    assert (model.params.flat == before).all()


def test_a_masked_lm(monkeypatch):
    monkeypatch.setattr(validation, "WORDS_AT_ONCE", 20)
    model = BertForMaskedLM(RANDOM, seed=2)
    data = random_dataset(15)
    labels = np.where(np.arange(data.num_tokens) % 4 == 0, data.input_ids, IGNORE_INDEX).astype(np.int64)
    data = data.with_token_targets(labels=labels)
    batch = data.batch(np.arange(15))
    expected = model.losses(model.forward(batch)[0], batch).loss
    assert mean_loss(ModelLoss(model), data) == pytest.approx(expected, rel=1e-6)


def test_targets_that_do_not_fit(model):
    with pytest.raises(InputError, match="needs 'labels'; the batch has: none"):
        mean_loss(ModelLoss(model), random_dataset(4))


def test_without_a_label_there_is_no_loss(model):
    assert mean_loss(ModelLoss(model), random_dataset(4, labels=np.full(4, IGNORE_INDEX))) == 0
