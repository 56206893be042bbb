"""The learning-rate finder: the course of the rates, the rule, and that it leaves everything as it was."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
from tiny import RANDOM, random_labelled
from train_toy import SETTINGS, ToyModel, ToyObjective, toy_data

from minidistil import (
    BertForSequenceClassification,
    BertModel,
    ModelLoss,
    Trainer,
    TrainSettings,
    find_learning_rate,
)
from minidistil.distill.objective import Distillation
from minidistil.errors import TrainingError, UsageError
from minidistil.train.learning_rate import LearningRates


def toy(**options):
    model = ToyModel()
    chosen = {"settings": SETTINGS, "quiet": True, **options}
    return model, find_learning_rate(model, ToyObjective(), toy_data(), **chosen)


def test_rates_rise_exponentially():
    _, found = toy(lowest=1e-5, highest=1e-2, steps=31)
    np.testing.assert_allclose(found.rates, np.logspace(-5, -2, 31), rtol=1e-12)
    assert len(found.losses) == len(found.smoothed) == 31
    assert found.ended is None


def test_smoothing_by_hand():
    """Of three losses a, b, c the middle one is (0.8 a + b + 0.8 c) / 2.6; of twelve likewise."""
    _, found = toy(steps=12)
    for i, smoothed in enumerate(found.smoothed):
        weights = [0.8 ** abs(i - j) for j in range(12)]
        expected = sum(w * loss for w, loss in zip(weights, found.losses, strict=True)) / sum(weights)
        assert smoothed == pytest.approx(expected, rel=1e-12)


def test_the_steepest_point_by_hand():
    """Losses over ten powers of ten: from 1e-5 to 1e-3 it falls by 1.3, and nowhere by more."""
    rates = tuple(10.0**i for i in range(-9, 1))
    smoothed = (3.0, 3.0, 3.0, 2.9, 2.8, 2.5, 1.5, 1.4, 1.1, 9.0)
    assert LearningRates(rates, smoothed, smoothed).suggestion == pytest.approx(1e-4)
    assert LearningRates(rates, smoothed[::-1], tuple(range(10))).suggestion is None, "it never falls"
    assert LearningRates((), (), ()).suggestion is None


def test_the_beginning_says_nothing():
    rates = tuple(10.0 ** (-6 + i / 4) for i in range(20))
    smoothed = (9.0, 5.0, *(5.0 - 0.01 * i for i in range(10)), *(4.9 - 0.2 * i for i in range(8)))
    assert LearningRates(rates, smoothed, smoothed).suggestion > rates[10]


def test_nothing_changes_and_every_trial_is_the_same():
    model = BertForSequenceClassification(RANDOM, seed=2)
    objective, data = ModelLoss(model), random_labelled()
    before, settings = model.params.flat.copy(), TrainSettings(batch_size=4, max_steps=3)
    first, second = (
        find_learning_rate(model, objective, data, settings=settings, steps=20, quiet=True) for _ in range(2)
    )
    assert first == second
    assert (model.params.flat == before).all()
    assert objective.labels.model is model
    other = replace(settings, seed=1)
    assert find_learning_rate(model, objective, data, settings=other, steps=20, quiet=True) != first
    alone = BertForSequenceClassification(RANDOM, seed=2)
    for one, loss in ((model, objective), (alone, ModelLoss(alone))):
        Trainer(one, loss, data, settings=settings, quiet=True).train()
    assert (model.params.flat == alone.params.flat).all()


def test_a_loaded_model_stays_ready_to_predict(tmp_path):
    BertForSequenceClassification(RANDOM, seed=2).save_pretrained(tmp_path)
    model = BertForSequenceClassification.from_pretrained(tmp_path)
    find_learning_rate(model, ModelLoss(model), random_labelled(), steps=10, quiet=True)
    assert model.params.packed
    headless = tmp_path / "headless"
    BertModel(RANDOM, seed=2).save_pretrained(headless)
    model = BertForSequenceClassification.from_pretrained(headless, quiet=True)
    find_learning_rate(model, ModelLoss(model), random_labelled(), steps=10, quiet=True)
    assert model.untrained(), "nobody has trained its head"


def test_the_first_losses_are_those_of_a_run():
    model = BertForSequenceClassification(RANDOM, seed=2)
    settings = TrainSettings(batch_size=4, max_steps=10, lr=1e-6, schedule="constant", warmup=0, log_every=1)
    data = random_labelled()
    between = {"lowest": 1e-6, "highest": 1.0000001e-6, "steps": 10}
    found = find_learning_rate(model, ModelLoss(model), data, settings=settings, quiet=True, **between)
    run = Trainer(model, ModelLoss(model), data, settings=settings, quiet=True).train()
    np.testing.assert_allclose(found.losses, [r["loss"] for r in run.history], rtol=1e-6)


def test_it_ends_where_the_loss_diverges():
    _, found = toy(lowest=1e-3, highest=1e4, steps=60)
    assert found.ended is not None
    assert len(found.rates) < 60
    assert found.losses[-1] > found.losses[0]
    assert found.suggestion is not None
    assert found.suggestion < found.rates[-1]


def test_it_ends_at_a_nan():
    class Breaks(ToyObjective):
        calls = 0

        def __call__(self, *arguments):
            self.calls += 1
            sums = super().__call__(*arguments)
            return sums if self.calls < 40 else {**sums, "classes": math.nan}

    found = find_learning_rate(ToyModel(), Breaks(), toy_data(), settings=SETTINGS, steps=60, quiet=True)
    assert "was no number" in found.ended
    assert 10 < len(found.rates) < 20
    broken = Breaks()
    broken.calls = 100
    with pytest.raises(TrainingError, match="loss term 'classes' is nan"):
        find_learning_rate(ToyModel(), broken, toy_data(), settings=SETTINGS, steps=60, quiet=True)


def test_a_student_shares_its_teacher():
    teacher, student = (BertForSequenceClassification(RANDOM, seed=seed) for seed in (1, 2))
    objective = Distillation(student, {"soft": 1.0, "hidden": 1.0}, teacher=teacher)
    before = student.params.flat.copy()
    settings = TrainSettings(batch_size=4)
    found = find_learning_rate(student, objective, random_labelled(), settings=settings, steps=10, quiet=True)
    assert len(found.rates) == 10
    assert objective.teacher is teacher
    assert (student.params.flat == before).all()


class Uncopied(ToyObjective):
    def __deepcopy__(self, memo):
        raise TypeError("cannot copy a socket")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 9}, "steps must be an integer of at least 10, not 9"),
        ({"steps": 10.5}, "steps must be an integer"),
        ({"lowest": 0}, "rise from lowest to highest: 0 to 1.0 is no such range"),
        ({"lowest": 1, "highest": 0.1}, "1 to 0.1 is no such range"),
        ({"highest": math.inf}, "is no such range"),
        ({"lowest": "1e-5"}, "lowest must be a number"),
        ({"settings": {"lr": 1}}, "settings must be TrainSettings"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        toy(**options)


def test_an_objective_that_cannot_be_copied():
    with pytest.raises(UsageError, match="Uncopied, and one cannot be copied: cannot copy a socket"):
        find_learning_rate(ToyModel(), Uncopied(), toy_data(), settings=SETTINGS, steps=10, quiet=True)


def test_plain_values():
    _, found = toy(steps=10)
    values = found.to_dict()
    assert values["rates"] == found.rates
    assert set(values) == {"rates", "losses", "smoothed", "ended", "suggestion"}
    assert copy.deepcopy(found) == found
