"""What a model says of every token of a dataset."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.errors import InputError
from minidistil.model.base import Model
from minidistil.progress import Progress
from minidistil.text.batching import TOKENS_AT_ONCE, sorted_batches
from minidistil.text.dataset import Dataset

Array = npt.NDArray[np.floating[Any]]


def require_finite(*scores: Array) -> None:
    """An InputError for scores of a model that are NaN or infinite."""
    if not all(np.isfinite(part).all() for part in scores):
        raise InputError("the model's scores hold a NaN or an Inf: its weights are damaged, or it diverged")


def token_outputs(
    model: Model, dataset: Dataset, *names: str, label: str = "predicting", quiet: bool = True
) -> list[Array]:
    """Outputs of `Model.forward` with a row for each token, [T, ...] each, in the dataset's order.

    Parameters
    ----------
    model : Model
    dataset : Dataset
        Batches are made by length inside.
    *names : str
        Which outputs.
    label, quiet
        Of the progress shown.

    Raises
    ------
    InputError
        Outputs that are not finite.
    """
    found: list[Array] = []
    with Progress(len(dataset), label, "window", quiet=quiet) as progress:
        for indices in sorted_batches(dataset.lengths, TOKENS_AT_ONCE):
            batch = dataset.batch(indices)
            outputs, _ = model.forward(batch, keep_cache=False)
            given = [outputs[name] for name in names]
            require_finite(*given)
            if not found:
                found = [np.zeros((dataset.num_tokens, *rows.shape[1:]), rows.dtype) for rows in given]
            # Token t of the batch is token places[t] of its example.
            where = np.repeat(dataset.offsets[indices], batch.lengths) + batch.places
            for rows, part in zip(found, given, strict=True):
                rows[where] = part
            progress.update(len(indices))
    return found or [np.zeros((0, model.config.num_labels), model.params.dtype) for _ in names]
