"""Teacher outputs for fixed inputs, computed once and kept on disk."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.errors import WeightsError
from minidistil.model.base import Model
from minidistil.progress import Progress
from minidistil.tasks.classification import predict_logits
from minidistil.text.dataset import Dataset
from minidistil.weights.safetensors_file import SafetensorsFile, write_safetensors

PART = 2048  # examples in a file: what an interruption can cost


def weights_hash(model: Model) -> str:
    """SHA-256 of all parameters: the same weights, the same hash."""
    digest = hashlib.sha256(type(model).__name__.encode())
    for name, values in model.params.items():
        digest.update(name.encode())
        digest.update(values.data)
    return digest.hexdigest()


def teacher_logits(
    teacher: Model, dataset: Dataset, directory: Path, *, quiet: bool = False
) -> npt.NDArray[np.floating[Any]]:
    """The teacher's logits [N, C] for every example, in order.

    They are kept in `directory` in parts of 2,048 examples, under a hash of the teacher's weights and of
    the inputs, so an interrupted run repeats at most one part, and another teacher or other texts never
    meet a stale cache.

    Parameters
    ----------
    teacher : Model
        A sequence classifier.
    dataset : Dataset
    directory : Path
        Made if it does not exist.
    """
    inputs = replace(dataset, targets={})
    key = hashlib.sha256(f"{weights_hash(teacher)} {inputs.content_hash()}".encode()).hexdigest()[:16]
    home = directory / key
    home.mkdir(parents=True, exist_ok=True)
    parts = []
    with Progress(len(dataset), "teacher labels", "sentence", quiet=quiet) as progress:
        for start in range(0, len(dataset), PART):
            rows = np.arange(start, min(start + PART, len(dataset)))
            path = home / f"logits-{start:09d}.safetensors"
            logits = _read(path, len(rows))
            if logits is None:
                logits = predict_logits(teacher, inputs.subset(rows), progress=progress)
                write_safetensors(path, {"logits": logits})
            else:
                progress.update(len(rows))
            parts.append(logits)
    return np.concatenate(parts)


def _read(path: Path, rows: int) -> npt.NDArray[np.floating[Any]] | None:
    """A part that is there and whole, or None."""
    if not path.exists():
        return None
    try:
        logits = SafetensorsFile(path)["logits"]
    except (WeightsError, KeyError):
        return None
    return np.array(logits) if len(logits) == rows else None
