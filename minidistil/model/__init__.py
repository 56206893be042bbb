"""Models: parameters, the encoder written once over either backend, heads, and the two families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minidistil.config import ModelConfig, load_config
from minidistil.errors import ConfigError
from minidistil.model.base import Model
from minidistil.model.bert import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)
from minidistil.model.distilbert import (
    DistilBertForMaskedLM,
    DistilBertForMultipleChoice,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
    DistilBertModel,
)

MODELS: dict[str, type[Model]] = {
    c.__name__: c
    for c in (
        BertModel,
        BertForMaskedLM,
        BertForMultipleChoice,
        BertForNextSentencePrediction,
        BertForPreTraining,
        BertForQuestionAnswering,
        BertForSequenceClassification,
        BertForTokenClassification,
        DistilBertModel,
        DistilBertForMaskedLM,
        DistilBertForMultipleChoice,
        DistilBertForQuestionAnswering,
        DistilBertForSequenceClassification,
        DistilBertForTokenClassification,
    )
}


def model_class(architecture: str) -> type[Model]:
    """The class of that name, or an error that names those supported."""
    try:
        return MODELS[architecture]
    except KeyError:
        raise ConfigError(
            f"architecture {architecture!r} is not supported; supported: {', '.join(MODELS)}"
        ) from None


def load_model(path_or_id: str | Path, *, revision: str | None = None, **options: Any) -> Model:
    """Load whatever a directory or hub id holds, as the class that config.json names.

    Takes the options of `Model.from_pretrained`.
    """
    from minidistil.weights.hub import resolve

    path = resolve(path_or_id, revision=revision)
    return class_of(load_config(path), path).from_pretrained(path, **options)


def class_of(config: ModelConfig, source: object) -> type[Model]:
    """The class that a config names; `source` is what messages call its directory."""
    if not config.architectures:
        raise ConfigError(f"{source}/config.json names no architecture; load it with a class of your choice")
    return model_class(config.architectures[0])


__all__ = [
    "MODELS",
    "BertForMaskedLM",
    "BertForMultipleChoice",
    "BertForNextSentencePrediction",
    "BertForPreTraining",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertModel",
    "DistilBertForMaskedLM",
    "DistilBertForMultipleChoice",
    "DistilBertForQuestionAnswering",
    "DistilBertForSequenceClassification",
    "DistilBertForTokenClassification",
    "DistilBertModel",
    "Model",
    "class_of",
    "load_model",
    "model_class",
]
