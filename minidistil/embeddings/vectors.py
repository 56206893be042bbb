"""Sentence embeddings: one vector a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.embeddings.dense import Layer, Normalize, unit
from minidistil.errors import InputError
from minidistil.model.model import Model
from minidistil.ops.pooling import pool_forward, pooling_kinds
from minidistil.progress import Progress
from minidistil.tasks.inference import require_finite
from minidistil.text.batching import TOKENS_AT_ONCE, sorted_batches
from minidistil.text.dataset import Dataset

Array = npt.NDArray[np.floating[Any]]

__all__ = ["as_vectors", "embed", "unit"]


def embed(
    model: Model,
    dataset: Dataset,
    *,
    pooling: str = "mean",
    normalize: bool = True,
    skip: int = 0,
    layers: Sequence[Layer] = (),
    progress: Progress | None = None,
) -> Array:
    """A vector for every example, [N, H], in the dataset's order.

    Parameters
    ----------
    model : Model
        Any encoder, with or without a head.
    dataset : Dataset
    pooling, skip
        See `minidistil.ops.pooling.pool_forward`.
    normalize : bool
        Scale to length 1 in the end, so that a dot product is a cosine.
    layers : sequence of Layer
        Applied to what is pooled, in their order.
    progress : Progress, optional
        Counts examples.

    Raises
    ------
    InputError
        Vectors that are not finite.
    UsageError
        An unknown pooling.
    """
    kinds = len(pooling_kinds(pooling))
    vectors = np.zeros((len(dataset), kinds * model.config.hidden_size), model.params.dtype)
    for rows in sorted_batches(dataset.lengths, TOKENS_AT_ONCE):
        batch = dataset.batch(rows)
        outputs, _ = model.forward(batch, logits=False, keep_cache=False)
        vectors[rows] = pool_forward(outputs["last_hidden_state"], batch, pooling, skip=skip)[0]
        require_finite(vectors[rows])
        if progress is not None:
            progress.update(len(rows))
    with np.errstate(over="ignore", invalid="ignore"):  # of damaged weights, which the check finds
        for layer in [*layers, *([Normalize()] if normalize else [])]:
            vectors = layer(vectors, model.backend)
    if layers:
        require_finite(vectors)
    return vectors


def as_vectors(name: str, vectors: npt.ArrayLike) -> npt.NDArray[Any]:
    """Vectors as an array; `name` is what messages call them.

    Raises
    ------
    InputError
        Something else than numbers [N, H], or a NaN or an Inf, whose row is named.
    """
    array = np.asarray(vectors)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise InputError(f"{name} must be numbers [N, H], not {array.dtype} {list(array.shape)}")
    bad = np.flatnonzero(~np.isfinite(array).all(1))
    if len(bad):
        raise InputError(f"row {bad[0]} of {name} holds a NaN or an Inf")
    return array
