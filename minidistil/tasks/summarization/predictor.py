"""Summaries: the sentences of a document that say most of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.embeddings.settings import EmbeddingSettings
from minidistil.model.model import Model
from minidistil.model.token_heads import TokenHead
from minidistil.tasks.predictor import Pipeline
from minidistil.tasks.summarization.task import (
    Method,
    Summary,
    SummarySettings,
    SummaryTask,
    Unit,
    is_trained,
)
from minidistil.text.texts import as_texts
from minidistil.text.tokenizer import Tokenizer


class Summarization(Pipeline):
    """Picks sentences: `Summarization.from_pretrained("encoder/")(document, sentences=3)`.

    Any encoder will do, also one that has not learnt it; one that has is taken for it without being told.

    Parameters
    ----------
    model : Model
    tokenizer : Tokenizer
    settings : EmbeddingSettings, optional
        Of the sentence encoder; `from_pretrained` reads them.
    """

    task: ClassVar[str] = "summarization"
    head: ClassVar[type] = TokenHead
    does: ClassVar[str] = "summarise"

    def __init__(self, model: Model, tokenizer: Tokenizer, settings: EmbeddingSettings | None = None) -> None:
        self._encoder = SentenceEncoder(model, tokenizer, settings)
        self.model, self.tokenizer = model, self._encoder.tokenizer

    @classmethod
    def suits(cls, model: Model) -> bool:
        return is_trained(model)

    @classmethod
    def from_pretrained(cls, path_or_id: str | Path, **options: Any) -> Self:
        encoder = SentenceEncoder.from_pretrained(path_or_id, **options)
        return cls(encoder.model, encoder.tokenizer, encoder.settings)

    def __call__(
        self,
        texts: str | Sequence[str],
        *,
        sentences: int | None = None,
        words: int | None = None,
        method: Method | None = None,
        unit: Unit = "sentence",
        mmr_lambda: float = 0.7,
        block_trigrams: bool = False,
    ) -> list[Summary]:
        """A summary of each document, with the characters of its sentences.

        See `SummarySettings` for the options. Documents may be of any length.

        Raises
        ------
        InputError
            What is no text.
        UsageError
            An option out of its range.
        ConfigError
            The method "trained" with a model that has not learnt it.
        """
        settings = SummarySettings(method, sentences, words, unit, mmr_lambda, block_trigrams)
        texts = as_texts("documents", texts, one=True)
        return SummaryTask(settings=settings).predict(self._encoder, texts)
