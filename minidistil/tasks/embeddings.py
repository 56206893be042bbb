"""Sentence embeddings: one vector a text."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.errors import InputError
from minidistil.model.base import Model
from minidistil.model.pooling import Pooling, check_pooling, pool_forward
from minidistil.progress import Progress
from minidistil.tasks.by_token import require_finite
from minidistil.text.batching import TOKENS_AT_ONCE, sorted_batches
from minidistil.text.dataset import Dataset

Array = npt.NDArray[np.floating[Any]]


def embed(
    model: Model,
    dataset: Dataset,
    *,
    pooling: Pooling = "mean",
    normalize: bool = True,
    progress: Progress | None = None,
) -> Array:
    """A vector for every example, [N, H], in the dataset's order.

    Parameters
    ----------
    model : Model
        Any encoder, with or without a head.
    dataset : Dataset
    pooling : {"mean", "cls", "max"}
        See `minidistil.model.pooling`.
    normalize : bool
        Scale to length 1, so that a dot product is a cosine.
    progress : Progress, optional
        Counts examples.

    Raises
    ------
    InputError
        Vectors that are not finite.
    """
    check_pooling(pooling)
    vectors = np.zeros((len(dataset), model.config.hidden_size), model.params.dtype)
    for rows in sorted_batches(dataset.lengths, TOKENS_AT_ONCE):
        batch = dataset.batch(rows)
        outputs, _ = model.forward(batch, logits=False, keep_cache=False)
        vectors[rows] = pool_forward(outputs["last_hidden_state"], batch, pooling)[0]
        require_finite(vectors[rows])
        if progress is not None:
            progress.update(len(rows))
    return unit(vectors) if normalize else vectors


def unit(vectors: Array) -> Array:
    """Rows scaled to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), vectors.dtype)


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
