"""Scores for many texts at once, and the call that makes them of text."""

import numpy as np
import pytest
from tiny import CONFIG, LABELS, make_classifier

from minidistil import pipeline
from minidistil.errors import ConfigError, InputError, UsageError
from minidistil.model import BertForSequenceClassification, BertForTokenClassification
from minidistil.tasks.classification.scores import accuracy
from minidistil.tasks.classification.task import ClassificationTask
from minidistil.tasks.inference import predict_logits
from minidistil.text.dataset import Dataset
from minidistil.text.tokenizer import Tokenizer

TEXTS = ["the film is warm", "dull", "a grim and tired plot with the cast of the film", "funny", "the cast"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return make_classifier(tmp_path_factory.mktemp("tasks"))


@pytest.fixture
def model(directory):
    return BertForSequenceClassification.from_pretrained(directory, dtype="float64", backend="numpy")


@pytest.fixture
def dataset(directory):
    return Dataset.from_texts(Tokenizer.from_pretrained(directory), TEXTS)


def test_logits_come_in_the_order_of_the_texts(model, dataset, monkeypatch):
    one_by_one = np.concatenate([model.forward(dataset.batch([i]))[0]["logits"] for i in range(len(TEXTS))])
    assert len(np.unique(one_by_one)) == one_by_one.size, "all alike: any order would do"
    for tokens in (1, 9, 2048):
        monkeypatch.setattr("minidistil.tasks.inference.TOKENS_AT_ONCE", tokens)
        np.testing.assert_allclose(predict_logits(model, dataset), one_by_one, rtol=1e-12)


def test_accuracy(model, dataset):
    best = predict_logits(model, dataset).argmax(1)
    assert accuracy(model, dataset.with_targets(labels=best)) == 1
    labels = best.copy()
    labels[:2] = 1 - labels[:2]
    assert accuracy(model, dataset.with_targets(labels=labels)) == pytest.approx(3 / 5)


def test_no_texts(model, directory):
    assert ClassificationTask.bind(model, Tokenizer.from_pretrained(directory))([]) == []


def test_pipeline(directory, model, dataset):
    logits = predict_logits(model, dataset)
    for row, prediction in zip(logits, pipeline("text-classification", directory)(TEXTS), strict=True):
        probabilities = np.exp(row) / np.exp(row).sum()
        assert prediction.label == LABELS[int(row.argmax())]
        assert prediction.score == pytest.approx(probabilities.max(), rel=1e-5)
        np.testing.assert_allclose(list(prediction.scores.values()), probabilities, rtol=1e-5)


def test_what_is_refused(directory, dataset):
    with pytest.raises(UsageError, match="did you mean translations"):
        pipeline("translation", directory)
    tokens = BertForTokenClassification(CONFIG, backend="numpy")
    with pytest.raises(ConfigError, match="does not classify"):
        ClassificationTask.bind(tokens, Tokenizer.from_pretrained(directory))
    with pytest.raises(InputError, match="does not classify"):
        predict_logits(tokens, dataset)
