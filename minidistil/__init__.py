"""minidistil: a BERT written by hand in NumPy, made fast with Numba, that loads, distils and verifies.

>>> from minidistil import BertForSequenceClassification, Tokenizer, pipeline
>>> from minidistil.distill import init_student, DistillationTrainer
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from minidistil import _renamed as _renamed
from minidistil import forks as forks  # before anything that a fork may have to wait for
from minidistil.errors import MinidistilError as MinidistilError

if TYPE_CHECKING:
    from minidistil.batch import Batch as Batch
    from minidistil.embeddings.encoder import SentenceEncoder as SentenceEncoder
    from minidistil.model import load_model as load_model
    from minidistil.model.auto import *  # noqa: F403
    from minidistil.model.families import *  # noqa: F403  # configs and models
    from minidistil.ops.dropout import Dropout as Dropout
    from minidistil.tasks.registry import pipeline as pipeline
    from minidistil.text.batch_encoding import BatchEncoding as BatchEncoding
    from minidistil.text.batching import epoch_batches as epoch_batches
    from minidistil.text.dataset import Dataset as Dataset
    from minidistil.text.tokenizer import Tokenizer as Tokenizer
    from minidistil.threads import set_num_threads as set_num_threads
    from minidistil.train.hooks import StopTraining as StopTraining
    from minidistil.train.learning_rate import find_learning_rate as find_learning_rate
    from minidistil.train.objective import ModelLoss as ModelLoss
    from minidistil.train.optimizer import AdamW as AdamW
    from minidistil.train.settings import TrainSettings as TrainSettings
    from minidistil.train.trainer import Trainer as Trainer
    from minidistil.train.validation import mean_loss as mean_loss

    AutoTokenizer = BertTokenizer = BertTokenizerFast = Tokenizer
    DistilBertTokenizer = DistilBertTokenizerFast = PreTrainedTokenizerFast = Tokenizer

__version__ = "0.1.0"

# Imported when first used, so that `import minidistil` costs nothing. So are the families' classes.
_HOMES = {
    "AdamW": "train.optimizer",
    "AutoConfig": "model.auto",
    "AutoModel": "model.auto",
    "AutoModelForMaskedLM": "model.auto",
    "AutoModelForMultipleChoice": "model.auto",
    "AutoModelForNextSentencePrediction": "model.auto",
    "AutoModelForPreTraining": "model.auto",
    "AutoModelForQuestionAnswering": "model.auto",
    "AutoModelForSequenceClassification": "model.auto",
    "AutoModelForTokenClassification": "model.auto",
    "Batch": "batch",
    "BatchEncoding": "text.batch_encoding",
    "Dataset": "text.dataset",
    "Dropout": "ops.dropout",
    "ModelLoss": "train.objective",
    "SentenceEncoder": "embeddings.encoder",
    "StopTraining": "train.hooks",
    "Tokenizer": "text.tokenizer",
    "TrainSettings": "train.settings",
    "Trainer": "train.trainer",
    "epoch_batches": "text.batching",
    "find_learning_rate": "train.learning_rate",
    "load_model": "model",
    "mean_loss": "train.validation",
    "pipeline": "tasks.registry",
    "set_num_threads": "threads",
}
_PACKAGES = ("distill", "embeddings", "losses", "metrics")  # with public names of their own
# Names that transformers has for what has one class here.
_SAME = {
    "AutoTokenizer": "Tokenizer",
    "BertTokenizer": "Tokenizer",
    "BertTokenizerFast": "Tokenizer",
    "DistilBertTokenizer": "Tokenizer",
    "DistilBertTokenizerFast": "Tokenizer",
    "PreTrainedTokenizerFast": "Tokenizer",
}


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return _public()
    if (ours := _SAME.get(name, name)) in _HOMES:
        return getattr(importlib.import_module(f"minidistil.{_HOMES[ours]}"), ours)
    if name in _PACKAGES:
        return importlib.import_module(f"minidistil.{name}")
    if name[:1].isupper():  # a module of the package may be asked for, too
        from minidistil.model.families import public

        if (kind := public(name)) is not None:
            return kind
    raise AttributeError(f"module 'minidistil' has no attribute {name!r}")


def _public() -> list[str]:
    """Public names, loaded or not."""
    from minidistil.model.families import public_names

    return sorted([*_HOMES, *_SAME, "MinidistilError", *public_names()])


def __dir__() -> list[str]:
    """Names for completion and `help`."""
    return [*_public(), *_PACKAGES, *(name for name in globals() if name.startswith("__"))]
