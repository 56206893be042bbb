"""BERT (Devlin et al. 2018, arXiv:1810.04805)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from minidistil.config import ModelConfig, frozen_config
from minidistil.model.encoder import Encoder, Layer, post_ln_layer
from minidistil.model.heads import ChoiceHead, NextSentenceHead, Pooler, SequenceHead
from minidistil.model.model import Model
from minidistil.model.modules import Embeddings, Linear, Norm, PositionTable, Table
from minidistil.model.pretrained_config import PretrainedConfig
from minidistil.model.token_heads import MaskedLMHead, SpanHead, TokenHead


@frozen_config
@dataclass(frozen=True, kw_only=True)
class BertConfig(PretrainedConfig):
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
    width = c.embedding_size

    def table(name: str, size: str, ids: str) -> Table:
        return Table(f"{at}{name}.weight", size, getattr(c, size), width, ids)

    types = [table("token_type_embeddings", "type_vocab_size", "token_type_ids")] if c.type_vocab_size else []
    positions = table("position_embeddings", "max_position_embeddings", "position_ids")
    return Embeddings(
        word=table("word_embeddings", "vocab_size", "input_ids"),
        position=PositionTable(**vars(positions), padding=c.position_padding),
        types=tuple(types),
        norm=Norm(f"{at}LayerNorm", width, c.layer_norm_eps),
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


# Heads, each a function of the config and of what the names of the encoder below begin with.


def pooler(c: ModelConfig, at: str) -> Pooler:
    return Pooler(Linear(f"{at}pooler.dense", c.hidden_size, c.hidden_size))


def masked_lm(c: ModelConfig, at: str, output: str = "logits") -> MaskedLMHead:
    names = "cls.predictions."
    return MaskedLMHead(
        c,
        dense=Linear(f"{names}transform.dense", c.hidden_size, c.hidden_size),
        activation=c.hidden_act,
        norm=Norm(f"{names}transform.LayerNorm", c.hidden_size, c.layer_norm_eps),
        decoder=f"{names}decoder.weight",
        bias=f"{names}bias",
        word=f"{at}embeddings.word_embeddings.weight",
        output=output,
    )


def next_sentence(c: ModelConfig, at: str, **names: str) -> NextSentenceHead:
    return NextSentenceHead(c, pooler(c, at), Linear("cls.seq_relationship", 2, c.hidden_size), 0.0, **names)


def sequence(c: ModelConfig, at: str) -> SequenceHead:
    classifier = Linear("classifier", c.num_labels, c.hidden_size)
    return SequenceHead(c, pooler(c, at), classifier, c.classifier_dropout_prob)


def choice(c: ModelConfig, at: str) -> ChoiceHead:
    return ChoiceHead(c, pooler(c, at), Linear("classifier", 1, c.hidden_size), c.classifier_dropout_prob)


def token(c: ModelConfig, at: str) -> TokenHead:
    return TokenHead(c, Linear("classifier", c.num_labels, c.hidden_size), c.token_dropout_prob)


def span(c: ModelConfig, at: str) -> SpanHead:
    return SpanHead(Linear("qa_outputs", 2, c.hidden_size), c.qa_dropout_prob)


PRETRAINING = (
    partial(masked_lm, output="prediction_logits"),
    partial(next_sentence, output="seq_relationship_logits", labels="next_sentence_label"),
)


class BertBase(Model):
    """Base of BERT's classes."""

    config_class: ClassVar[type[ModelConfig]] = BertConfig
    base, title, layer_prefix = "bert", "BERT", "encoder.layer."
    build_encoder = staticmethod(encoder)


class BertModel(BertBase):
    """The bare encoder with its pooler: `last_hidden_state` [B, L, H], `pooler_output` [B, H]."""

    at, build_heads = "", (pooler,)


class BertForMaskedLM(BertBase):
    """Masked language model: `logits` [B, L, V]; the decoder is the word table (tied)."""

    build_heads = (masked_lm,)


class BertForSequenceClassification(BertBase):
    """Sequence classification with one label or many, or regression: `logits` [B, C]."""

    build_heads = (sequence,)


class BertForMultipleChoice(BertBase):
    """Multiple choice: `logits` [B, C], from input of shape [B, C, L]."""

    build_heads = (choice,)


class BertForTokenClassification(BertBase):
    """Token classification: `logits` [B, L, C]."""

    build_heads = (token,)


class BertForQuestionAnswering(BertBase):
    """Extractive question answering: `start_logits` and `end_logits` [B, L]."""

    build_heads = (span,)


class BertForNextSentencePrediction(BertBase):
    """Next-sentence prediction: `logits` [B, 2]; class 0: the second follows the first."""

    build_heads = (next_sentence,)


class BertForPreTraining(BertBase):
    """Masked LM and next sentence: `prediction_logits` [B, L, V], `seq_relationship_logits` [B, 2]."""

    build_heads = PRETRAINING


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
