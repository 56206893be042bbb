"""BERT (Devlin et al. 2018, arXiv:1810.04805): the classes, each an encoder with its heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from minidistil.config import BertConfig, ModelConfig
from minidistil.model.heads import ChoiceHead, Head, NextSentenceHead, Pooler, SequenceHead
from minidistil.model.model import Model
from minidistil.model.naming import BERT, Naming
from minidistil.model.token_heads import MaskedLMHead, SpanHead, TokenHead

WORD = "bert.embeddings.word_embeddings.weight"
POOLER = Pooler("bert.pooler.dense")


def masked_lm(output: str = "logits") -> MaskedLMHead:
    return MaskedLMHead(
        dense="cls.predictions.transform.dense",
        norm="cls.predictions.transform.LayerNorm",
        decoder="cls.predictions.decoder.weight",
        bias="cls.predictions.bias",
        word=WORD,
        output=output,
    )


class BertBase(Model):
    """What all BERTs share."""

    naming: ClassVar[Naming] = BERT
    config_class: ClassVar[type[ModelConfig]] = BertConfig


class BertModel(BertBase):
    """The bare encoder with its pooler: `last_hidden_state` [B, L, H], `pooler_output` [B, H]."""

    naming: ClassVar[Naming] = BERT.bare()
    heads: ClassVar[tuple[Head, ...]] = (Pooler("pooler.dense"),)


class BertForMaskedLM(BertBase):
    """Predicts masked words: `logits` [B, L, V]; the decoder is the word table (tied)."""

    heads: ClassVar[tuple[Head, ...]] = (masked_lm(),)
    tied: ClassVar[Mapping[str, str]] = {
        "cls.predictions.decoder.weight": WORD,
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }
    untied: ClassVar[Mapping[str, str]] = {"cls.predictions.bias": "cls.predictions.decoder.bias"}


class BertForSequenceClassification(BertBase):
    """Classes, many labels, or a score for a text or a pair: `logits` [B, C]."""

    heads: ClassVar[tuple[Head, ...]] = (SequenceHead(POOLER),)


class BertForMultipleChoice(BertBase):
    """Which of some choices is right: `logits` [B, C], from input of shape [B, C, L]."""

    heads: ClassVar[tuple[Head, ...]] = (ChoiceHead(POOLER),)


class BertForTokenClassification(BertBase):
    """A class for each token: `logits` [B, L, C]."""

    heads: ClassVar[tuple[Head, ...]] = (TokenHead(),)


class BertForQuestionAnswering(BertBase):
    """Where an answer starts and ends: `start_logits`, `end_logits` [B, L]."""

    heads: ClassVar[tuple[Head, ...]] = (SpanHead(),)


class BertForNextSentencePrediction(BertBase):
    """Does the second sentence follow the first? `logits` [B, 2]; class 0 says it does."""

    heads: ClassVar[tuple[Head, ...]] = (NextSentenceHead(POOLER),)


class BertForPreTraining(BertBase):
    """Both of BERT's objectives: `prediction_logits` [B, L, V], `seq_relationship_logits` [B, 2]."""

    heads: ClassVar[tuple[Head, ...]] = (
        masked_lm("prediction_logits"),
        NextSentenceHead(POOLER, output="seq_relationship_logits", labels="next_sentence_label"),
    )
    tied: ClassVar[Mapping[str, str]] = BertForMaskedLM.tied
    untied: ClassVar[Mapping[str, str]] = BertForMaskedLM.untied
