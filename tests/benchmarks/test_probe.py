"""A ridge regression: as if each example had been left out in turn, and no better than its features."""

import numpy as np
import pytest
from tiny import BAD, GOOD, make_encoder, make_split

from benchmarks import probe
from benchmarks.probe import Probe, ridge_accuracy
from minidistil.model import BertModel
from minidistil.text.tokenizer import Tokenizer


def left_out_errors(x, y, penalty):
    """Mean squared error of every example by a fit without it; x, y and their means as of all examples."""
    errors = []
    for i in range(len(x)):
        rest = np.arange(len(x)) != i
        a = np.hstack([x[rest], np.ones((len(x) - 1, 1))])
        ridge = np.diag([penalty] * x.shape[1] + [0.0])
        weights = np.linalg.solve(a.T @ a + ridge, a.T @ y[rest])
        errors.append(np.append(x[i], 1) @ weights - y[i])
    return np.mean(np.square(errors))


@pytest.mark.parametrize("noise", [0.3, 3.0])
def test_the_penalty_is_that_of_the_least_error_of_examples_left_out(noise, monkeypatch):
    rng = np.random.default_rng(1)
    labels = np.array(["a", "b", "c"])[rng.integers(0, 3, 40)]
    one_hot = (labels[:, None] == np.array(["a", "b", "c"])).astype(float)
    features = np.hstack([one_hot @ rng.normal(size=(3, 4)), np.zeros((40, 8))])
    features += noise * rng.normal(size=features.shape)
    x = (features - features.mean(0)) / features.std(0)
    unit = np.mean(np.linalg.svd(x, compute_uv=False) ** 2)
    errors = [left_out_errors(x, one_hot, penalty * unit) for penalty in probe.PENALTIES]
    best = probe.PENALTIES[int(np.argmin(errors))]
    others = rng.normal(size=(200, 12))
    chosen = ridge_accuracy(features, labels, others, ["a"] * 200)
    alone = {}
    for penalty in probe.PENALTIES:
        monkeypatch.setattr(probe, "PENALTIES", np.array([penalty]))
        alone[penalty] = ridge_accuracy(features, labels, others, ["a"] * 200)
    assert chosen == alone[best]
    assert len(set(alone.values())) > 1


def test_a_class_that_is_in_the_features_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    labels = ["even" if i % 2 == 0 else "odd" for i in range(300)]
    signal = np.array([1.0 if label == "odd" else -1.0 for label in labels])
    features = np.column_stack([rng.normal(size=(300, 5)), signal + 0.1 * rng.normal(size=300)])
    constant = np.column_stack([features, np.full(300, 7.0)])  # without a deviation
    assert ridge_accuracy(constant[:200], labels[:200], constant[200:], labels[200:]) == 1.0
    noise = ridge_accuracy(features[:200, :5], labels[:200], features[200:, :5], labels[200:])
    assert 0.3 < noise < 0.7


def test_vectors_of_a_model(tmp_path):
    directory, split = make_encoder(tmp_path), make_split(60, 20)
    parts = [
        [{"text": text, "label": str(label)} for text, label in zip(texts, labels, strict=True)]
        for texts, labels in ((split.train_texts, split.train_labels), (split.test_texts, split.test_labels))
    ]
    assert {word for word in (*GOOD, *BAD) if any(word in row["text"] for row in parts[1])}
    model, tokenizer = BertModel.from_pretrained(directory), Tokenizer.from_pretrained(directory)
    assert Probe(*parts).accuracy(model, tokenizer) == 1.0  # one word tells
