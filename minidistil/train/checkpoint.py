"""Checkpoints that survive a kill at any moment.

    checkpoint-12/              after step 12; checkpoint-12-3/ after three more micro-batches
      model.safetensors         parameters by name
      optimizer.safetensors     "m.NAME" and "v.NAME"; within a step also "grad.NAME"
      trainer_state.json        where the run is, and its fingerprint
      manifest.json             SHA-256 of the three

All of it is written beside its final place, flushed, and then renamed: a checkpoint is there whole or not
at all. The manifest shows later damage, and the checkpoint before is used instead.
Random numbers come from counters, so the seed in the settings is their whole state.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from minidistil.errors import CheckpointError
from minidistil.files import atomic_directory, read_json, sha256_file, storage_error
from minidistil.weights.safetensors_file import SafetensorsFile, write_safetensors

logger = logging.getLogger(__name__)

MODEL, OPTIMIZER, STATE, MANIFEST = (
    "model.safetensors",
    "optimizer.safetensors",
    "trainer_state.json",
    "manifest.json",
)
_NAME = re.compile(r"checkpoint-(\d+)(?:-(\d+))?")
_LEFTOVER = re.compile(r"\.(checkpoint-[\d-]+|best|metrics)-[0-9a-f]{8}(\.jsonl)?")


class Position(NamedTuple):
    """Progress of a run: optimiser steps done, and micro-batches since."""

    step: int
    micro: int = 0

    @property
    def directory(self) -> str:
        return f"checkpoint-{self.step}-{self.micro}" if self.micro else f"checkpoint-{self.step}"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files are what they were when written."""

    path: Path
    state: dict[str, Any]

    @property
    def model(self) -> SafetensorsFile:
        return SafetensorsFile(self.path / MODEL)

    @property
    def optimizer(self) -> SafetensorsFile:
        return SafetensorsFile(self.path / OPTIMIZER)


def save_checkpoint(
    run_dir: Path,
    position: Position,
    *,
    model: Mapping[str, npt.NDArray[Any]],
    optimizer: Mapping[str, npt.NDArray[Any]],
    state: Mapping[str, Any],
    fingerprint: Mapping[str, Any],
    keep: int = 2,
) -> Path:
    """Write one checkpoint, then remove all but the newest `keep`.

    Returns
    -------
    Path
        Its directory.

    Raises
    ------
    StorageError
        The disk is full or cannot be written. The checkpoints before are intact, nothing partial is left.
    """
    path = run_dir / position.directory
    in_the_way = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    if os.path.lexists(path):  # damaged, or it would have been resumed from; perhaps no directory at all
        try:
            os.rename(path, in_the_way)
        except OSError as error:
            raise storage_error(path, error) from error
    with atomic_directory(path) as temporary:
        write_safetensors(temporary / MODEL, model)
        write_safetensors(temporary / OPTIMIZER, optimizer)
        _write_json(temporary / STATE, {"state": state, "fingerprint": fingerprint})
        files = {name: sha256_file(temporary / name) for name in (MODEL, OPTIMIZER, STATE)}
        _write_json(temporary / MANIFEST, {"format": 1, "sha256": files})
    # Ones ahead of us can only be those found damaged when this run was resumed from an earlier one.
    behind = [other for where, other in _checkpoints(run_dir) if where <= position]
    ahead = [other for where, other in _checkpoints(run_dir) if where > position]
    for old in (*ahead, *behind[:-keep]):
        shutil.rmtree(old, ignore_errors=True)
    remove(in_the_way)
    return path


def load_latest(run_dir: Path, fingerprint: Mapping[str, Any]) -> Checkpoint | None:
    """The newest sound checkpoint of this run; None if there is none at all.

    Half-written files of an earlier process are removed. A damaged checkpoint is passed over with a
    warning that says what is wrong with it.

    Parameters
    ----------
    run_dir : Path
    fingerprint : mapping
        Identity of the run: settings, data, initial weights.

    Raises
    ------
    CheckpointError
        The checkpoint belongs to another run (the message says what differs), or all are damaged.
    """
    remove_leftovers(run_dir)
    damaged = []
    for _, path in reversed(list(_checkpoints(run_dir))):
        problem = _damage(path)
        if problem:
            logger.warning("%s is damaged (%s): going back to the checkpoint before", path, problem)
            damaged.append(path.name)
            continue
        saved = read_json(path / STATE, CheckpointError)
        differences = list(_differences("", saved["fingerprint"], json.loads(json.dumps(fingerprint))))
        if differences:
            raise CheckpointError(
                f"{path} belongs to another run: {'; '.join(differences)}. "
                f"Choose another output directory, or remove {run_dir} to begin again"
            )
        return Checkpoint(path, saved["state"])
    if damaged:
        raise CheckpointError(
            f"every checkpoint in {run_dir} is damaged ({', '.join(damaged)}): remove them to begin again"
        )
    return None


def remove_leftovers(run_dir: Path) -> None:
    """Remove what a killed process was writing."""
    for path in list(run_dir.glob(".*")):
        if _LEFTOVER.fullmatch(path.name):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file or a directory, if it is there and can be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _checkpoints(run_dir: Path) -> list[tuple[Position, Path]]:
    """Every checkpoint directory, oldest first."""
    found = []
    for path in run_dir.glob("checkpoint-*"):
        match = _NAME.fullmatch(path.name)
        if match and path.is_dir():
            found.append((Position(int(match[1]), int(match[2] or 0)), path))
    return sorted(found)


def _damage(path: Path) -> str | None:
    """Defect of a checkpoint, or None."""
    try:
        expected = read_json(path / MANIFEST, CheckpointError).get("sha256")
        if not isinstance(expected, dict) or set(expected) != {MODEL, OPTIMIZER, STATE}:
            return f"{MANIFEST} does not name its files"
        for name, digest in expected.items():
            if (path / name).exists() and not (path / name).is_file():
                return f"{name} is not a regular file"
            if sha256_file(path / name) != digest:
                return f"{name} is not what was written"
        saved = read_json(path / STATE, CheckpointError)
    except OSError as error:
        return f"{Path(error.filename).name if error.filename else path.name}: {error.strerror}"
    except CheckpointError as error:
        return str(error)
    parts = [saved.get(part) for part in ("state", "fingerprint")]
    return None if all(isinstance(part, dict) for part in parts) else f"{STATE} lacks a part"


def _differences(where: str, then: Any, now: Any) -> Iterator[str]:
    """Each leaf in which two fingerprints differ, in words."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted(then.keys() | now.keys()):
            yield from _differences(f"{where}.{key}" if where else key, then.get(key), now.get(key))
    elif then != now:
        yield f"{where} was {_short(then)} and is {_short(now)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:20] + "..."


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
