"""XLM-RoBERTa (Conneau et al. 2019, arXiv:1911.02116): a RoBERTa of a hundred languages.

Vocabulary and tokenizer are others; the arithmetic is RoBERTa's, and so are the names in files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minidistil.config import ModelConfig, frozen_config
from minidistil.model.families import roberta


@frozen_config
@dataclass(frozen=True, kw_only=True)
class XLMRobertaConfig(roberta.RobertaConfig):
    """Sizes and rates of an XLM-RoBERTa."""

    model_type: ClassVar[str] = "xlm-roberta"

    vocab_size: int = 30522


class XLMRobertaBase(roberta.RobertaBase):
    """Base of XLM-RoBERTa's classes."""

    config_class: ClassVar[type[ModelConfig]] = XLMRobertaConfig
    title = "XLM-RoBERTa"


class XLMRobertaModel(roberta.RobertaModel, XLMRobertaBase):
    """The bare encoder with its pooler, as `RobertaModel`."""


class XLMRobertaForMaskedLM(roberta.RobertaForMaskedLM, XLMRobertaBase):
    """Masked language model, as `RobertaForMaskedLM`."""


class XLMRobertaForSequenceClassification(roberta.RobertaForSequenceClassification, XLMRobertaBase):
    """Sequence classification or regression, as `RobertaForSequenceClassification`."""


class XLMRobertaForMultipleChoice(roberta.RobertaForMultipleChoice, XLMRobertaBase):
    """Multiple choice, as `RobertaForMultipleChoice`."""


class XLMRobertaForTokenClassification(roberta.RobertaForTokenClassification, XLMRobertaBase):
    """Token classification, as `RobertaForTokenClassification`."""


class XLMRobertaForQuestionAnswering(roberta.RobertaForQuestionAnswering, XLMRobertaBase):
    """Extractive question answering, as `RobertaForQuestionAnswering`."""


__all__ = [
    "XLMRobertaConfig",
    "XLMRobertaForMaskedLM",
    "XLMRobertaForMultipleChoice",
    "XLMRobertaForQuestionAnswering",
    "XLMRobertaForSequenceClassification",
    "XLMRobertaForTokenClassification",
    "XLMRobertaModel",
]
