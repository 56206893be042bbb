"""The hook after each step: what it is told, that it changes nothing, and what it may raise."""

import json
from dataclasses import replace

import pytest
from tiny import RANDOM, random_labelled
from train_toy import SETTINGS, digest, toy_trainer, without_wall_time

from minidistil import BertForSequenceClassification, StopTraining, TrainSettings
from minidistil.distill import DistillationTrainer
from minidistil.errors import UsageError


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    trainer = toy_trainer(out)
    result = trainer.train()
    return out, digest(trainer), result


def files(out):
    """Bytes of the files of the last checkpoint, without times."""
    state = json.loads((out / "checkpoint-6" / "trainer_state.json").read_text())
    state["state"].pop("seconds")
    state["state"]["interval"].pop("seconds")
    weights = [(out / "checkpoint-6" / f"{name}.safetensors").read_bytes() for name in ("model", "optimizer")]
    return state, weights


def test_it_sees_every_step_and_changes_nothing(undisturbed, tmp_path):
    out, bits, expected = undisturbed
    seen = []
    trainer = toy_trainer(tmp_path, on_step=seen.append)
    result = trainer.train()
    assert digest(trainer) == bits
    assert files(tmp_path) == files(out)
    assert without_wall_time(result.history) == without_wall_time(expected.history)
    logged = [record for record in result.history if record["kind"] == "train"]
    assert [step.step for step in seen] == [1, 2, 3, 4, 5, 6]
    for step, record in zip(seen, logged, strict=True):
        assert step.trainer is trainer
        assert step.losses == {name: record[name] for name in ("classes", "size", "loss") if name in record}
        assert (step.epoch, step.lr, step.grad_norm) == tuple(record[k] for k in ("epoch", "lr", "grad_norm"))
    assert result.stopped is None


def test_it_is_called_when_what_is_due_is_done(tmp_path):
    there = []

    def on_step(step):
        saved = (tmp_path / f"checkpoint-{step.step}").is_dir()
        there.append((step.step, saved, len(step.trainer.log.records)))

    toy_trainer(tmp_path, on_step=on_step).train()
    assert there == [(1, False, 1), (2, True, 3), (3, False, 4), (4, True, 6), (5, False, 7), (6, True, 9)]


def stop_at(number, error=None):
    def on_step(step):
        if step.step == number:
            raise StopTraining("enough") if error is None else error

    return on_step


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_stopping_saves_and_the_run_goes_on(undisturbed, tmp_path, number):
    result = toy_trainer(tmp_path, on_step=stop_at(number)).train()
    assert (result.steps, result.stopped) == (number, "enough")
    assert (tmp_path / f"checkpoint-{number}").is_dir()
    trainer = toy_trainer(tmp_path)
    again = trainer.train()
    assert (again.steps, again.stopped) == (6, None)
    assert digest(trainer) == undisturbed[1]
    assert without_wall_time(again.history) == without_wall_time(undisturbed[2].history)


def test_stopping_in_the_last_step_is_the_end(undisturbed, tmp_path):
    trainer = toy_trainer(tmp_path, on_step=stop_at(6))
    result = trainer.train()
    assert (result.steps, result.stopped) == (6, None)
    assert digest(trainer) == undisturbed[1]


def test_without_a_directory_the_same_trainer_goes_on(undisturbed):
    trainer = toy_trainer(on_step=stop_at(3))
    assert trainer.train().steps == 3
    trainer.on_step = None
    assert trainer.train().steps == 6
    assert digest(trainer) == undisturbed[1]


def test_a_stop_without_a_reason_has_one():
    def on_step(step):
        raise StopTraining

    assert toy_trainer(on_step=on_step).train().stopped == "stopped after step 1"


def test_the_best_model_is_handed_back_where_a_hook_stops(tmp_path):
    values = iter([0.5, 0.9, 0.1, 0.2])
    settings = replace(SETTINGS, eval_every=1, keep_best="score")
    kept = []

    def on_step(step):
        kept.append(step.trainer.model.params.flat.copy())
        if step.step == 3:
            raise StopTraining

    trainer = toy_trainer(tmp_path, settings, evaluate=lambda: {"score": next(values)}, on_step=on_step)
    assert trainer.train().best_step == 2
    assert (trainer.model.params.flat == kept[1]).all()


@pytest.mark.parametrize("number", [1, 2, 5])
def test_an_error_of_the_hook_loses_nothing(undisturbed, tmp_path, number):
    with pytest.raises(ZeroDivisionError) as raised:
        toy_trainer(tmp_path, on_step=stop_at(number, ZeroDivisionError("mine"))).train()
    saved = tmp_path / f"checkpoint-{number}"
    assert raised.value.__notes__ == [f"after step {number}; start again to go on from {saved}"]
    assert saved.is_dir()
    trainer = toy_trainer(tmp_path)
    trainer.train()
    assert digest(trainer) == undisturbed[1]


def test_an_error_without_a_directory_is_itself():
    with pytest.raises(ZeroDivisionError) as raised:
        toy_trainer(on_step=stop_at(2, ZeroDivisionError("mine"))).train()
    assert not hasattr(raised.value, "__notes__")


def test_a_rate_that_a_hook_sets_is_the_one_that_is_used_and_logged():
    def on_step(step):
        step.trainer.optimizer.lr = 0.0

    settings = replace(SETTINGS, schedule="constant", warmup=0)
    trainer = toy_trainer(settings=settings, on_step=on_step)
    result = trainer.train()
    assert [r["lr"] for r in result.history if r["kind"] == "train"] == [0.05, 0, 0, 0, 0, 0]


def test_a_student_has_it_too():
    teacher, student = (BertForSequenceClassification(RANDOM, seed=seed) for seed in (1, 2))
    seen, settings = [], TrainSettings(max_steps=2, batch_size=4)
    DistillationTrainer(
        student, teacher, random_labelled(), settings=settings, on_step=seen.append, quiet=True
    ).train()
    assert [step.losses.keys() for step in seen] == [{"soft", "loss"}] * 2


def test_what_is_no_function_is_refused():
    with pytest.raises(UsageError, match="on_step must be a function of a Step, not 'print'"):
        toy_trainer(on_step="print")


def test_a_run_ends_when_its_log_says_so(undisturbed, tmp_path):
    """For good: started again, it has ended. The rule sees the log up to the step."""
    _, bits, expected = undisturbed
    settings = replace(SETTINGS, eval_every=2)
    seen = []

    def at_step_4(records):
        seen.append([record["step"] for record in records if record["kind"] == "train"][-1])
        return records[-1]["step"] >= 4

    result = toy_trainer(tmp_path, settings=settings, stop_when=at_step_4).train()
    assert (result.steps, result.stopped_early, seen) == (4, True, [2, 4])
    again = toy_trainer(tmp_path, settings=settings, stop_when=at_step_4)
    assert again.train().steps == 4
    assert digest(again) != bits
    at_the_end = toy_trainer(tmp_path / "b", stop_when=lambda records: records[-1]["step"] == 6).train()
    assert (at_the_end.steps, at_the_end.stopped_early) == (6, False)
    assert without_wall_time(at_the_end.history) == without_wall_time(expected.history)
