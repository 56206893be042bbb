"""A run that was stopped, however and wherever, ends as if it never had been."""

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import train_toy
from train_toy import SETTINGS, ToyObjective, digest, toy_data, toy_trainer, without_wall_time

from minidistil.errors import CheckpointError, StorageError
from minidistil.files import only_writer, sha256_file

MICRO_BATCHES = 14  # two epochs of 26 examples in fours: windows of 3, 3 and 1


class Interrupting(ToyObjective):
    """Sends this process a signal during its n-th micro-batch, as Ctrl-C would."""

    def __init__(self, n, number=signal.SIGINT):
        super().__init__()
        self.n, self.number = n, number

    def __call__(self, *args):
        self.n -= 1
        if self.n == 0:
            signal.raise_signal(self.number)
        return super().__call__(*args)


Interrupting.__name__ = "ToyObjective"  # the fingerprint holds the name


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    trainer = toy_trainer(tmp_path_factory.mktemp("undisturbed"))
    result = trainer.train()
    return digest(trainer), result


def log_of(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("stop", range(1, MICRO_BATCHES + 1))
def test_stopping_after_any_micro_batch_changes_no_bit(tmp_path, undisturbed, stop, capfd):
    with pytest.raises(KeyboardInterrupt, match="after step"):
        toy_trainer(tmp_path, objective=Interrupting(stop)).train()
    assert "Stopping after this micro-batch" in capfd.readouterr().err
    trainer = toy_trainer(tmp_path)
    result = trainer.train()
    assert digest(trainer) == undisturbed[0]
    assert result.steps == 6
    assert without_wall_time(result.history) == without_wall_time(undisturbed[1].history)
    assert without_wall_time(log_of(tmp_path)) == without_wall_time(undisturbed[1].history)


def test_a_process_for_each_micro_batch(tmp_path, undisturbed):
    for _ in range(MICRO_BATCHES):
        with pytest.raises(KeyboardInterrupt):
            toy_trainer(tmp_path, objective=Interrupting(1)).train()
    trainer = toy_trainer(tmp_path)
    result = trainer.train()
    assert digest(trainer) == undisturbed[0]
    assert without_wall_time(result.history) == without_wall_time(undisturbed[1].history)


def test_checkpoints_taken_within_a_step_say_so(tmp_path):
    with pytest.raises(KeyboardInterrupt, match="checkpoint-1-2"):
        toy_trainer(tmp_path, objective=Interrupting(5)).train()
    state = json.loads((tmp_path / "checkpoint-1-2" / "trainer_state.json").read_text())["state"]
    assert (state["step"], state["micro"], state["batch"], state["epoch"]) == (1, 2, 3, 0)
    assert set(state["sums"]) == {"classes", "size"}


def test_stopped_before_anything_new_was_done(tmp_path):
    """The checkpoint it came from will do; there is nothing to write, so nothing to go wrong."""
    with pytest.raises(KeyboardInterrupt):
        toy_trainer(tmp_path, objective=Interrupting(5)).train()
    before = (tmp_path / "checkpoint-1-2" / "manifest.json").stat()
    trainer = toy_trainer(tmp_path)
    pressed = []

    def counts(batch):
        if not pressed:
            pressed.append(True)
            signal.raise_signal(signal.SIGINT)
        return {"classes": 1, "size": 1}

    trainer.objective.counts = counts
    with pytest.raises(KeyboardInterrupt, match="checkpoint-1-2"):
        trainer.train()
    assert (tmp_path / "checkpoint-1-2" / "manifest.json").stat().st_ino == before.st_ino


def test_sigterm_saves_too(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        toy_trainer(tmp_path, objective=Interrupting(3, signal.SIGTERM)).train()
    assert list(tmp_path.glob("checkpoint-*"))


def test_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        toy_trainer(tmp_path, objective=Interrupting(3)).train()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_an_ignored_signal_stays_ignored(tmp_path):
    """As SIGINT is for a job in the background of a shell script."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        result = toy_trainer(tmp_path, objective=Interrupting(3)).train()
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.steps == 6


def test_outside_the_main_thread(undisturbed):
    """Only the main thread may handle signals; training in another one must still work."""
    trainer = toy_trainer()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(trainer.train).result()
    assert digest(trainer) == undisturbed[0]


def test_a_second_signal_stops_at_once(tmp_path):
    class Twice(Interrupting):
        def __call__(self, *args):
            if self.n == 1:
                signal.raise_signal(signal.SIGINT)
            return super().__call__(*args)

    with pytest.raises(KeyboardInterrupt):
        toy_trainer(tmp_path, objective=Twice(3)).train()
    assert not list(tmp_path.glob("checkpoint-*"))


def test_interrupted_without_an_output_directory():
    with pytest.raises(KeyboardInterrupt, match="nothing is saved without an output directory"):
        toy_trainer(objective=Interrupting(2)).train()


def test_a_trial_neither_saves_nor_says_so(tmp_path, capfd):
    trainer = toy_trainer(tmp_path, objective=Interrupting(2))
    trainer.saves = False
    with pytest.raises(KeyboardInterrupt, match=r"^stopped after step \d+; nothing is saved$"):
        trainer.train()
    assert capfd.readouterr().err == "\nStopping after this micro-batch. Once more to stop at once.\n"
    assert not list(tmp_path.glob("checkpoint-*"))


def test_without_standard_error_nothing_is_written_in_its_place(monkeypatch, capfd):
    monkeypatch.setattr("sys.stderr", None)
    with pytest.raises(KeyboardInterrupt):
        toy_trainer(objective=Interrupting(2)).train()
    assert capfd.readouterr().err == ""


def test_a_finished_run_is_not_run_again(tmp_path, undisturbed):
    toy_trainer(tmp_path).train()

    class Never(ToyObjective):
        def __call__(self, *args):
            raise AssertionError("trained again")

    Never.__name__ = "ToyObjective"
    trainer = toy_trainer(tmp_path, objective=Never())
    result = trainer.train()
    assert digest(trainer) == undisturbed[0]
    assert result.metrics == undisturbed[1].metrics
    assert without_wall_time(result.history) == without_wall_time(undisturbed[1].history)


def test_how_often_to_save_may_change(tmp_path, undisturbed):
    with pytest.raises(KeyboardInterrupt):
        toy_trainer(tmp_path, objective=Interrupting(8)).train()
    trainer = toy_trainer(tmp_path, replace(SETTINGS, save_every=1, keep=1))
    trainer.train()
    assert digest(trainer) == undisturbed[0]
    assert [p.name for p in tmp_path.glob("checkpoint-*")] == ["checkpoint-6"]


def other_model(how):
    model = train_toy.ToyModel()
    if how == "weights":
        model.params["bias"][0] += 1
    elif how == "frozen":
        model.frozen = {"still", "gain"}
    else:
        model.config = train_toy.ToyConfig(dropout=0.5)
    return model


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"settings": replace(SETTINGS, lr=0.01)}, r"settings\.lr was 0\.05 and is 0\.01"),
        ({"settings": replace(SETTINGS, epochs=3)}, r"settings\.epochs was 2 and is 3"),
        ({"data": toy_data(seed=4)}, r"data\.sha256"),
        ({"model": other_model("weights")}, r"model\.first weights"),
        ({"model": other_model("frozen")}, r"model\.frozen"),
        ({"model": other_model("config")}, r"model\.config\.dropout was null and is 0\.5"),
        ({"identity": {"teacher": "abc"}}, r'teacher was null and is "abc"'),
        ({"model": train_toy.ToyModel("float64")}, r"model\.dtype was \"float32\" and is \"float64\""),
    ],
)
def test_another_run_is_refused_by_name(tmp_path, change, named):
    with pytest.raises(KeyboardInterrupt):
        toy_trainer(tmp_path, objective=Interrupting(5)).train()
    with pytest.raises(CheckpointError, match=named):
        toy_trainer(tmp_path, **{"settings": SETTINGS, **change}).train()


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, undisturbed, caplog):
    settings = replace(SETTINGS, save_every=1)
    with pytest.raises(KeyboardInterrupt):
        toy_trainer(tmp_path, settings, objective=Interrupting(8)).train()
    assert sorted(p.name for p in tmp_path.glob("checkpoint-*")) == ["checkpoint-3", "checkpoint-3-1"]
    damaged = tmp_path / "checkpoint-3-1" / "optimizer.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-5] ^= 1
    damaged.write_bytes(content)
    trainer = toy_trainer(tmp_path, settings)
    result = trainer.train()
    assert "checkpoint-3-1 is damaged (optimizer.safetensors is not what was written)" in caplog.text
    assert digest(trainer) == undisturbed[0]
    assert without_wall_time(log_of(tmp_path)) == without_wall_time(undisturbed[1].history)
    assert result.steps == 6


def test_killed_at_any_moment(tmp_path, undisturbed):
    """kill -9 after growing delays, within a micro-batch (20 ms each), an update, or a save."""
    kills, delay = 0, 0.05
    while kills < 4 or not list(tmp_path.glob("checkpoint-*")):
        process = start(tmp_path)
        if process.stdout.readline() != "training\n":
            process.communicate()
            break  # the kill before came after the end
        time.sleep(delay)
        process.kill()
        process.communicate()
        kills, delay = kills + (process.returncode == -signal.SIGKILL), delay + 0.012
    assert kills
    assert_ends_as(tmp_path, undisturbed)


def test_killed_while_saving(tmp_path, undisturbed):
    """kill -9 in the n-th fsync of a process, each going on from what the one before has left."""
    for n in (1, 3, 5, 7, 9, 11, 16):
        process = start(tmp_path, str(n))
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert list(tmp_path.glob("checkpoint-*"))
    assert_ends_as(tmp_path, undisturbed)


def assert_ends_as(out, undisturbed):
    process = start(out)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert json.loads(output.splitlines()[-1]) == {"digest": undisturbed[0], "steps": 6}
    assert without_wall_time(log_of(out)) == without_wall_time(undisturbed[1].history)
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signalled_process_saves_and_exits_130(tmp_path, undisturbed, number):
    process = start(tmp_path)
    assert process.stdout.readline() == "training\n"
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "start again to go on from" in errors
    assert "Traceback" not in errors
    trainer = toy_trainer(tmp_path)
    trainer.train()
    assert digest(trainer) == undisturbed[0]


def start(out, *args):
    command = [sys.executable, train_toy.__file__, str(out), *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


STATE = {
    "step": "one",
    "sums": [1],
    "metrics": {"a": "b"},
    "interval": 3,
    "usual": "x",
    "finished": 1,
    "old": 0,
}


@pytest.mark.parametrize("key", STATE)
def test_a_state_of_other_types_is_refused(tmp_path, key):
    toy_trainer(tmp_path).train()
    newest = tmp_path / "checkpoint-6"
    saved = json.loads((newest / "trainer_state.json").read_text())
    saved["state"][key] = STATE[key]
    (newest / "trainer_state.json").write_text(json.dumps(saved))
    manifest = json.loads((newest / "manifest.json").read_text())
    manifest["sha256"]["trainer_state.json"] = sha256_file(newest / "trainer_state.json")
    (newest / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=rf"checkpoint-6: .*{key}.*remove"):
        toy_trainer(tmp_path).train()


def test_one_process_at_a_time(tmp_path, undisturbed):
    with only_writer(tmp_path / "run"), pytest.raises(StorageError, match="another process is writing"):
        toy_trainer(tmp_path / "run").train()
    assert not (tmp_path / "run").exists()
    trainer = toy_trainer(tmp_path / "run")
    trainer.train()
    assert digest(trainer) == undisturbed[0]
    assert not (tmp_path / "run" / ".lock").exists()
