"""Sequence classification: scores for many texts at once, and how good they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.errors import InputError
from minidistil.model.base import Model
from minidistil.progress import Progress
from minidistil.tasks.by_token import require_finite
from minidistil.text.batching import TOKENS_AT_ONCE, sorted_batches
from minidistil.text.dataset import Dataset


def predict_logits(
    model: Model, dataset: Dataset, *, progress: Progress | None = None
) -> npt.NDArray[np.floating[Any]]:
    """Logits [N, C] of every example, in the dataset's order. Batches are made by length inside.

    Raises
    ------
    InputError
        A model that does not classify sequences, or whose scores are not finite.
    """
    logits = np.zeros((len(dataset), model.config.num_labels), model.params.dtype)
    for rows in sorted_batches(dataset.lengths, TOKENS_AT_ONCE):
        outputs, _ = model.forward(dataset.batch(rows), keep_cache=False)
        if "logits" not in outputs or outputs["logits"].shape != (len(rows), logits.shape[1]):
            raise InputError(f"{type(model).__name__} does not classify sequences")
        require_finite(outputs["logits"])
        logits[rows] = outputs["logits"]
        if progress is not None:
            progress.update(len(rows))
    return logits


def accuracy(model: Model, dataset: Dataset) -> float:
    """Share of examples whose highest logit is at the label in `dataset.targets["labels"]`."""
    return float((predict_logits(model, dataset).argmax(1) == dataset.targets["labels"]).mean())
