"""minidistil: a BERT written by hand in NumPy, made fast with Numba, that loads, distils and verifies.

>>> from minidistil import BertForSequenceClassification, Tokenizer, pipeline
>>> from minidistil.distill import init_student, DistillationTrainer
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from minidistil import _renamed as _renamed
from minidistil import forks as forks  # before anything that a fork may have to wait for
from minidistil.errors import MinidistilError

if TYPE_CHECKING:
    from minidistil.batch import Batch
    from minidistil.config import BertConfig, DistilBertConfig
    from minidistil.embeddings.encoder import SentenceEncoder
    from minidistil.model import (
        BertForMaskedLM,
        BertForMultipleChoice,
        BertForNextSentencePrediction,
        BertForPreTraining,
        BertForQuestionAnswering,
        BertForSequenceClassification,
        BertForTokenClassification,
        BertModel,
        DistilBertForMaskedLM,
        DistilBertForMultipleChoice,
        DistilBertForQuestionAnswering,
        DistilBertForSequenceClassification,
        DistilBertForTokenClassification,
        DistilBertModel,
        load_model,
    )
    from minidistil.pipelines import pipeline
    from minidistil.text.dataset import Dataset
    from minidistil.text.tokenizer import Tokenizer
    from minidistil.threads import set_num_threads
    from minidistil.train.settings import TrainSettings
    from minidistil.train.trainer import Trainer

__version__ = "0.1.0"

# Imported when first used, so that `import minidistil` costs nothing.
_HOMES = {
    "BertConfig": "config",
    "DistilBertConfig": "config",
    "BertModel": "model",
    "BertForMaskedLM": "model",
    "BertForMultipleChoice": "model",
    "BertForNextSentencePrediction": "model",
    "BertForPreTraining": "model",
    "BertForQuestionAnswering": "model",
    "BertForSequenceClassification": "model",
    "BertForTokenClassification": "model",
    "DistilBertModel": "model",
    "DistilBertForMaskedLM": "model",
    "DistilBertForMultipleChoice": "model",
    "DistilBertForQuestionAnswering": "model",
    "DistilBertForSequenceClassification": "model",
    "DistilBertForTokenClassification": "model",
    "load_model": "model",
    "Batch": "batch",
    "pipeline": "pipelines",
    "SentenceEncoder": "embeddings.encoder",
    "Dataset": "text.dataset",
    "Tokenizer": "text.tokenizer",
    "set_num_threads": "threads",
    "TrainSettings": "train.settings",
    "Trainer": "train.trainer",
}

__all__ = [
    "Batch",
    "BertConfig",
    "BertForMaskedLM",
    "BertForMultipleChoice",
    "BertForNextSentencePrediction",
    "BertForPreTraining",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertModel",
    "Dataset",
    "DistilBertConfig",
    "DistilBertForMaskedLM",
    "DistilBertForMultipleChoice",
    "DistilBertForQuestionAnswering",
    "DistilBertForSequenceClassification",
    "DistilBertForTokenClassification",
    "DistilBertModel",
    "MinidistilError",
    "SentenceEncoder",
    "Tokenizer",
    "TrainSettings",
    "Trainer",
    "load_model",
    "pipeline",
    "set_num_threads",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'minidistil' has no attribute {name!r}")
    return getattr(importlib.import_module(f"minidistil.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Public names, loaded or not: for completion and `help`."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
