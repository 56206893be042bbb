"""Vectors of tokenised texts: the last hidden states of an encoder, pooled and through further layers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array
from minidistil.batch import Batch
from minidistil.embeddings.layers import Layer, Normalize
from minidistil.embeddings.settings import EmbeddingSettings
from minidistil.model.checks import require_finite
from minidistil.model.model import Model
from minidistil.ops.pooling import pool_forward, pooling_kinds
from minidistil.progress import Progress
from minidistil.text.batching import TOKENS_AT_ONCE, sorted_batches
from minidistil.text.dataset import Dataset
from minidistil.text.tokenizer import Tokenizer


def hidden_states(model: Model, dataset: Dataset) -> Iterator[tuple[npt.NDArray[np.int64], Array, Batch]]:
    """Rows of a dataset, the last hidden states of their tokens [T, H], and the batch that they are of."""
    for rows in sorted_batches(dataset.lengths, TOKENS_AT_ONCE):
        batch = dataset.batch(rows)
        outputs, _ = model.forward(batch, logits=False, keep_cache=False)
        yield rows, outputs["last_hidden_state"], batch


def embed_tokens(model: Model, dataset: Dataset, *, progress: Progress | None = None) -> list[Array]:
    """The vectors of each example's tokens, special tokens among them, [L, H] each.

    Raises
    ------
    InputError
        Vectors that are not finite.
    """
    found: dict[int, Array] = {}
    for rows, states, batch in hidden_states(model, dataset):
        require_finite(states)
        parts = np.split(states, batch.cu_seqlens[1:-1])
        found |= dict(zip(rows.tolist(), parts, strict=True))
        if progress is not None:
            progress.update(len(rows))
    return [found[row] for row in range(len(dataset))]


def embed(
    model: Model,
    dataset: Dataset,
    settings: EmbeddingSettings,
    *,
    skip: int = 0,
    progress: Progress | None = None,
) -> Array:
    """Embed examples as vectors [N, H], before any `truncate_dim`.

    Parameters
    ----------
    model : Model
        Any encoder, with or without a head.
    dataset : Dataset
    settings : EmbeddingSettings
        Of which pooling, layers and normalization count.
    skip : int
        See `minidistil.ops.pooling.pool_forward`.
    progress : Progress, optional
        Counts examples.

    Raises
    ------
    InputError
        Vectors that are not finite.
    UsageError
        An unknown pooling.
    """
    kinds = len(pooling_kinds(settings.pooling))
    vectors: Array = np.zeros((len(dataset), kinds * model.config.hidden_size), model.params.dtype)
    for rows, states, batch in hidden_states(model, dataset):
        vectors[rows] = pool_forward(states, batch, settings.pooling, skip=skip)[0]
        require_finite(vectors[rows])
        if progress is not None:
            progress.update(len(rows))
    last: tuple[Layer, ...] = (Normalize(),) if settings.normalize else ()
    with np.errstate(over="ignore", invalid="ignore"):  # of damaged weights, which the check finds
        for layer in (*settings.layers, *last):
            vectors = layer(vectors, model.backend)
    if settings.layers:
        require_finite(vectors)
    return vectors


def prompt_tokens(tokenizer: Tokenizer, prompt: str, settings: EmbeddingSettings) -> int:
    """Number of tokens at the beginning of a text that are not pooled: [CLS] and the prompt's, or none."""
    if settings.include_prompt or not prompt:
        return 0
    ids = tokenizer.encode([prompt], max_length=settings.max_length).input_ids[0]
    return len(ids) - (int(ids[-1]) in tokenizer.special_ids)  # the last ends the text
