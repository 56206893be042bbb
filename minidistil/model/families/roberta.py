"""RoBERTa (Liu et al. 2019, arXiv:1907.11692): BERT with positions from another row, and other heads.

DistilRoBERTa is one with 6 layers. The pooler is there in the bare encoder and for multiple choice alone: a
sequence classifier has two layers instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minidistil.config import ModelConfig, frozen_config
from minidistil.model.families import bert
from minidistil.model.heads import Pooler, SequenceHead
from minidistil.model.model import Model
from minidistil.model.modules import Linear, Norm
from minidistil.model.token_heads import MaskedLMHead


@frozen_config
@dataclass(frozen=True, kw_only=True)
class RobertaConfig(bert.BertConfig):
    """Sizes and rates of a RoBERTa.

    Positions begin after the row of `pad_token_id`: a table of 514 rows takes 512 tokens if that is 1.
    """

    model_type: ClassVar[str] = "roberta"

    vocab_size: int = 50265
    pad_token_id: int | None = 1

    @property
    def position_padding(self) -> int | None:
        return self.pad_token_id


def masked_lm(c: ModelConfig, at: str) -> MaskedLMHead:
    return MaskedLMHead(
        c,
        dense=Linear("lm_head.dense", c.hidden_size, c.hidden_size),
        activation="gelu",  # whatever the layers' is
        norm=Norm("lm_head.layer_norm", c.hidden_size, c.layer_norm_eps),
        decoder="lm_head.decoder.weight",
        bias="lm_head.bias",
        word=f"{at}embeddings.word_embeddings.weight",
    )


def sequence(c: ModelConfig, at: str, activation: str = "tanh") -> SequenceHead:
    """Two layers on the first token, dropout before each."""
    H, rate = c.hidden_size, c.classifier_dropout_prob
    dense = Pooler(Linear("classifier.dense", H, H), activation, rate)
    return SequenceHead(c, dense, Linear("classifier.out_proj", c.num_labels, H), rate)


class RobertaBase(Model):
    """Base of RoBERTa's classes."""

    config_class: ClassVar[type[ModelConfig]] = RobertaConfig
    base, title, layer_prefix = "roberta", "RoBERTa", "encoder.layer."
    build_encoder = staticmethod(bert.encoder)


class RobertaModel(RobertaBase):
    """The bare encoder with its pooler: `last_hidden_state` [B, L, H], `pooler_output` [B, H]."""

    at, build_heads = "", (bert.pooler,)


class RobertaForMaskedLM(RobertaBase):
    """Masked language model: `logits` [B, L, V]; the decoder is the word table (tied)."""

    build_heads = (masked_lm,)


class RobertaForSequenceClassification(RobertaBase):
    """Sequence classification with one label or many, or regression: `logits` [B, C]."""

    build_heads = (sequence,)


class RobertaForMultipleChoice(RobertaBase):
    """Multiple choice: `logits` [B, C], from input of shape [B, C, L]."""

    build_heads = (bert.choice,)


class RobertaForTokenClassification(RobertaBase):
    """Token classification: `logits` [B, L, C]."""

    build_heads = (bert.token,)


class RobertaForQuestionAnswering(RobertaBase):
    """Extractive question answering: `start_logits` and `end_logits` [B, L]."""

    build_heads = (bert.span,)


__all__ = [
    "RobertaConfig",
    "RobertaForMaskedLM",
    "RobertaForMultipleChoice",
    "RobertaForQuestionAnswering",
    "RobertaForSequenceClassification",
    "RobertaForTokenClassification",
    "RobertaModel",
]
