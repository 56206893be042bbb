"""CamemBERT (Martin et al. 2019, arXiv:1911.03894): a RoBERTa of French.

Vocabulary and tokenizer are others; the arithmetic is RoBERTa's, and so are the names in files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minidistil.config import ModelConfig, frozen_config
from minidistil.model.families import roberta


@frozen_config
@dataclass(frozen=True, kw_only=True)
class CamembertConfig(roberta.RobertaConfig):
    """Sizes and rates of a CamemBERT."""

    model_type: ClassVar[str] = "camembert"

    vocab_size: int = 30522


class CamembertBase(roberta.RobertaBase):
    """Base of CamemBERT's classes."""

    config_class: ClassVar[type[ModelConfig]] = CamembertConfig
    title = "CamemBERT"


class CamembertModel(roberta.RobertaModel, CamembertBase):
    """The bare encoder with its pooler, as `RobertaModel`."""


class CamembertForMaskedLM(roberta.RobertaForMaskedLM, CamembertBase):
    """Masked language model, as `RobertaForMaskedLM`."""


class CamembertForSequenceClassification(roberta.RobertaForSequenceClassification, CamembertBase):
    """Sequence classification or regression, as `RobertaForSequenceClassification`."""


class CamembertForMultipleChoice(roberta.RobertaForMultipleChoice, CamembertBase):
    """Multiple choice, as `RobertaForMultipleChoice`."""


class CamembertForTokenClassification(roberta.RobertaForTokenClassification, CamembertBase):
    """Token classification, as `RobertaForTokenClassification`."""


class CamembertForQuestionAnswering(roberta.RobertaForQuestionAnswering, CamembertBase):
    """Extractive question answering, as `RobertaForQuestionAnswering`."""


__all__ = [
    "CamembertConfig",
    "CamembertForMaskedLM",
    "CamembertForMultipleChoice",
    "CamembertForQuestionAnswering",
    "CamembertForSequenceClassification",
    "CamembertForTokenClassification",
    "CamembertModel",
]
