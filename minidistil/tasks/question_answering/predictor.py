"""Answers to questions from contexts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from minidistil.model.model import Model
from minidistil.model.token_heads import SpanHead
from minidistil.tasks.data import DataSettings
from minidistil.tasks.predictor import Pipeline
from minidistil.tasks.question_answering.spans import Answers
from minidistil.tasks.question_answering.task import QuestionTask
from minidistil.text.texts import as_texts
from minidistil.text.tokenizer import Tokenizer


class QuestionAnswering(Pipeline):
    """Answers from a context: `QuestionAnswering(model, tokenizer)("Where?", "Ada lived in London.")`."""

    task: ClassVar[str] = "question-answering"
    head: ClassVar[type] = SpanHead
    does: ClassVar[str] = "answer questions"
    own: ClassVar[tuple[str, ...]] = ("max_length",)

    def __init__(self, model: Model, tokenizer: Tokenizer, *, max_length: int | None = None) -> None:
        super().__init__(model, tokenizer)
        self._task = QuestionTask(DataSettings(max_length=max_length))

    def __call__(
        self,
        questions: str | Sequence[str],
        contexts: str | Sequence[str],
        *,
        n_best: int = 5,
        max_answer_length: int = 30,
        null_threshold: float | None = None,
    ) -> list[Answers]:
        """The best answers to each question from its context, with their characters in it.

        See `spans.decode_answers` for the options. Contexts may be of any length; without
        `null_threshold` there always is an answer.
        """
        asked = as_texts("questions", questions, one=True)
        return self._task.predict(
            self.model, self.tokenizer, asked, as_texts("contexts", contexts, one=True),
            n_best=n_best, max_answer_length=max_answer_length, null_threshold=null_threshold,
        )  # fmt: skip
