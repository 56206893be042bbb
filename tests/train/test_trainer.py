"""The loop: what a step is, what is logged, evaluated, kept, and refused."""

import itertools
import math
import signal
from dataclasses import replace

import numpy as np
import pytest
from train_toy import SETTINGS, ToyModel, ToyObjective, digest, toy_data, toy_trainer, without_wall_time

import minidistil.ops as ops
from minidistil.errors import ConfigError, DataError, TrainingError
from minidistil.ops.dropout import Dropout
from minidistil.text.batching import epoch_batches
from minidistil.train.optimizer import AdamW
from minidistil.train.schedule import schedule
from minidistil.train.settings import TrainSettings


def test_two_steps_by_hand():
    """The loop against the same arithmetic written out: windows, totals, clipping, schedule, update."""
    data, model, objective = toy_data(), ToyModel("float64"), ToyObjective()
    optimizer = AdamW(model.params, ops, lr=0.05, frozen={"still"})
    batches = epoch_batches(data.lengths, 4, seed=0, epoch=0)
    for step in range(2):
        window = [data.batch(i) for i in batches[3 * step : 3 * step + 3]]
        counts = [objective.counts(batch) for batch in window]
        totals = {term: sum(c[term] for c in counts) for term in ("classes", "size")}
        grads = model.params.like()
        for batch in window:
            objective(model, batch, totals, Dropout(0, step), grads)
        grads["still"][...] = 0
        norm = math.sqrt((grads.flat**2).sum())
        optimizer.step(grads, factor=schedule("linear", step, 2, 2), scale=min(1, 0.5 / (norm + 1e-6)))
    settings = replace(SETTINGS, clip=0.5, max_steps=2)
    trainer = toy_trainer(settings=settings, model=ToyModel("float64"))
    result = trainer.train()
    np.testing.assert_allclose(trainer.model.params.flat, model.params.flat, rtol=1e-13)
    assert result.history[-2]["grad_norm"] == pytest.approx(norm, rel=1e-12)


@pytest.mark.parametrize(("batch_size", "accumulation"), [(4, 2), (2, 4), (1, 8)])
def test_accumulating_equals_a_bigger_batch(batch_size, accumulation):
    def run(batch_size, accumulation):
        settings = replace(
            SETTINGS, batch_size=batch_size, accumulation=accumulation, group_by_length=False, epochs=3
        )
        trainer = toy_trainer(settings=settings, model=ToyModel("float64"))
        result = trainer.train()
        return trainer.model.params.flat, [(r["loss"], r["grad_norm"]) for r in result.history if "lr" in r]

    params, curve = run(batch_size, accumulation)
    expected_params, expected_curve = run(8, 1)
    np.testing.assert_allclose(params, expected_params, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(curve, expected_curve, rtol=1e-12)


def test_counts_are_uneven_and_sometimes_zero():
    """Or the test above would show nothing."""
    data = toy_data()
    order = epoch_batches(data.lengths, 1, seed=0, epoch=0, group_by_length=False)
    counts = [ToyObjective().counts(data.batch(i)) for i in order]
    assert {c["classes"] for c in counts} == {0, 1}
    assert len({c["size"] for c in counts}) > 4


def test_a_window_without_labels_is_an_ordinary_step():
    data = toy_data().with_targets(labels=np.full(26, -100))
    result = toy_trainer(data=data).train()
    steps = [r for r in result.history if "lr" in r]
    assert steps
    assert all("classes" not in r and math.isfinite(r["loss"]) for r in steps)


def test_the_log_has_means_over_the_steps_that_asked_for_something():
    class Now(ToyObjective):
        """Asks nothing but in the third and the fifth step."""

        step, weights = 0, {"classes": 2.0}

        def counts(self, batch):
            self.step += 1
            return {"classes": 4 if self.step in (3, 5) else 0}

        def __call__(self, model, batch, totals, dropout, grads):
            assert totals == {"classes": 4.0 if self.step in (3, 5) else 1.0}
            return {"classes": 4.0 * self.step if self.step in (3, 5) else 0.0}

    settings = replace(SETTINGS, accumulation=1, max_steps=8, log_every=2, eval_every=None)
    result = toy_trainer(settings=settings, objective=Now(), evaluate=None).train()
    assert [(r["loss"], r.get("classes")) for r in result.history] == [
        (None, None), (6.0, 3.0), (10.0, 5.0), (None, None)
    ]  # fmt: skip


def test_the_last_window_of_an_epoch_may_be_shorter():
    result = toy_trainer().train()  # 7 micro-batches an epoch, in windows of 3
    assert result.steps == 6
    assert [r["epoch"] for r in result.history if "lr" in r] == [3 / 7, 6 / 7, 1, 1 + 3 / 7, 1 + 6 / 7, 2]


def test_max_steps_decides_over_epochs():
    result = toy_trainer(settings=replace(SETTINGS, max_steps=8)).train()
    assert result.steps == 8
    assert result.history[-2]["epoch"] == pytest.approx(2 + 6 / 7)


def test_clipping_bounds_the_update():
    trainer = toy_trainer(settings=replace(SETTINGS, clip=1e-3, max_steps=1, warmup=0))
    result = trainer.train()
    assert result.history[0]["grad_norm"] > 0.5  # logged as it was before clipping
    clipped = trainer.optimizer.m.flat / 0.1  # after one step m = (1 - beta1) g
    assert math.sqrt((clipped**2).sum()) == pytest.approx(1e-3, rel=1e-3)
    free = toy_trainer(settings=replace(SETTINGS, clip=None, max_steps=1, warmup=0))
    free.train()
    norm = math.sqrt(((free.optimizer.m.flat / 0.1) ** 2).sum())
    assert norm == pytest.approx(result.history[0]["grad_norm"], rel=1e-5)


def test_frozen_parameters_are_untouched():
    trainer = toy_trainer()
    before = {name: value.copy() for name, value in trainer.model.params.items()}
    trainer.train()
    changed = {name for name, value in trainer.model.params.items() if (value != before[name]).any()}
    assert changed == {"embeddings", "gain", "weight", "bias"}


def test_dropout_and_seed_matter_and_repeat():
    def run(**changes):
        trainer = toy_trainer(settings=replace(SETTINGS, **changes))
        trainer.train()
        return digest(trainer)

    assert run() == run()
    assert len({run(), run(dropout=False), run(seed=1)}) == 3


def test_what_is_logged():
    result = toy_trainer(settings=replace(SETTINGS, log_every=4, eval_every=None)).train()
    each = toy_trainer(settings=replace(SETTINGS, eval_every=None)).train()
    trained = [r for r in result.history if r["kind"] == "train"]
    single = [r for r in each.history if r["kind"] == "train"]
    assert [r["step"] for r in trained] == [4, 6]
    assert [r["kind"] for r in result.history] == ["train", "train", "eval"]
    for name in ("loss", "classes", "size"):
        assert trained[0][name] == pytest.approx(sum(r[name] for r in single[:4]) / 4)
    assert trained[0]["loss"] == pytest.approx(trained[0]["classes"] + 0.25 * trained[0]["size"])
    assert trained[0]["tokens"] == sum(r["tokens"] for r in single[:4])
    assert [r["lr"] for r in single] == pytest.approx([0, 0.025, 0.05, 0.0375, 0.025, 0.0125])
    assert set(trained[0]) == {
        "kind", "step", "epoch", "loss", "classes", "size", "lr", "grad_norm", "tokens", "examples",
        "seconds", "tokens_per_second", "examples_per_second",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "given", "logged"),
    [(6, None, [1, 2, 3, 4, 5, 6]), (40, None, [4 * i for i in range(1, 11)]), (40, 30, [30, 40])],
)
def test_a_short_run_is_logged_ten_times(steps, given, logged):
    settings = replace(SETTINGS, max_steps=steps, accumulation=1, log_every=given)
    result = toy_trainer(settings=settings, evaluate=None).train()
    assert [r["step"] for r in result.history] == logged


@pytest.mark.parametrize(("every", "steps"), [(None, [6]), (4, [4, 6]), ("epoch", [3, 6])])
def test_when_evaluation_runs(every, steps):
    result = toy_trainer(settings=replace(SETTINGS, eval_every=every)).train()
    assert [r["step"] for r in result.history if r["kind"] == "eval"] == steps


@pytest.mark.parametrize(("every", "steps"), [(None, [6]), (4, [4, 6]), ("epoch", [3, 6])])
def test_when_checkpoints_are_saved(tmp_path, every, steps):
    toy_trainer(tmp_path, replace(SETTINGS, save_every=every, keep=9)).train()
    assert sorted(p.name for p in tmp_path.glob("checkpoint-*")) == [f"checkpoint-{s}" for s in steps]


def scripted(values):
    """An evaluation that gives these values in turn."""
    iterator = iter(values)
    return lambda: {"score": next(iterator)}


def snapshots(values):
    """The same, and the parameters at each evaluation."""
    model, seen = ToyModel(), []

    def evaluate():
        seen.append(model.params.flat.copy())
        return {"score": values[len(seen) - 1]}

    return model, seen, evaluate


@pytest.mark.parametrize(("best_is", "best"), [("max", 1), ("min", 2)])
def test_the_best_model_is_kept_and_handed_back(tmp_path, best_is, best):
    model, seen, evaluate = snapshots([0.5, 0.9, 0.1, 0.9, 0.3, 0.2])
    settings = replace(SETTINGS, eval_every=1, keep_best="score", best_is=best_is)
    result = toy_trainer(tmp_path, settings, model=model, evaluate=evaluate).train()
    assert (result.best_step, result.best_value) == (best + 1, [0.5, 0.9, 0.1][best])
    assert result.metrics == {"score": 0.2}
    assert (model.params.flat == seen[best]).all()
    again = ToyModel()
    toy_trainer(tmp_path, settings, model=again, evaluate=evaluate).train()  # finished: only loads
    assert (again.params.flat == seen[best]).all()


def test_early_stopping(tmp_path):
    settings = replace(SETTINGS, eval_every=1, keep_best="score", patience=2)
    result = toy_trainer(tmp_path, settings, evaluate=scripted([0.1, 0.4, 0.4, 0.3, 0.9, 0.9])).train()
    assert result.stopped_early
    assert (result.steps, result.best_step) == (4, 2)
    assert (tmp_path / "checkpoint-4").exists()


def test_nan_metric_is_never_the_best(tmp_path):
    settings = replace(SETTINGS, eval_every=2, keep_best="score")
    result = toy_trainer(tmp_path, settings, evaluate=scripted([math.nan, 0.2, math.nan])).train()
    assert (result.best_step, result.best_value) == (4, 0.2)


def test_settings_that_need_something(tmp_path):
    with pytest.raises(ConfigError, match="keep_best needs"):
        toy_trainer(None, replace(SETTINGS, keep_best="size"))
    with pytest.raises(ConfigError, match="keep_best needs"):
        toy_trainer(tmp_path, replace(SETTINGS, keep_best="size"), evaluate=None)
    with pytest.raises(ConfigError, match="'accuracy', but the evaluation gives: size"):
        toy_trainer(tmp_path, replace(SETTINGS, keep_best="accuracy")).train()
    with pytest.raises(DataError, match="no examples"):
        toy_trainer(data=toy_data(0))


class Poisoned(ToyObjective):
    """Goes wrong in its n-th micro-batch."""

    def __init__(self, n, harm):
        super().__init__()
        self.n, self.harm = n, harm

    def __call__(self, model, batch, totals, dropout, grads):
        sums = super().__call__(model, batch, totals, dropout, grads)
        self.n -= 1
        if self.n == 0:
            self.harm(sums, grads)
        return sums


Poisoned.__name__ = "ToyObjective"  # the fingerprint holds the name


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, bad):
    def harm(sums, grads):
        sums["size"] = bad

    pattern = rf"^step 3 \(epoch 1, micro-batch 7\): loss term 'size' is {bad}\. .*checkpoint-2;"
    with pytest.raises(TrainingError, match=pattern) as caught:
        toy_trainer(tmp_path, objective=Poisoned(7, harm)).train()
    assert caught.value.exit_code == 3
    assert [p.name for p in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]
    reference = toy_trainer()
    reference.train()
    healed = toy_trainer(tmp_path)
    healed.train()
    assert digest(healed) == digest(reference)


def test_a_gradient_that_is_not_finite_is_named(tmp_path):
    def harm(sums, grads):
        grads["weight"][1, 1] = math.nan
        grads["bias"][0] = math.inf
        grads["still"][0] = math.nan  # frozen: of no concern

    with pytest.raises(
        TrainingError, match=r"step 4 .*norm is nan; the first gradient.*: weight\. .*checkpoint-2"
    ):
        toy_trainer(tmp_path, objective=Poisoned(9, harm)).train()
    assert [p.name for p in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]


class Exploding(ToyObjective):
    """Gives huge losses at some steps of one micro-batch; after so many presses Ctrl-C."""

    def __init__(self, steps, stop=None):
        super().__init__()
        self.left, self.stop = list(steps), stop

    def __call__(self, model, batch, totals, dropout, grads):
        sums = super().__call__(model, batch, totals, dropout, grads)
        self.stop = self.stop and self.stop - 1
        if self.stop == 0:
            self.stop = None
            signal.raise_signal(signal.SIGINT)
        if self.left.pop(0):
            sums["size"] = 1e9
            grads["gain"][1] = 1e7
            grads["still"][0] = 1e9
        return sums


Exploding.__name__ = "ToyObjective"
LONG = replace(SETTINGS, accumulation=1, max_steps=40, eval_every=None)


def test_a_loss_that_explodes_stops_the_run(tmp_path):
    pattern = r"step 15 .*the loss diverges: it is .* and began at .*; the longest gradient is that of gain\."
    with pytest.raises(TrainingError, match=pattern):
        toy_trainer(tmp_path, LONG, objective=Exploding([0] * 5 + [1] * 35)).train()
    with pytest.raises(TrainingError, match=r"step 11 .* and began at"):  # at once, and however it goes on
        toy_trainer(settings=LONG, objective=Exploding([0] + [1] * 39)).train()


def test_some_large_losses_are_no_divergence():
    toy_trainer(settings=LONG, objective=Exploding([0] * 4 + ([1] * 9 + [0]) * 4)).train()
    toy_trainer(settings=replace(LONG, lr=0.0), objective=Exploding([0] * 4 + [1] * 36)).train()


def test_a_divergence_is_seen_across_a_stop(tmp_path):
    kinds = [0] * 5 + [1] * 35
    with pytest.raises(KeyboardInterrupt):
        toy_trainer(tmp_path, LONG, objective=Exploding(kinds, stop=9)).train()
    with pytest.raises(TrainingError, match=r"step 15 .*diverges"):
        toy_trainer(tmp_path, LONG, objective=Exploding(kinds[9:])).train()


def test_no_checkpoint_of_parameters_that_are_not_finite(tmp_path):
    model = ToyModel()

    def evaluate():
        model.params["gain"][2] = math.inf
        return {"size": 1.0}

    with pytest.raises(TrainingError, match=r"parameter gain is not finite.*No checkpoint"):
        toy_trainer(tmp_path, model=model, evaluate=evaluate).train()
    assert not list(tmp_path.glob("checkpoint-*"))


def test_without_evaluation():
    result = toy_trainer(evaluate=None).train()
    assert result.metrics == {}
    assert {r["kind"] for r in result.history} == {"train"}


def test_log_in_the_file_is_the_history(tmp_path):
    from minidistil.train.log import MetricsLog

    result = toy_trainer(tmp_path).train()
    log = MetricsLog(tmp_path / "metrics.jsonl", step=6)
    log.close()
    assert log.records == result.history
    assert without_wall_time(log.records) == without_wall_time(toy_trainer().train().history)


def test_every_example_once_an_epoch():
    seen = []

    class Watching(ToyObjective):
        def __call__(self, model, batch, totals, dropout, grads):
            seen.append((dropout.step, tuple(batch.example_ids)))
            return super().__call__(model, batch, totals, dropout, grads)

    toy_trainer(objective=Watching()).train()
    for epoch in (seen[:7], seen[7:]):
        assert sorted(itertools.chain.from_iterable(ids for _, ids in epoch)) == list(range(26))
    assert [step for step, _ in seen] == [0, 0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 4, 4, 5]
    assert seen[:7] != seen[7:]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", "x"), ("lr", True), ("lr", float("nan")), ("betas", 1), ("betas", (0.9,)),
        ("seed", None), ("seed", 1.5), ("epochs", True), ("epochs", "3"), ("epochs", None), ("warmup", "x"),
        ("clip", "x"), ("eps", None), ("weight_decay", [1]), ("dropout", 1), ("group_by_length", "no"),
        ("eval_every", True), ("keep_best", 3),
    ],
)  # fmt: skip
def test_settings_of_another_type_are_named(name, value):
    with pytest.raises(ConfigError, match=f"^{name} is .*: expected"):
        TrainSettings(**{name: value})


@pytest.mark.parametrize(
    ("name", "meant"),
    [("learning_rate", "lr"), ("epoch", "epochs"), ("max_grad_norm", "clip"), ("sed", "seed")],
)
def test_settings_of_another_name_are_refused_with_the_nearest(name, meant):
    with pytest.raises(ConfigError, match=rf"no setting '{name}' \(did you mean {meant}\?\)"):
        TrainSettings(**{name: 1})
