"""From text to answer in one call: a predictor for each kind of task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minidistil.errors import ConfigError, UsageError
from minidistil.pipelines.base import Pipeline, load
from minidistil.pipelines.fill_mask import FillMask
from minidistil.pipelines.multiple_choice import MultipleChoice
from minidistil.pipelines.nearest import Faq, Intents
from minidistil.pipelines.question_answering import QuestionAnswering
from minidistil.pipelines.summarization import Summarization
from minidistil.pipelines.text_classification import Prediction, TextClassification
from minidistil.pipelines.token_classification import TokenClassification

PIPELINES: dict[str, type[Pipeline]] = {
    kind.task: kind
    for kind in (
        TextClassification,
        TokenClassification,
        QuestionAnswering,
        FillMask,
        MultipleChoice,
        Summarization,
        Intents,
        Faq,
    )
}


def pipeline(task: str, path_or_id: str | Path, **options: Any) -> Any:
    """A ready predictor: `pipeline("text-classification", "runs/demo/student")`.

    Parameters
    ----------
    task : str
        A key of `PIPELINES`.
    path_or_id : directory or hub id
    **options
        As for `Model.from_pretrained`; of "intents" and "faq" also what their classes take.

    Returns
    -------
    Pipeline
        Of the class for the task.

    Raises
    ------
    UsageError
        There is no such task.
    ConfigError
        The model is not for it.
    """
    if task not in PIPELINES:
        raise UsageError(f"task {task!r} is not supported; supported: {', '.join(PIPELINES)}")
    return PIPELINES[task].from_pretrained(path_or_id, **options)


def pipeline_of(path_or_id: str | Path, **options: Any) -> Pipeline:
    """The predictor that a model is made for, by its head.

    Raises
    ------
    ConfigError
        There is none for it.
    """
    model, tokenizer = load(path_or_id, **options)
    for kind in reversed(PIPELINES.values()):  # a summariser is a token classifier too
        if kind.suits(model):
            return kind(model, tokenizer)
    raise ConfigError(f"{type(model).__name__} has no head to predict with: fine-tune it for a task first")


__all__ = [
    "PIPELINES",
    "Faq",
    "FillMask",
    "Intents",
    "MultipleChoice",
    "Pipeline",
    "Prediction",
    "QuestionAnswering",
    "Summarization",
    "TextClassification",
    "TokenClassification",
    "pipeline",
    "pipeline_of",
]
