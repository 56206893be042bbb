"""Checkpoints: all or nothing, verified, rotated."""

import errno
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from train_toy import SETTINGS, ToyObjective, digest, toy_trainer

from minidistil.errors import CheckpointError, StorageError
from minidistil.files import sha256_file
from minidistil.train.checkpoint import Position, load_latest, remove_leftovers, save_checkpoint

RUN = {"settings": {"lr": 0.1}}


def save(run_dir, step, micro=0, keep=2):
    return save_checkpoint(
        run_dir,
        Position(step, micro),
        model={"w": np.full(3, step, np.float32)},
        optimizer={"m.w": np.full(3, -step, np.float32)},
        state={"step": step, "micro": micro},
        fingerprint=RUN,
        keep=keep,
    )


def names(run_dir):
    return sorted(p.name for p in run_dir.iterdir())


def test_round_trip(tmp_path):
    path = save(tmp_path / "run", 3)
    assert names(path) == [
        "manifest.json",
        "model.safetensors",
        "optimizer.safetensors",
        "trainer_state.json",
    ]
    found = load_latest(tmp_path / "run", RUN)
    assert found.path == path
    assert found.state == {"step": 3, "micro": 0}
    assert found.model["w"].tolist() == [3, 3, 3]
    assert found.optimizer["m.w"].tolist() == [-3, -3, -3]


def test_nothing_there(tmp_path):
    assert load_latest(tmp_path / "nowhere", RUN) is None
    assert load_latest(tmp_path, RUN) is None


def test_newest_by_number_not_by_name(tmp_path):
    for step, micro in ((2, 0), (10, 0), (9, 0), (9, 2), (10, 1)):
        save(tmp_path, step, micro, keep=9)
    assert load_latest(tmp_path, RUN).path.name == "checkpoint-10-1"


def test_rotation_keeps_the_last(tmp_path):
    for step in range(1, 6):
        save(tmp_path, step)
    assert names(tmp_path) == ["checkpoint-4", "checkpoint-5"]
    save(tmp_path, 6, keep=1)
    assert names(tmp_path) == ["checkpoint-6"]


def test_the_old_one_goes_only_after_the_new_one_is_there(tmp_path, monkeypatch):
    save(tmp_path, 1, keep=1)
    removed, rmtree = [], shutil.rmtree

    def watch(path, **kwargs):
        if path.name == "checkpoint-1":
            removed.append(load_latest(tmp_path, RUN).path.name)
        rmtree(path, **kwargs)

    monkeypatch.setattr(shutil, "rmtree", watch)
    save(tmp_path, 2, keep=1)
    assert removed == ["checkpoint-2"]


def test_damaged_ones_ahead_do_not_push_out_good_ones(tmp_path):
    for step in (1, 2, 3):
        save(tmp_path, step, keep=3)
    (tmp_path / "checkpoint-3" / "manifest.json").unlink()
    assert load_latest(tmp_path, RUN).path.name == "checkpoint-2"
    save(tmp_path, 2, micro=1)
    assert names(tmp_path) == ["checkpoint-2", "checkpoint-2-1"]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [truncate, flip, os.unlink])
@pytest.mark.parametrize(
    "file", ["manifest.json", "model.safetensors", "optimizer.safetensors", "trainer_state.json"]
)
def test_any_damage_is_seen_and_the_one_before_used(tmp_path, caplog, file, harm):
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    harm(path / file)
    if file == "manifest.json" and harm is not os.unlink:
        (path / file).write_text((path / file).read_text()[:-9] + "}}")  # still JSON, perhaps
    assert load_latest(tmp_path, RUN).path.name == "checkpoint-1"
    assert "checkpoint-2 is damaged" in caplog.text
    assert file in caplog.text


def test_a_manifest_that_leaves_a_file_out(tmp_path, caplog):
    save(tmp_path, 1)
    manifest = save(tmp_path, 2) / "manifest.json"
    content = json.loads(manifest.read_text())
    del content["sha256"]["model.safetensors"]
    manifest.write_text(json.dumps(content))
    assert load_latest(tmp_path, RUN).path.name == "checkpoint-1"
    assert "manifest.json does not name its files" in caplog.text


def test_all_damaged(tmp_path):
    for step in (1, 2):
        truncate(save(tmp_path, step) / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"every checkpoint.*checkpoint-2, checkpoint-1"):
        load_latest(tmp_path, RUN)


def test_another_run(tmp_path):
    save(tmp_path, 1)
    with pytest.raises(
        CheckpointError, match=r"another run: data was null and is 3; settings\.lr was 0\.1 and is 0\.2\."
    ):
        load_latest(tmp_path, {"settings": {"lr": 0.2}, "data": 3})


def test_leftovers_are_removed_and_nothing_else(tmp_path):
    for name in (
        ".checkpoint-4-0a1b2c3d",
        ".checkpoint-4-1-0a1b2c3d",
        ".best-00ff00ff",
        ".git",
        "checkpoint-old",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    for name in (".metrics-0a1b2c3d.jsonl", ".notes", "checkpoint-7"):
        (tmp_path / name).write_text("x")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".git", ".notes", "checkpoint-7", "checkpoint-old"]
    assert load_latest(tmp_path, RUN) is None


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch, n):
    """No space at the n-th thing that has to reach the disk."""
    save(tmp_path, 1)
    calls, fsync = [], os.fsync

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == n:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="the disk is full") as error:
        save(tmp_path, 2)
    assert error.value.exit_code == 3
    monkeypatch.undo()
    assert names(tmp_path) == ["checkpoint-1"]
    assert load_latest(tmp_path, RUN).path.name == "checkpoint-1"


def test_the_log_is_on_the_disk_before_the_checkpoint(tmp_path, monkeypatch):
    """Or a power cut could leave a checkpoint whose log ends before it."""
    synced, fsync = [], os.fsync

    def watch(descriptor):
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    toy_trainer(tmp_path, replace(SETTINGS, save_every=None)).train()
    assert synced[0] == (tmp_path / "metrics.jsonl").stat().st_ino
    assert (tmp_path / "checkpoint-6" / "manifest.json").stat().st_ino in synced[1:]


def test_a_run_goes_on_after_the_disk_was_full(tmp_path, monkeypatch):
    reference = toy_trainer()
    reference.train()
    calls, fsync = [], os.fsync

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 15:  # within the second checkpoint
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        toy_trainer(tmp_path).train()
    monkeypatch.undo()
    assert names(tmp_path) == ["checkpoint-2", "metrics.jsonl"]
    trainer = toy_trainer(tmp_path)
    trainer.train()
    assert digest(trainer) == digest(reference)


def test_moments_and_gradient_are_saved_by_name(tmp_path):
    class Stop(ToyObjective):
        n = 0

        def __call__(self, *args):
            self.n += 1
            if self.n == 5:
                os.kill(os.getpid(), 2)
            return super().__call__(*args)

    with pytest.raises(KeyboardInterrupt):
        toy_trainer(tmp_path, SETTINGS, objective=Stop()).train()
    path = tmp_path / "checkpoint-1-2"
    manifest = json.loads((path / "manifest.json").read_text())
    assert set(manifest["sha256"]) == {"model.safetensors", "optimizer.safetensors", "trainer_state.json"}
    from safetensors.numpy import load_file

    trained = {"embeddings", "gain", "weight", "bias"}  # not the frozen one
    assert set(load_file(path / "model.safetensors")) == trained | {"still"}
    saved = load_file(path / "optimizer.safetensors")
    assert set(saved) == {f"{kind}.{name}" for kind in ("m", "v", "grad") for name in trained}
    assert saved["grad.weight"].any()


@pytest.mark.parametrize("content", ["[" * 100_000, '{"sha256": 3}', "[]", "9" * 5000])
@pytest.mark.parametrize("file", ["manifest.json", "trainer_state.json"])
def test_json_of_any_kind_is_damage(tmp_path, caplog, file, content):
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    (path / file).write_text(content)
    sign(path)
    if file == "manifest.json":
        (path / file).write_text(content)
    assert load_latest(tmp_path, RUN).path.name == "checkpoint-1"
    assert "checkpoint-2 is damaged" in caplog.text


def sign(path):
    names = ("model.safetensors", "optimizer.safetensors", "trainer_state.json")
    digests = {name: sha256_file(path / name) for name in names}
    (path / "manifest.json").write_text(json.dumps({"format": 1, "sha256": digests}))


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: (shutil.rmtree(path), path.write_text("a file")),
        lambda path: ((path / "trainer_state.json").unlink(), (path / "trainer_state.json").mkdir()),
        lambda path: (shutil.rmtree(path), path.symlink_to("nowhere")),
    ],
)
def test_what_is_in_the_place_of_a_checkpoint_gives_way(tmp_path, harm):
    save(tmp_path, 1)
    harm(save(tmp_path, 2))
    assert load_latest(tmp_path, RUN).path.name == "checkpoint-1"
    save(tmp_path, 2)
    assert load_latest(tmp_path, RUN).path.name == "checkpoint-2"
    assert {p.name for p in tmp_path.iterdir()} == {"checkpoint-1", "checkpoint-2"}
