"""Auto classes, which are loaded as the class of the family that config.json names."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from minidistil.config import ModelConfig
from minidistil.errors import UsageError
from minidistil.model.families import class_with
from minidistil.model.model import Model
from minidistil.model.pretrained_config import read_config


class AutoConfig:
    """Config of any family: `AutoConfig.from_pretrained("encoder/")` gives a `BertConfig` of a BERT."""

    def __init__(self) -> None:
        raise UsageError(f"{type(self).__name__} has no objects: call its from_pretrained")

    @classmethod
    def from_pretrained(
        cls, path_or_id: str | Path, *, revision: str | None = None, **changes: Any
    ) -> ModelConfig:
        """Read a config, as `PretrainedConfig.from_pretrained`, of any family."""
        return read_config(path_or_id, revision, changes)


class AutoModel:
    """Bare encoder of any family: `AutoModel.from_pretrained("encoder/")` gives a `BertModel` of a BERT."""

    head: ClassVar[str] = "Model"  # end of the class's name

    def __init__(self) -> None:
        raise UsageError(f"{type(self).__name__} has no objects: call its from_pretrained or from_config")

    @classmethod
    def from_pretrained(cls, path_or_id: str | Path, *, revision: str | None = None, **options: Any) -> Model:
        """Load a directory or a hub id with this head.

        Takes the options of `Model.from_pretrained`.

        Raises
        ------
        ConfigError
            A family that has no such class.
        ConfigError, WeightsError, MissingAssetError
            See `Model.from_pretrained`.
        """
        from minidistil.weights.hub import resolve

        path = resolve(path_or_id, revision=revision)
        config = options.get("config") or read_config(path, None, {})
        return class_with(cls.head, config.model_type).from_pretrained(path, **options)

    @classmethod
    def from_config(cls, config: ModelConfig, **options: Any) -> Model:
        """Make a new model of random weights, with the options of its class."""
        return class_with(cls.head, config.model_type)(config, **options)


class AutoModelForMaskedLM(AutoModel):
    """Masked language model of any family."""

    head = "ForMaskedLM"


class AutoModelForSequenceClassification(AutoModel):
    """Sequence classifier of any family."""

    head = "ForSequenceClassification"


class AutoModelForTokenClassification(AutoModel):
    """Token classifier of any family."""

    head = "ForTokenClassification"


class AutoModelForQuestionAnswering(AutoModel):
    """Extractive question answering of any family."""

    head = "ForQuestionAnswering"


class AutoModelForMultipleChoice(AutoModel):
    """Multiple choice of any family."""

    head = "ForMultipleChoice"


class AutoModelForNextSentencePrediction(AutoModel):
    """Next-sentence prediction of a family that was pre-trained with it."""

    head = "ForNextSentencePrediction"


class AutoModelForPreTraining(AutoModel):
    """Heads of pre-training, masked LM and next sentence, of a family that has both."""

    head = "ForPreTraining"


__all__ = [
    "AutoConfig",
    "AutoModel",
    "AutoModelForMaskedLM",
    "AutoModelForMultipleChoice",
    "AutoModelForNextSentencePrediction",
    "AutoModelForPreTraining",
    "AutoModelForQuestionAnswering",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
]
