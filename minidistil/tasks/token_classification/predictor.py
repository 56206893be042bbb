"""Entities in texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from minidistil.model.model import Model
from minidistil.model.token_heads import TokenHead
from minidistil.tasks.data import DataSettings
from minidistil.tasks.predictor import Pipeline
from minidistil.tasks.token_classification.entities import Aggregation, Entity
from minidistil.tasks.token_classification.task import TokenTask
from minidistil.text.texts import as_texts
from minidistil.text.tokenizer import Tokenizer


class TokenClassification(Pipeline):
    """Finds entities: `TokenClassification(model, tokenizer)("Ada Lovelace lived in London")`."""

    task: ClassVar[str] = "token-classification"
    head: ClassVar[type] = TokenHead
    does: ClassVar[str] = "classify tokens"
    own: ClassVar[tuple[str, ...]] = ("max_length", "scheme")

    def __init__(
        self, model: Model, tokenizer: Tokenizer, *, max_length: int | None = None, scheme: str | None = None
    ) -> None:
        super().__init__(model, tokenizer)
        self._task = TokenTask(DataSettings(max_length=max_length, scheme=scheme))

    def __call__(
        self, texts: str | Sequence[str], *, aggregation: Aggregation | None = None
    ) -> list[list[Entity]]:
        """Entities of each text, with their characters in it. Texts may be of any length.

        See `entities.choose_tags` for `aggregation`; by default it is "whitespace" for a
        model that learnt from files of words, else "first".
        """
        texts = as_texts("texts", texts, one=True)
        return self._task.predict(self.model, self.tokenizer, texts, aggregation=aggregation)
