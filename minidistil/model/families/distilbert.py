"""DistilBERT (Sanh et al. 2019, arXiv:1910.01108): BERT without token types and pooler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from minidistil.config import DistilBertConfig, ModelConfig
from minidistil.model.heads import ChoiceHead, Head, Pooler, SequenceHead
from minidistil.model.model import Model
from minidistil.model.naming import DISTILBERT, Naming
from minidistil.model.token_heads import MaskedLMHead, SpanHead, TokenHead

WORD = "distilbert.embeddings.word_embeddings.weight"


class DistilBertBase(Model):
    """What all DistilBERTs share."""

    naming: ClassVar[Naming] = DISTILBERT
    config_class: ClassVar[type[ModelConfig]] = DistilBertConfig


class DistilBertModel(DistilBertBase):
    """The bare encoder: `last_hidden_state` [B, L, H]."""

    naming: ClassVar[Naming] = DISTILBERT.bare()
    heads: ClassVar[tuple[Head, ...]] = ()


class DistilBertForMaskedLM(DistilBertBase):
    """Predicts masked words: `logits` [B, L, V]; the decoder is the word table (tied)."""

    heads: ClassVar[tuple[Head, ...]] = (
        MaskedLMHead(
            dense="vocab_transform",
            norm="vocab_layer_norm",
            decoder="vocab_projector.weight",
            bias="vocab_projector.bias",
            word=WORD,
        ),
    )
    tied: ClassVar[Mapping[str, str]] = {"vocab_projector.weight": WORD}


class DistilBertForSequenceClassification(DistilBertBase):
    """Classes, many labels, or a score for a text or a pair: `logits` [B, C]."""

    heads: ClassVar[tuple[Head, ...]] = (SequenceHead(Pooler("pre_classifier", activation="relu")),)


class DistilBertForMultipleChoice(DistilBertBase):
    """Which of some choices is right: `logits` [B, C], from input of shape [B, C, L]."""

    heads: ClassVar[tuple[Head, ...]] = (ChoiceHead(Pooler("pre_classifier", activation="relu")),)


class DistilBertForTokenClassification(DistilBertBase):
    """A class for each token: `logits` [B, L, C]."""

    heads: ClassVar[tuple[Head, ...]] = (TokenHead(),)


class DistilBertForQuestionAnswering(DistilBertBase):
    """Where an answer starts and ends: `start_logits`, `end_logits` [B, L]."""

    heads: ClassVar[tuple[Head, ...]] = (SpanHead(),)
