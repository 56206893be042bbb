"""Frequently asked questions (FAQ retrieval): the answer of the nearest question, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minidistil import metrics
from minidistil.arrays import Int64
from minidistil.errors import DataError, UsageError
from minidistil.metrics import OUT_OF_SCOPE
from minidistil.tasks.data import TABLE, DataSettings
from minidistil.tasks.intents.nearest import NearestTask, Neighbour
from minidistil.tasks.intents.out_of_scope import ScopeSettings, or_none
from minidistil.tasks.result import Result
from minidistil.tasks.training_settings import NONE
from minidistil.text.labels import class_labels, label_name
from minidistil.text.readers import Examples


@dataclass(frozen=True)
class FaqSettings(ScopeSettings):
    """Settings of FAQ retrieval, as `task.`.

    Attributes
    ----------
    answers : bool
        Compare a question with the answers, too.
    """

    answers: bool = False


@dataclass(frozen=True, eq=False)
class AnswerCandidate(Result):
    """Candidate answer to a question.

    Attributes
    ----------
    answer : str
    score : float
        Similarity to the nearest of its questions, or to the answer itself if that is compared.
    question : str
        Of that entry.
    entry : int
        Its number, from 0.
    """

    answer: str
    score: float
    question: str
    entry: int


@dataclass(frozen=True, eq=False)
class FaqAnswer(Result):
    """Answer to a question.

    Attributes
    ----------
    answer : str or None
        None below the threshold.
    score : float
        Of the best candidate.
    candidates : list of AnswerCandidate
        Best first.
    """

    answer: str | None
    score: float
    candidates: list[AnswerCandidate]


class FaqTask(NearestTask):
    """FAQ retrieval: `pipeline("faq", ENCODER, entries="faq.jsonl")("how?")` gives a list of `FaqAnswer`.

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
    settings_type: ClassVar[type[Any]] = FaqSettings
    setup: ClassVar[tuple[str, ...]] = (*NearestTask.setup, "answers")
    own: ClassVar[tuple[str, ...]] = (*NearestTask.own, "answers")
    main_metric = "accuracy"
    scope: FaqSettings

    def __init__(self, data: DataSettings | None = None, settings: FaqSettings | None = None) -> None:
        self.data = data or DataSettings(text="question", label="answer")
        self.scope = settings or FaqSettings()

    def read(self, path: str | Path) -> Examples:
        """Read questions with the right answer, or the question of its entry; "" is out of scope."""
        examples = self.data.read(path)
        return replace(examples, labels=[label_name(label) for label in examples.labels or []])

    def read_entries(self, path: str | Path) -> Examples:
        """Read questions, with their answers as labels.

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

    def labelled_texts(self, entries: Examples) -> tuple[list[str], Sequence[str | None]]:
        """E questions, and with `answers` E answers behind them."""
        answers: list[str] = list(entries.labels or [])
        if not self.scope.answers:
            return entries.texts, answers
        return [*entries.texts, *answers], [*answers, *answers]

    def predict(self, *args: Any, **options: Any) -> list[Any]:
        raise UsageError('faq answers by entries: pipeline("faq", ENCODER, entries=FILE)')

    def answer(self, neighbours: list[Neighbour], accepted: bool, texts: list[str]) -> FaqAnswer:
        questions = len(texts) // 2 if self.scope.answers else len(texts)
        candidates = []
        for label, score, i in neighbours:
            entry = i % questions
            candidates.append(AnswerCandidate(label, score, texts[entry], entry))
        return FaqAnswer(neighbours[0].label if accepted else None, neighbours[0].score, candidates)

    def cells(self, answer: FaqAnswer) -> list[object]:
        return [answer.answer or NONE, answer.score]

    def class_metrics(self, labels: Int64, predictions: Int64, names: tuple[str, ...]) -> dict[str, Any]:
        return {"accuracy": metrics.accuracy(labels, predictions)}

    def class_numbers(self, examples: Examples, entries: Examples) -> Int64:
        """Numbers [N] of the right answers among those of the entries, or `OUT_OF_SCOPE`.

        Raises
        ------
        DataError
            Neither an answer nor a question of the entries (file and line named), or no question in scope.
        """
        labels: Sequence[str] = entries.labels or []
        answers = {answer: i for i, answer in enumerate(dict.fromkeys(labels))}
        known = {question: answers[answer] for question, answer in zip(entries.texts, labels, strict=True)}
        known = {name.strip(): i for name, i in (known | answers).items()}
        numbers = np.full(len(examples), OUT_OF_SCOPE, np.int64)
        for i, label in enumerate(examples.labels or []):
            if label in known:
                numbers[i] = known[label]
            elif or_none(label) != NONE:
                raise DataError(
                    f"{label!r:.60} is neither an answer nor a question of {entries.path}",
                    path=examples.path,
                    line=examples.lines[i],
                )
        if (numbers == OUT_OF_SCOPE).all():
            raise DataError("no question has an answer: there is nothing to find", path=examples.path)
        return numbers
