"""From text to answer in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.errors import ConfigError, InputError, UsageError
from minidistil.model import load_model
from minidistil.model.base import Model
from minidistil.model.heads import SequenceHead
from minidistil.model.token_heads import SpanHead, TokenHead
from minidistil.ops.softmax import softmax_forward
from minidistil.tasks.answers import Answers
from minidistil.tasks.base import DataSettings
from minidistil.tasks.classification import predict_logits
from minidistil.tasks.entities import Aggregation, Entity
from minidistil.tasks.questions import QuestionTask
from minidistil.tasks.tokens import TokenTask
from minidistil.text.dataset import Dataset
from minidistil.text.tokenizer import Tokenizer
from minidistil.weights.hub import resolve


class Prediction(NamedTuple):
    """What a classifier says of one text.

    Attributes
    ----------
    label : str
        The most probable one. For many labels, those at or above one half, joined by ", ". For
        regression, the name of the one output.
    score : float
        Its probability (the highest, for many labels); for regression, the value itself.
    scores : dict of str to float
        Of every label.
    """

    label: str
    score: float
    scores: dict[str, float]


class TextClassification:
    """Classifies texts: `TextClassification(model, tokenizer)(["a warm, funny film"])`."""

    def __init__(self, model: Model, tokenizer: Tokenizer) -> None:
        if not any(isinstance(head, SequenceHead) for head in model.heads):
            raise ConfigError(f"{type(model).__name__} does not classify texts")
        self.model, self.tokenizer = model, tokenizer

    def __call__(
        self, texts: str | Sequence[str], pairs: Sequence[str] | None = None, *, truncation: bool = True
    ) -> list[Prediction]:
        """Predictions in the order of `texts`, whose results do not depend on each other.

        Without `truncation` a text longer than the model takes is an InputError.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        for i, text in enumerate(texts):
            if not text.strip():
                raise InputError(f"text {i + 1} of {len(texts)} is empty: there is nothing to classify")
        limit = self.model.config.max_position_embeddings
        dataset = Dataset.from_texts(self.tokenizer, texts, pairs, max_length=limit, truncation=truncation)
        return [self._prediction(row) for row in predict_logits(self.model, dataset)]

    def _prediction(self, logits: npt.NDArray[np.floating[Any]]) -> Prediction:
        config = self.model.config
        names = [config.id2label[i] for i in range(config.num_labels)]
        if config.problem_type == "regression" or config.num_labels == 1:
            values = logits
        elif config.problem_type == "multi_label_classification":
            values = 1 / (1 + np.exp(-logits))
            chosen = [name for name, value in zip(names, values, strict=True) if value >= 0.5]
            scores = dict(zip(names, values.tolist(), strict=True))
            return Prediction(", ".join(chosen), float(values.max()), scores)
        else:
            values = softmax_forward(logits.astype(np.float64))[0]
        best = int(values.argmax())
        return Prediction(names[best], float(values[best]), dict(zip(names, values.tolist(), strict=True)))


class TokenClassification:
    """Finds entities: `TokenClassification(model, tokenizer)("Ada Lovelace lived in London")`."""

    def __init__(self, model: Model, tokenizer: Tokenizer) -> None:
        if not any(isinstance(head, TokenHead) for head in model.heads):
            raise ConfigError(f"{type(model).__name__} does not classify tokens")
        self.model, self.tokenizer = model, tokenizer
        self._task = TokenTask(DataSettings(max_length=model.config.max_position_embeddings))

    def __call__(
        self, texts: str | Sequence[str], *, aggregation: Aggregation = "first"
    ) -> list[list[Entity]]:
        """Entities of each text, with their characters in it. Texts may be of any length.

        See `minidistil.tasks.entities.decode_entities` for `aggregation`.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        return self._task.predict(self.model, self.tokenizer, texts, aggregation=aggregation)


class QuestionAnswering:
    """Answers from a context: `QuestionAnswering(model, tokenizer)("Where?", "Ada lived in London.")`."""

    def __init__(self, model: Model, tokenizer: Tokenizer) -> None:
        if not any(isinstance(head, SpanHead) for head in model.heads):
            raise ConfigError(f"{type(model).__name__} does not answer questions")
        self.model, self.tokenizer = model, tokenizer
        length = min(384, model.config.max_position_embeddings)  # BERT's for SQuAD
        self._task = QuestionTask(DataSettings(max_length=length))

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

        See `minidistil.tasks.answers.decode_answers` for the options. Contexts may be of any length; without
        `null_threshold` there always is an answer.
        """
        asked = [questions] if isinstance(questions, str) else list(questions)
        given = [contexts] if isinstance(contexts, str) else list(contexts)
        for i, text in enumerate(asked):
            if not text.strip():
                raise InputError(f"question {i + 1} of {len(asked)} is empty")
        return self._task.predict(
            self.model, self.tokenizer, asked, given,
            n_best=n_best, max_answer_length=max_answer_length, null_threshold=null_threshold,
        )  # fmt: skip


Pipeline = TextClassification | TokenClassification | QuestionAnswering
PIPELINES: dict[str, type[Pipeline]] = {
    "text-classification": TextClassification,
    "token-classification": TokenClassification,
    "question-answering": QuestionAnswering,
}


def pipeline(task: str, path_or_id: str | Path, **options: Any) -> Any:
    """A ready predictor: `pipeline("text-classification", "runs/demo/student")`.

    Parameters
    ----------
    task : "text-classification", "token-classification" or "question-answering"
    path_or_id : directory or hub id
    **options
        As for `Model.from_pretrained`.

    Returns
    -------
    TextClassification, TokenClassification or QuestionAnswering
    """
    if task not in PIPELINES:
        raise UsageError(f"task {task!r} is not supported; supported: {', '.join(PIPELINES)}")
    return PIPELINES[task](*_load(path_or_id, options))


def pipeline_of(path_or_id: str | Path, **options: Any) -> Pipeline:
    """The predictor that a model is made for, by its head.

    Raises
    ------
    ConfigError
        There is none for it.
    """
    model, tokenizer = _load(path_or_id, options)
    kinds: list[tuple[type, type[Pipeline]]] = [
        (SequenceHead, TextClassification),
        (TokenHead, TokenClassification),
        (SpanHead, QuestionAnswering),
    ]
    for head, kind in kinds:
        if any(isinstance(own, head) for own in model.heads):
            return kind(model, tokenizer)
    raise ConfigError(f"{type(model).__name__} has no head to predict with: fine-tune it for a task first")


def _load(path_or_id: str | Path, options: dict[str, Any]) -> tuple[Model, Tokenizer]:
    path = resolve(str(path_or_id))
    return load_model(path, **{"mapped": True, **options}).eval(), Tokenizer.from_pretrained(path)
