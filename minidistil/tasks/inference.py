"""Run a model over many texts: scores of whole sequences, or of every token of texts of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array
from minidistil.errors import InputError
from minidistil.model.checks import require_finite
from minidistil.model.model import Model
from minidistil.prefetch import prefetch
from minidistil.progress import Progress
from minidistil.text.batching import TOKENS_AT_ONCE, sorted_batches
from minidistil.text.dataset import Dataset
from minidistil.text.windows import Windows

TEXTS_AT_ONCE = 64  # cut into windows ahead of the model


def predict_logits(
    model: Model, dataset: Dataset, *, progress: Progress | None = None
) -> npt.NDArray[np.floating[Any]]:
    """Logits of every sequence, in the dataset's order. Batches are made by length inside.

    Returns
    -------
    float [N, C], or [N] from a model for multiple choice.

    Raises
    ------
    InputError
        A model that does not classify sequences, or whose scores are not finite.
    """
    classes = () if model.over_choices else (model.config.num_labels,)
    logits = np.zeros((len(dataset), *classes), model.params.dtype)
    for rows in sorted_batches(dataset.lengths, TOKENS_AT_ONCE):
        outputs, _ = model.forward(dataset.batch(rows), keep_cache=False, scores_only=True)
        if "logits" not in outputs or outputs["logits"].shape != (len(rows), *classes):
            raise InputError(f"{type(model).__name__} does not classify sequences")
        require_finite(outputs["logits"])
        logits[rows] = outputs["logits"]
        if progress is not None:
            progress.update(len(rows))
    return logits


def read_windows(
    model: Model, cut: Callable[[slice], Windows], count: int, *names: str, label: str, quiet: bool = True
) -> Iterator[tuple[slice, Windows, list[Array]]]:
    """Read texts that are cut into windows, some at a time; the next are cut while the model reads.

    Parameters
    ----------
    model : Model
    cut : callable
        Windows of some of the texts.
    count : int
        Number of texts.
    *names : str
        Outputs of `Model.forward` with a row for each token.
    label, quiet
        Of the progress shown.

    Yields
    ------
    The slice of texts, their windows, and the outputs for them, [T, ...] each.
    """
    parts = [slice(i, min(i + TEXTS_AT_ONCE, count)) for i in range(0, count, TEXTS_AT_ONCE)]
    with Progress(count, label, "text", quiet=quiet) as progress:
        for part, windows in prefetch((part, cut(part)) for part in parts):
            yield part, windows, token_outputs(model, windows.dataset(), *names)
            progress.update(part.stop - part.start)


def token_outputs(model: Model, dataset: Dataset, *names: str) -> list[Array]:
    """Outputs of `Model.forward` with a row for each token, [T, ...] each, in the dataset's order.

    Batches are made by length inside.

    Raises
    ------
    InputError
        Outputs that are not finite.
    """
    found: list[Array] = []
    for indices in sorted_batches(dataset.lengths, TOKENS_AT_ONCE):
        batch = dataset.batch(indices)
        outputs, _ = model.forward(batch, keep_cache=False)
        given = [outputs[name] for name in names]
        require_finite(*given)
        if not found:
            found = [np.zeros((dataset.num_tokens, *rows.shape[1:]), rows.dtype) for rows in given]
        # Index in the dataset of each token of the batch.
        where = np.repeat(dataset.offsets[indices], batch.lengths) + batch.token_index
        for rows, part in zip(found, given, strict=True):
            rows[where] = part
    return found or [np.zeros((0, model.config.num_labels), model.params.dtype) for _ in names]
