"""Questions that were asked before, with their answers: which of them answers a new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minidistil import metrics
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.errors import DataError, UsageError
from minidistil.tasks.base import Predictor
from minidistil.tasks.data import TABLE, DataSettings
from minidistil.tasks.intents.nearest import NearestEntries, entry_vectors
from minidistil.tasks.intents.out_of_scope import OUTSIDE, ScopeSettings, none_scores, or_none
from minidistil.tasks.intents.show import ShownNearest
from minidistil.tasks.training_settings import NONE
from minidistil.text.labels import class_labels, label_name
from minidistil.text.readers import Examples


@dataclass(frozen=True)
class FaqSettings(ScopeSettings):
    """Settings of it, as `task.`.

    Attributes
    ----------
    answers : bool
        Whether a question is compared with the answers, too.
    """

    answers: bool = False


class FaqTask(ShownNearest):
    """How well an encoder finds the answer to a question among entries, which are questions with answers.

    Parameters
    ----------
    data : DataSettings
        Columns of questions and answers are `text` and `label`.
    settings : FaqSettings
        `entries` is a file of the same kind. Several questions may have one answer.
    """

    kind: ClassVar[str] = "faq"
    template: ClassVar[str] = "faq"
    data_settings: ClassVar[tuple[str, ...]] = TABLE
    settings_type: ClassVar[type[Any] | None] = FaqSettings
    setup: ClassVar[tuple[str, ...]] = (*ShownNearest.setup, "answers")
    own: ClassVar[tuple[str, ...]] = (*ShownNearest.own, "answers")

    def __init__(self, data: DataSettings | None = None, settings: FaqSettings | None = None) -> None:
        usual = DataSettings(text="question", label="answer")
        self.data, self.settings, self.main_metric = data or usual, settings or FaqSettings(), "accuracy"

    @classmethod
    def of_encoder(cls, encoder: SentenceEncoder, **options: Any) -> Predictor:
        from minidistil.tasks.intents.predictor import Faq

        return Faq(encoder, **options)

    def predict(self, *args: Any, **options: Any) -> list[Any]:
        raise UsageError('faq answers by entries: pipeline("faq", ENCODER, entries=FILE)')

    def cells(self, answer: Any) -> list[object]:
        return [answer.answer or NONE, answer.score]

    def read(self, path: str | Path) -> Examples:
        """Questions with the right answer, or the right entry's question; without either there is none."""
        examples = self.data.read(path)
        return replace(examples, labels=[label_name(label) for label in examples.labels or []])

    def read_entries(self, path: str | Path) -> Examples:
        """Entries: questions, and their answers as labels.

        Raises
        ------
        DataError
            A question or an answer is missing; file and line are named.
        """
        examples = self.data.read(path)
        answers = [label if isinstance(label, str) else label_name(label) for label in class_labels(examples)]
        for answer, line in zip(answers, examples.lines, strict=True):
            if not answer.strip():
                raise DataError("the answer is empty", path=examples.path, line=line)
        return replace(examples, labels=answers)

    def evaluate_saved(
        self, path_or_id: str | Path, examples: Examples, *, quiet: bool = True
    ) -> dict[str, Any]:
        """Of questions with an answer: accuracy, recall and reciprocal rank; and `none_scores`."""
        if self.settings.entries is None:
            raise UsageError("faq needs entries to find answers in: --entries FILE")
        entries = self.read_entries(self.settings.entries)
        labels = answer_numbers(examples, entries)
        encoder = self.settings.encoder(path_or_id)
        texts, answers = compared(entries, answers=self.settings.answers)
        nearest = NearestEntries(encoder, entry_vectors(encoder, texts, quiet=quiet), answers)
        scores = nearest.scores(examples.texts, quiet=quiet)
        inside = labels != OUTSIDE
        return {
            "accuracy": metrics.accuracy(labels[inside], scores[inside].argmax(1)),
            **none_scores(labels, scores, self.settings.threshold),
        }


def compared(entries: Examples, *, answers: bool = False) -> tuple[list[str], list[str]]:
    """Texts to compare with, and what they stand for: E questions, and then with `answers` E answers."""
    labels: list[str] = list(entries.labels or [])
    return ([*entries.texts, *labels], [*labels, *labels]) if answers else (entries.texts, labels)


def answer_numbers(examples: Examples, entries: Examples) -> npt.NDArray[np.int64]:
    """Numbers of the right answers [N], among those of the entries; `OUTSIDE` where there is none.

    Raises
    ------
    DataError
        Neither an answer nor a question of the entries (file and line named), or no question has an answer.
    """
    labels: Sequence[str] = entries.labels or []
    answers = {answer: i for i, answer in enumerate(dict.fromkeys(labels))}
    known = {question: answers[answer] for question, answer in zip(entries.texts, labels, strict=True)}
    known = {name.strip(): i for name, i in (known | answers).items()}
    numbers = np.full(len(examples), OUTSIDE, np.int64)
    for i, label in enumerate(examples.labels or []):
        if label not in known and or_none(label) == NONE:
            continue
        if label not in known:
            raise DataError(
                f"{label!r:.60} is neither an answer nor a question of {entries.path}",
                path=examples.path,
                line=examples.lines[i],
            )
        numbers[i] = known[label]
    if (numbers == OUTSIDE).all():
        raise DataError("no question has an answer: there is nothing to find", path=examples.path)
    return numbers
