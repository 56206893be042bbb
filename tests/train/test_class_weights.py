"""Weights of classes: what they are, their mean over micro-batches, and where they mean nothing."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight
from tiny import BAD, CONFIG, GOOD, make_encoder, random_dataset

from minidistil.distill import Distillation
from minidistil.errors import ConfigError
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.losses import cross_entropy
from minidistil.model import (
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    load_model,
)
from minidistil.settings import load_recipe
from minidistil.train.class_weights import class_weights
from minidistil.train.objective import ModelLoss, fingerprint
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer

NAMES = ["a", "b", "c"]
WEIGHTS = [0.25, 3.0, 1.5]
SMALL = CONFIG.replace(num_hidden_layers=1, id2label=dict(enumerate(NAMES)))
SEQUENCES, TOKENS = BertForSequenceClassification, BertForTokenClassification


def labelled(kind):
    data, rng = random_dataset(9, words=20), np.random.default_rng(0)
    rows = len(data) if kind is SEQUENCES else data.num_tokens
    labels = rng.integers(0, 3, rows)
    labels[::4] = -100
    return data.with_targets(labels=labels) if kind is SEQUENCES else data.with_token_targets(labels=labels)


def test_balanced_is_as_scikit_learn_has_it():
    labels = np.array([0, 0, 0, 1, 0, 2, 1, -100])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels[:-1])
    found = class_weights("balanced", labels, NAMES)
    np.testing.assert_allclose(found, expected)
    assert found[labels[:-1]].mean() == pytest.approx(1)
    assert class_weights("balanced", np.array([0, 0, 1]), NAMES).tolist() == [0.5, 1.0, 1.0]
    assert class_weights({"b": 2, "c": 0.5}, labels, NAMES).tolist() == [1, 2, 0.5]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"bb": 2.0}, r"no class 'bb' \(did you mean b\?\)"),
        ({"b": -1.0}, "3 numbers >= 0"),
        ({"a": float("nan")}, "3 numbers >= 0"),
        ({"a": 0, "b": 0, "c": 0}, "not all of them 0"),
    ],
)
def test_weights_that_cannot_be(given, says):
    with pytest.raises(ConfigError, match=says):
        class_weights(given, np.array([0, 1]), NAMES)


@pytest.mark.parametrize("kind", [SEQUENCES, TOKENS])
def test_the_objective_and_its_gradient(kind):
    model, data = kind(SMALL, dtype="float64", backend="numpy", seed=1), labelled(kind)
    batch, objective = data.batch(np.arange(9)), ModelLoss(model, class_weights=WEIGHTS)
    labels = batch.targets["labels"]
    (term,) = objective.counts(batch)
    totals = objective.counts(batch)
    assert totals[term] == pytest.approx(np.array(WEIGHTS)[labels[labels >= 0]].sum())

    def mean():
        return cross_entropy(model.forward(batch)[0]["logits"], labels, class_weights=WEIGHTS).mean

    grads = model.params.like()
    assert objective(model, batch, totals, None, grads)[term] / totals[term] == pytest.approx(mean())
    for name in ("classifier.weight", "bert.encoder.layer.0.output.dense.bias"):
        values, step = model.params[name].reshape(-1), 1e-6
        for i in (0, len(values) - 1):
            values[i] += step
            above = mean()
            values[i] -= 2 * step
            below = mean()
            values[i] += step
            assert grads[name].reshape(-1)[i] == pytest.approx(
                (above - below) / (2 * step), rel=1e-5, abs=1e-9
            )

    hard, of_hard = Distillation(model, {"hard": 1.0}, class_weights=WEIGHTS), model.params.like()
    assert hard.counts(batch)["hard"] == totals[term]
    hard(model, batch, hard.counts(batch), None, of_hard)
    np.testing.assert_allclose(of_hard.flat, grads.flat, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", [SEQUENCES, TOKENS])
def test_micro_batches_are_one_batch(kind):
    found = []
    for size, windows in ((9, 1), (2, 5)):
        model = kind(SMALL, dtype="float64", backend="numpy", seed=1)
        settings = TrainSettings(
            epochs=2, batch_size=size, accumulation=windows, lr=1e-2, dropout=False, eval_every=None
        )
        loss = ModelLoss(model, class_weights=WEIGHTS)
        result = Trainer(model, loss, labelled(kind), settings=settings, quiet=True).train()
        found.append((model.params.flat.copy(), [r["loss"] for r in result.history]))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-9)


@pytest.mark.parametrize(
    "model",
    [
        BertForMaskedLM(CONFIG.replace(num_hidden_layers=1)),
        BertForQuestionAnswering(CONFIG.replace(num_hidden_layers=1)),
        SEQUENCES(SMALL.replace(id2label={0: "score"})),
        SEQUENCES(SMALL.replace(problem_type="multi_label_classification")),
    ],
)
def test_they_are_for_one_class_of_several(model):
    with pytest.raises(ConfigError, match="classifiers that choose one of several classes"):
        ModelLoss(model, class_weights=WEIGHTS)


@pytest.mark.parametrize("make", [ModelLoss, lambda m, **w: Distillation(m, {"hard": 1.0}, **w)])
def test_weights_are_part_of_the_identity_of_a_run(make):
    model, settings = SEQUENCES(SMALL, seed=1), TrainSettings()
    with_weights, without = (
        fingerprint(settings, make(model, class_weights=weights), labelled(SEQUENCES), model, {})
        for weights in (WEIGHTS, None)
    )
    assert with_weights == {**without, "class weights": list(WEIGHTS)}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("weights")
    make_encoder(here)
    rows = [
        f"the film is {(GOOD if i % 10 == 0 else BAD)[i % 4]}\t{'rare' if i % 10 == 0 else 'usual'}"
        for i in range(80)
    ]
    (here / "train.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
    return here


def tune(place, out, *changes, task="classification"):
    recipe = load_recipe(FineTuningRecipe, changes=["train.epochs=1", "train.batch_size=8", *changes])
    train = place / "train.tsv"
    return FineTuning(str(place / "encoder"), task, train, recipe, out, evaluate=train, quiet=True)


def test_a_fine_tuning_takes_them(place, tmp_path):
    weights = {}
    for name, change in (("balanced", "balanced"), ("table", "{rare = 5.0, usual = 0.5555555555555556}")):
        tune(place, tmp_path / name, f"train.class_weights={change}").run()
        weights[name] = load_model(tmp_path / name).params.flat
    tune(place, tmp_path / "without").run()
    np.testing.assert_allclose(weights["balanced"], weights["table"], rtol=1e-5, atol=1e-7)
    assert not np.allclose(weights["balanced"], load_model(tmp_path / "without").params.flat)
    with pytest.raises(ConfigError, match="holds another run"):
        tune(place, tmp_path / "without", "train.class_weights=balanced").run()
    with pytest.raises(ConfigError, match=r"no class 'rar' \(did you mean rare\?\)"):
        tune(place, tmp_path / "o", "train.class_weights.rar=2.0").run()
    with pytest.raises(ConfigError, match="one label of several"):
        tune(place, tmp_path / "o", "train.class_weights=balanced", task="multi-label").run()
    assert not (tmp_path / "o").exists()
