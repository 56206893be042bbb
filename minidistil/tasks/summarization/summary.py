"""Summaries, and settings of extractive summarization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from minidistil.errors import UsageError
from minidistil.tasks.result import Result
from minidistil.tasks.summarization.selection import Limits
from minidistil.text.sentences import Sentence, split_lines, split_sentences

Method = Literal["trained", "centroid", "mmr", "lead"]
Unit = Literal["sentence", "line"]


@dataclass(frozen=True)
class SummarySettings:
    """Settings of extractive summarization.

    Attributes
    ----------
    method : {"trained", "centroid", "mmr", "lead"} or None
        None: "trained" with a model that has learnt it, else "mmr".
    sentences : int >= 1 or None
        Most sentences of a summary. Without this and `words`, three.
    words : int >= 1 or None
        Most words of a summary.
    unit : {"sentence", "line"}
        Unit of a summary. Lines are for dialogues: a turn keeps the name of who says it.
    mmr_lambda : float in [0, 1]
        Relevance against repetition, see `minidistil.tasks.summarization.selection.mmr`.
    block_trigrams : bool
        With "trained": no three words in a row twice.

    Raises
    ------
    UsageError
        Something out of its range.
    """

    method: Method | None = None
    sentences: int | None = None
    words: int | None = None
    unit: Unit = "sentence"
    mmr_lambda: float = 0.7
    block_trigrams: bool = False

    def __post_init__(self) -> None:
        for name, kinds in (("method", Method), ("unit", Unit)):
            value = getattr(self, name)
            if value not in get_args(kinds) and not (name == "method" and value is None):
                raise UsageError(f"{name} is {value!r}, which is none of {', '.join(get_args(kinds))}")
        for name in ("sentences", "words"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}")
        if not 0 <= self.mmr_lambda <= 1:
            raise UsageError(f"mmr_lambda is from 0 to 1, not {self.mmr_lambda}")

    @property
    def limits(self) -> Limits:
        if self.sentences is None and self.words is None:
            return Limits()
        return Limits(self.sentences, self.words)

    def split(self, text: str) -> list[Sentence]:
        """Split a document into the units that are taken or left."""
        return split_lines(text) if self.unit == "line" else split_sentences(text)


@dataclass(frozen=True, eq=False)
class Extract(Result):
    """A sentence of a summary.

    Attributes
    ----------
    text : str
        `document[start:end]`.
    start, end : int
    index : int
        Index in the document, from 0.
    score : float
        Why it was taken: its probability ("trained"), its cosine with the mean of the document ("centroid"),
        the marginal relevance it had ("mmr"), how much of the document comes after it ("lead").
    """

    text: str
    start: int
    end: int
    index: int
    score: float


@dataclass(frozen=True, eq=False)
class Summary(Result):
    """Summary of a document; its keys are `summary_text`, `sentences` and `method`.

    Attributes
    ----------
    text : str
        The sentences, one a line.
    sentences : list of Extract
        In the document's order.
    method : str
        Method of the choice.
    """

    text: str
    sentences: list[Extract]
    method: Method

    def keyed(self) -> dict[str, Any]:
        return {"summary_text": self.text, "sentences": self.sentences, "method": self.method}
