"""An objective of a user's own: what it may give, and what is refused in the first step."""

import logging
import math
from dataclasses import replace

import numpy as np
import pytest
from tiny import RANDOM, random_labelled
from train_toy import SETTINGS, ToyModel, ToyObjective, toy_trainer

from minidistil import BertForSequenceClassification, ModelLoss, Trainer, TrainSettings
from minidistil.errors import InputError, MinidistilError, TrainingError, UsageError
from minidistil.losses import cross_entropy


class Own:
    """The cross-entropy of a classifier, by hand."""

    weights = {"mine": 1.0}  # noqa: RUF012

    def counts(self, batch):
        return {"mine": batch.num_sequences}

    def gradient(self, loss, totals):
        return {"logits": loss.grad * (1.0 / totals["mine"])}

    def sums(self, loss):
        return {"mine": loss.sum}

    def __call__(self, model, batch, totals, dropout, grads):
        outputs, cache = model.forward(batch, dropout=dropout)
        loss = cross_entropy(outputs["logits"], batch.targets["labels"])
        model.backward(self.gradient(loss, totals), cache, grads)
        return self.sums(loss)


def train(objective, steps=2, **settings):
    model = BertForSequenceClassification(RANDOM, seed=2)
    chosen = TrainSettings(max_steps=steps, batch_size=4, **settings)
    trainer = Trainer(model, objective or ModelLoss(model), random_labelled(), settings=chosen, quiet=True)
    return model, trainer.train()


@pytest.mark.parametrize("accumulation", [1, 3])
def test_it_gives_the_bits_of_the_same_loss_of_the_package(accumulation):
    found = [train(objective, 4, accumulation=accumulation)[0] for objective in (Own(), None)]
    assert (found[0].params.flat == found[1].params.flat).all()


def own(**members):
    return type("Bad", (Own,), members)()


BAD = {
    "no weights": (
        own(weights=None), UsageError, r"Bad\.weights must give the weight of each term, .* not None",
    ),
    "a weight that is no number": (
        own(weights={"mine": "1"}), UsageError, r"the weight of 'mine' must be a number, not '1'",
    ),
    "a weight that is NaN": (own(weights={"mine": math.nan}), UsageError, "must be a number, not nan"),
    "a weight of no term": (
        own(weights={"mien": 1.0}),
        UsageError, r"Bad has a weight for the term 'mien', which its counts lack \(did you mean mine\?\)",
    ),
    "counts is None": (
        own(counts=lambda self, batch: None),
        UsageError, r"Bad\.counts must give the number of items of each term, such as .* not None",
    ),
    "counts is an array": (
        own(counts=lambda self, batch: {"mine": np.ones(4)}),
        UsageError, r"the term 'mine' must be a number of at least 0, not float64 \[4\]",
    ),
    "counts is NaN": (
        own(counts=lambda self, batch: {"mine": math.nan}), UsageError, "at least 0, not float nan",
    ),
    "counts of another term": (
        own(counts=lambda self, batch: {"meine": 4}),
        UsageError, r"a weight for the term 'mine', which its counts lack \(did you mean meine\?\)",
    ),
    "a total of another term": (
        own(gradient=lambda self, loss, totals: {"logits": loss.grad / totals["main"]}),
        UsageError, r"no term of the loss 'main' \(did you mean mine\?\)",
    ),
    "nothing returned": (
        own(sums=lambda self, loss: None), UsageError, "must give the sum of each term by its name, not None",
    ),
    "a number returned": (own(sums=lambda self, loss: loss.sum), UsageError, "by its name, not float"),
    "a term that is not counted": (
        own(sums=lambda self, loss: {"mine": loss.sum, "other": 1.0}),
        UsageError, "Bad gives a term 'other', which its counts lack; there are: mine",
    ),
    "a counted term that is not given": (
        own(sums=lambda self, loss: {}), UsageError, "no sum of the term 'mine', which its counts have",
    ),
    "a sum for each example": (
        own(sums=lambda self, loss: {"mine": loss.grad}),
        InputError, r"Bad: the term 'mine' must be one number, the sum over its items, not float32 \[4, 2\]",
    ),
    "a sum that is NaN": (
        own(sums=lambda self, loss: {"mine": math.nan}), TrainingError, "step 1 .*loss term 'mine' is nan",
    ),
    "a gradient that is NaN": (
        own(gradient=lambda self, loss, totals: {"logits": loss.grad * math.nan}),
        TrainingError, "step 1 .*the gradient's norm is nan; the first gradient that is not finite",
    ),
    "a gradient of another output": (
        own(gradient=lambda self, loss, totals: {"logit": loss.grad}),
        UsageError, r"takes no gradient of 'logit' \(did you mean logits\?\)",
    ),
    "a gradient of too few rows": (
        own(gradient=lambda self, loss, totals: {"logits": loss.grad[:3]}),
        InputError, r"must be numbers of shape \[4, 2\], as the output is, not float32 \[3, 2\]",
    ),
    "a gradient of another width": (
        own(gradient=lambda self, loss, totals: {"logits": loss.grad[:, :1]}),
        InputError, r"shape \[4, 2\], as the output is, not float32 \[4, 1\]",
    ),
    "a gradient that is None": (
        own(gradient=lambda self, loss, totals: {"logits": None}),
        InputError, r"shape \[4, 2\], as the output is, not None",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", BAD)
def test_what_is_refused_in_the_first_step(how):
    objective, error, message = BAD[how]
    with pytest.raises(error, match=message) as raised:
        train(objective)
    assert isinstance(raised.value, MinidistilError)


def test_a_gradient_in_float64_is_rounded():
    exact = own(gradient=lambda self, loss, totals: {"logits": loss.grad.astype(np.float64) / totals["mine"]})
    found = [train(objective)[0].params.flat for objective in (exact, Own())]
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-6)


def test_a_sum_may_be_any_kind_of_number():
    plain = train(Own())[1].history
    for kind in (np.float32, np.float64, np.array):
        some = own(sums=lambda self, loss, kind=kind: {"mine": kind(loss.sum)})
        assert train(some)[1].history[0]["loss"] == pytest.approx(plain[0]["loss"], rel=1e-6)


def test_a_term_may_be_left_out_of_a_batch_without_items():
    class Some(ToyObjective):
        def __call__(self, model, batch, totals, dropout, grads):
            sums = super().__call__(model, batch, totals, dropout, grads)
            return sums if self.counts(batch)["classes"] else {"size": sums["size"]}

    settings = replace(SETTINGS, batch_size=1)
    found = [toy_trainer(settings=settings, objective=objective) for objective in (Some(), ToyObjective())]
    for trainer in found:
        trainer.train()
    assert (found[0].model.params.flat == found[1].model.params.flat).all()


def test_a_gradient_that_stays_zero_is_said(caplog):
    class Nothing(ToyObjective):
        def __call__(self, model, batch, totals, dropout, grads):
            return super().__call__(model, batch, totals, dropout, model.params.like())

    with caplog.at_level(logging.WARNING, "minidistil"):
        toy_trainer(model=ToyModel(), objective=Nothing()).train()
    assert caplog.text.count("the gradient of the first step is zero: does Nothing add to grads") == 1
    caplog.clear()
    toy_trainer().train()
    assert not caplog.text
