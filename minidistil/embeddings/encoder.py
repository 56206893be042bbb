"""Sentence encoder: from texts to vectors."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from minidistil.arguments import check_type
from minidistil.arrays import Array, Float32
from minidistil.embeddings.directory import read_settings, write_settings
from minidistil.embeddings.layers import Layer, Normalize
from minidistil.embeddings.settings import EmbeddingSettings
from minidistil.files import atomic_directory
from minidistil.model import load_to_answer
from minidistil.model.checks import require_finite
from minidistil.model.model import Model
from minidistil.ops.pooling import pool_forward, pooling_kinds
from minidistil.progress import Progress
from minidistil.text.batching import TOKENS_AT_ONCE, sorted_batches
from minidistil.text.dataset import Dataset
from minidistil.text.lengths import sequence_length
from minidistil.text.texts import as_texts
from minidistil.text.tokenizer import Tokenizer
from minidistil.weights.card import ModelCard
from minidistil.weights.hub import resolve

log = logging.getLogger("minidistil")


class SentenceEncoder:
    """Encode texts: `SentenceEncoder.from_pretrained("encoder/").encode(["a warm film"])`.

    Parameters
    ----------
    model : Model
        Any encoder, with or without a head.
    tokenizer : Tokenizer
    settings : EmbeddingSettings, optional
        Its `max_length` is the tokenizer's by default, and never more than the model's positions.

    Raises
    ------
    UsageError
        A setting with an impossible value, such as an unknown pooling.
    """

    def __init__(self, model: Model, tokenizer: Tokenizer, settings: EmbeddingSettings | None = None) -> None:
        check_type("the model of a SentenceEncoder", model, Model)
        check_type("its tokenizer", tokenizer, Tokenizer)
        settings = EmbeddingSettings() if settings is None else settings
        settings.check()
        wanted, positions = settings.max_length, model.config.max_position_embeddings
        if wanted is not None and wanted > positions:
            log.warning("texts are cut at the model's %d positions, not at %d tokens", positions, wanted)
            wanted = positions
        length = sequence_length(tokenizer, model.config, wanted)
        self.model, self.tokenizer = model, tokenizer.for_model(model.config.vocab_size)
        self.settings = settings._replace(max_length=length)
        self._reader = self.tokenizer.lowered() if settings.lower_case else self.tokenizer

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str | Path,
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        **options: Any,
    ) -> Self:
        """Load a directory or a hub id, of sentence-transformers or of any encoder.

        Parameters
        ----------
        path_or_id : directory or hub id
            Files of sentence-transformers are followed; see `minidistil.embeddings.directory`.
        prompt, prompt_name : str, optional
            A text to put before every text, or the name of one of the directory's prompts, in place of its
            default prompt; "" is none.
        **options
            `pooling`, `normalize` and other fields of `EmbeddingSettings` in place of the directory's; others
            as for `Model.from_pretrained`.

        Raises
        ------
        ConfigError, WeightsError, MissingAssetError, UsageError
        """
        path = resolve(path_or_id, revision=options.pop("revision", None))
        changes = {name: options.pop(name) for name in EmbeddingSettings._fields if name in options}
        model = load_to_answer(path, "Model", **options)
        settings = read_settings(path, model.config.hidden_size)._replace(**changes)
        return cls(model, Tokenizer.from_pretrained(path), settings.with_prompt(prompt, prompt_name))

    @property
    def width(self) -> int:
        """Width of a vector."""
        return self.settings.width(self.model.config.hidden_size)

    def __call__(self, texts: str | Sequence[str], **options: Any) -> Float32:
        """Encode one text, float32 [H], or several, [N, H]; see `encode`."""
        vectors = self.encode([texts] if isinstance(texts, str) else texts, **options)
        return np.asarray(vectors[0] if isinstance(texts, str) else vectors)

    def encode(
        self,
        texts: Sequence[str],
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        quiet: bool = True,
    ) -> Float32:
        """Encode texts as vectors, float32 [N, H].

        A text's vector does not depend on the other texts or on their order: bit for bit where matrix
        products are minidistil's own, else but for rounding. A text that is too long is cut, and one warning
        says how many were. An empty text has the vector of [CLS] [SEP].

        Parameters
        ----------
        texts : sequence of str
        prompt, prompt_name : str, optional
            A text to put before each of them, or the name of one of the encoder's prompts. By default its
            default prompt, if it has one; "" is none.
        quiet : bool
            Show no progress.

        Raises
        ------
        InputError
            Something that is not text.
        UsageError
            A max_length that leaves no room for a token, or an unknown prompt.
        """
        prompt = self.settings.prompt(prompt, prompt_name)
        texts = as_texts("texts", texts)
        vectors = np.zeros((len(texts), self.width), np.float32)
        prompted = [prompt + text for text in texts] if prompt else texts
        skip = prompt_tokens(self._reader, prompt, self.settings)
        with Progress(len(texts), "embedding", "text", quiet=quiet) as progress:
            for part in Dataset.in_parts(self._reader, prompted, max_length=self.settings.max_length):
                encoded = embed(self.model, part, self.settings, skip=skip, progress=progress)
                vectors[part.example_ids] = encoded[:, : self.width]
        return vectors

    def save(self, directory: str | Path) -> None:
        """Write a directory that sentence-transformers loads too: all of it, or nothing.

        An existing README.md stays.

        Raises
        ------
        StorageError
            The disk is full or the directory cannot be written; its old content is untouched.
        """
        card = ModelCard(
            title="A sentence encoder",
            summary=f"Vectors of {self.width} numbers, saved by minidistil.",
            pipeline_tag="sentence-similarity",
            library_name="sentence-transformers",
        )
        with atomic_directory(directory) as staging:
            self.model.save_pretrained(staging, tokenizer=self.tokenizer, card=card.render())
            write_settings(staging, self.settings, self.model.config.hidden_size)
            if (Path(directory) / "README.md").exists():
                (staging / "README.md").unlink()


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
    for rows in sorted_batches(dataset.lengths, TOKENS_AT_ONCE):
        batch = dataset.batch(rows)
        outputs, _ = model.forward(batch, logits=False, keep_cache=False)
        vectors[rows] = pool_forward(outputs["last_hidden_state"], batch, settings.pooling, skip=skip)[0]
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
