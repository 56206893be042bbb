"""BERT (Devlin et al. 2018, arXiv:1810.04805)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from minidistil.config import ModelConfig
from minidistil.model.encoder import Encoder, Layer, post_ln_layer
from minidistil.model.heads import ChoiceHead, Head, NextSentenceHead, Pooler, SequenceHead
from minidistil.model.model import Model
from minidistil.model.modules import Embeddings, Norm, Table
from minidistil.model.token_heads import MaskedLMHead, SpanHead, TokenHead


@dataclass(frozen=True, kw_only=True)
class BertConfig(ModelConfig):
    """Sizes and rates of a BERT."""

    model_type: ClassVar[str] = "bert"
    required: ClassVar[Mapping[str, Any]] = {
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
    }

    classifier_dropout: float | None = None

    @property
    def classifier_dropout_prob(self) -> float:
        return self.hidden_dropout_prob if self.classifier_dropout is None else self.classifier_dropout

    @property
    def token_dropout_prob(self) -> float:
        return self.classifier_dropout_prob


def embeddings(c: ModelConfig, at: str) -> Embeddings:
    """Tables below `at`, such as "bert.embeddings."; token types if the config has any."""

    def table(name: str, size: str, ids: str) -> Table:
        return Table(f"{at}{name}.weight", size, getattr(c, size), c.hidden_size, ids)

    types = [table("token_type_embeddings", "type_vocab_size", "token_type_ids")] if c.type_vocab_size else []
    return Embeddings(
        word=table("word_embeddings", "vocab_size", "input_ids"),
        position=table("position_embeddings", "max_position_embeddings", "position_ids"),
        types=tuple(types),
        norm=Norm(f"{at}LayerNorm", c.hidden_size, c.layer_norm_eps),
        dropout=c.hidden_dropout_prob,
    )


def layer(c: ModelConfig, at: str) -> Layer:
    """The layer whose names begin with `at`, such as "bert.encoder.layer.0."."""
    return post_ln_layer(
        c,
        query=f"{at}attention.self.query",
        key=f"{at}attention.self.key",
        value=f"{at}attention.self.value",
        out=f"{at}attention.output.dense",
        attention_norm=f"{at}attention.output.LayerNorm",
        up=f"{at}intermediate.dense",
        down=f"{at}output.dense",
        output_norm=f"{at}output.LayerNorm",
    )


def encoder(c: ModelConfig, at: str) -> Encoder:
    """The encoder whose names begin with `at`: "bert.", or nothing in the bare encoder."""
    layers = [layer(c, f"{at}encoder.layer.{i}.") for i in range(c.num_hidden_layers)]
    return Encoder(embeddings(c, f"{at}embeddings."), tuple(layers))


POOLER = Pooler("bert.pooler.dense")


def masked_lm(output: str = "logits") -> MaskedLMHead:
    return MaskedLMHead(
        dense="cls.predictions.transform.dense",
        norm="cls.predictions.transform.LayerNorm",
        decoder="cls.predictions.decoder.weight",
        bias="cls.predictions.bias",
        word="bert.embeddings.word_embeddings.weight",
        output=output,
    )


class BertBase(Model):
    """Base of BERT's classes."""

    config_class: ClassVar[type[ModelConfig]] = BertConfig
    base, title, layer_prefix = "bert", "BERT", "encoder.layer."
    build_encoder = staticmethod(encoder)


class BertModel(BertBase):
    """The bare encoder with its pooler: `last_hidden_state` [B, L, H], `pooler_output` [B, H]."""

    at = ""
    heads: ClassVar[tuple[Head, ...]] = (Pooler("pooler.dense"),)


class BertForMaskedLM(BertBase):
    """Predicts masked words: `logits` [B, L, V]; the decoder is the word table (tied)."""

    heads: ClassVar[tuple[Head, ...]] = (masked_lm(),)


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


__all__ = [
    "BertConfig",
    "BertForMaskedLM",
    "BertForMultipleChoice",
    "BertForNextSentencePrediction",
    "BertForPreTraining",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertModel",
]
