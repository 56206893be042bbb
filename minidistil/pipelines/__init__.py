"""From text to answer in one call: a predictor for each kind of task."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minidistil.arguments import check_type
from minidistil.errors import ConfigError, UsageError
from minidistil.model.model import Model
from minidistil.tasks.predictor import Pipeline, load

if TYPE_CHECKING:
    from minidistil.tasks.classification.predictor import Prediction, TextClassification
    from minidistil.tasks.intents.predictor import Faq, Intents
    from minidistil.tasks.masked_lm.predictor import FillMask
    from minidistil.tasks.multiple_choice.predictor import MultipleChoice
    from minidistil.tasks.question_answering.predictor import QuestionAnswering
    from minidistil.tasks.summarization.predictor import Summarization
    from minidistil.tasks.token_classification.predictor import TokenClassification

# Module and class of each task. Imported when first used: one prediction needs one of them.
PIPELINES = {
    "text-classification": ("classification", "TextClassification"),
    "token-classification": ("token_classification", "TokenClassification"),
    "question-answering": ("question_answering", "QuestionAnswering"),
    "fill-mask": ("masked_lm", "FillMask"),
    "multiple-choice": ("multiple_choice", "MultipleChoice"),
    "summarization": ("summarization", "Summarization"),
    "intents": ("intents", "Intents"),
    "faq": ("intents", "Faq"),
}
EMBEDDINGS = ("embeddings", "feature-extraction", "sentence-similarity")  # ours, and the hub's names
_HOMES = {name: module for module, name in PIPELINES.values()} | {"Prediction": "classification"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'minidistil.pipelines' has no attribute {name!r}")
    return getattr(importlib.import_module(f"minidistil.tasks.{_HOMES[name]}.predictor"), name)


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


def pipeline_class(task: str) -> type[Pipeline]:
    """Class for a task: a key of `PIPELINES`, or a name that `finetune` and `evaluate` take, such as "sst2".

    Raises
    ------
    UsageError
        There is no such task, or none that answers texts.
    """
    tag = task if task in PIPELINES else _tag_of(task)
    if tag not in PIPELINES:
        verbs = " (`minidistil embed` gives vectors)" if tag in EMBEDDINGS else ""
        raise UsageError(
            f"task {task!r} is none that answers a text{verbs}; those that do: {', '.join(PIPELINES)}, and "
            f"the tasks that finetune learns"
        )
    kind: type[Pipeline] = __getattr__(PIPELINES[tag][1])
    return kind


def _tag_of(name: str) -> str:
    """Name of the predictor for a task by any of its names."""
    from minidistil.tasks.data import DataSettings
    from minidistil.tasks.registry import TASKS, task_name

    if name in EMBEDDINGS:
        return name
    known = task_name(name, more=(*PIPELINES, *EMBEDDINGS))
    return getattr(TASKS[known].make(DataSettings()), "pipeline_tag", known)


def pipeline(task: str, path_or_id: str | Path, **options: Any) -> Any:
    """A ready predictor: `pipeline("text-classification", "runs/demo/student")`.

    Parameters
    ----------
    task : str
        A key of `PIPELINES`, a name that `finetune` and `evaluate` take, such as "sst2" or "ner", or
        "embeddings".
    path_or_id : directory or hub id
    **options
        As for `Model.from_pretrained`; of "intents" and "faq" also what their classes take.

    Returns
    -------
    Pipeline
        Of the class for the task. For "embeddings" a `SentenceEncoder`.

    Raises
    ------
    UsageError
        There is no such task.
    ConfigError
        The model is not for it.
    """
    check_type("the task", task, str)
    if task in EMBEDDINGS:
        from minidistil.embeddings.encoder import SentenceEncoder

        return SentenceEncoder.from_pretrained(path_or_id, **options)
    return pipeline_class(task).from_pretrained(path_or_id, **options)


def pipeline_of(path_or_id: str | Path, **options: Any) -> Pipeline:
    """The predictor that a model is made for, by its head.

    Raises
    ------
    ConfigError
        There is none for it.
    """
    model, tokenizer = load(path_or_id, **options)
    return pipeline_for(model)(model, tokenizer)


def pipeline_for(model: Model) -> type[Pipeline]:
    """The class of predictors for a model's head.

    Raises
    ------
    ConfigError
        There is none.
    """
    task = model.pipeline_tag
    # A summariser is a token classifier too.
    for candidate in ("summarization", task) if task == "token-classification" else (task,):
        if candidate in PIPELINES and (kind := pipeline_class(candidate)).suits(model):
            return kind
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
    "pipeline_class",
    "pipeline_for",
    "pipeline_of",
]
