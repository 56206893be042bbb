"""DistilBERT (Sanh et al. 2019, arXiv:1910.01108): BERT without token types and pooler, under other names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from minidistil.config import ModelConfig, frozen_config
from minidistil.errors import ConfigError
from minidistil.model.encoder import Encoder, Layer, post_ln_layer
from minidistil.model.families import bert
from minidistil.model.heads import ChoiceHead, Pooler, SequenceHead
from minidistil.model.model import Model
from minidistil.model.modules import Linear, Norm
from minidistil.model.pretrained_config import PretrainedConfig
from minidistil.model.token_heads import MaskedLMHead


@frozen_config
@dataclass(frozen=True, kw_only=True)
class DistilBertConfig(PretrainedConfig):
    """Sizes and rates of a DistilBERT.

    `sinusoidal_pos_embds` only says how positions were first filled; the tensor in the file is
    what counts, and is always loaded.
    """

    model_type: ClassVar[str] = "distilbert"
    aliases: ClassVar[Mapping[str, str]] = {
        "dim": "hidden_size",
        "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
        "hidden_dim": "intermediate_size",
        "activation": "hidden_act",
        "dropout": "hidden_dropout_prob",
        "attention_dropout": "attention_probs_dropout_prob",
    }
    constants: ClassVar[Mapping[str, Any]] = {"type_vocab_size": 0, "layer_norm_eps": 1e-12}

    num_hidden_layers: int = 6
    type_vocab_size: int = 0
    sinusoidal_pos_embds: bool = False
    qa_dropout: float = 0.1
    seq_classif_dropout: float = 0.2

    @classmethod
    def of(cls, other: ModelConfig) -> Self:
        """The config of a student, which has no token types whatever its teacher has."""
        if other.layer_norm_eps != cls.constants["layer_norm_eps"]:
            raise ConfigError(
                f"DistilBERT's layernorm has eps 1e-12, this teacher's {other.layer_norm_eps}: "
                "choose a student of the teacher's family"
            )
        return super().of(other)

    @property
    def classifier_dropout_prob(self) -> float:
        return self.seq_classif_dropout

    @property
    def attention_output_dropout_prob(self) -> float:
        return 0.0  # DistilBERT drops nothing here, unlike BERT

    @property
    def qa_dropout_prob(self) -> float:
        return self.qa_dropout


def layer(c: ModelConfig, at: str) -> Layer:
    """The layer whose names begin with `at`, such as "distilbert.transformer.layer.0."."""
    return post_ln_layer(
        c,
        query=f"{at}attention.q_lin",
        key=f"{at}attention.k_lin",
        value=f"{at}attention.v_lin",
        out=f"{at}attention.out_lin",
        attention_norm=f"{at}sa_layer_norm",
        up=f"{at}ffn.lin1",
        down=f"{at}ffn.lin2",
        output_norm=f"{at}output_layer_norm",
    )


def encoder(c: ModelConfig, at: str) -> Encoder:
    """The encoder whose names begin with `at`: "distilbert.", or nothing in the bare encoder."""
    layers = [layer(c, f"{at}transformer.layer.{i}.") for i in range(c.num_hidden_layers)]
    return Encoder(bert.embeddings(c, f"{at}embeddings."), tuple(layers))


def pooler(c: ModelConfig) -> Pooler:
    return Pooler(Linear("pre_classifier", c.hidden_size, c.hidden_size), activation="relu")


def masked_lm(c: ModelConfig, at: str) -> MaskedLMHead:
    return MaskedLMHead(
        c,
        dense=Linear("vocab_transform", c.hidden_size, c.hidden_size),
        activation=c.hidden_act,
        norm=Norm("vocab_layer_norm", c.hidden_size, c.layer_norm_eps),
        decoder="vocab_projector.weight",
        bias="vocab_projector.bias",
        word=f"{at}embeddings.word_embeddings.weight",
    )


def sequence(c: ModelConfig, at: str) -> SequenceHead:
    return replace(bert.sequence(c, at), pooler=pooler(c))


def choice(c: ModelConfig, at: str) -> ChoiceHead:
    return replace(bert.choice(c, at), pooler=pooler(c))


class DistilBertBase(Model):
    """Base of DistilBERT's classes."""

    config_class: ClassVar[type[ModelConfig]] = DistilBertConfig
    base, title, layer_prefix = "distilbert", "DistilBERT", "transformer.layer."
    build_encoder = staticmethod(encoder)


class DistilBertModel(DistilBertBase):
    """The bare encoder: `last_hidden_state` [B, L, H]."""

    at, build_heads = "", ()


class DistilBertForMaskedLM(DistilBertBase):
    """Masked language model: `logits` [B, L, V]; the decoder is the word table (tied)."""

    build_heads = (masked_lm,)


class DistilBertForSequenceClassification(DistilBertBase):
    """Sequence classification with one label or many, or regression: `logits` [B, C]."""

    build_heads = (sequence,)


class DistilBertForMultipleChoice(DistilBertBase):
    """Multiple choice: `logits` [B, C], from input of shape [B, C, L]."""

    build_heads = (choice,)


class DistilBertForTokenClassification(DistilBertBase):
    """Token classification: `logits` [B, L, C]."""

    build_heads = (bert.token,)


class DistilBertForQuestionAnswering(DistilBertBase):
    """Extractive question answering: `start_logits` and `end_logits` [B, L]."""

    build_heads = (bert.span,)


__all__ = [
    "DistilBertConfig",
    "DistilBertForMaskedLM",
    "DistilBertForMultipleChoice",
    "DistilBertForQuestionAnswering",
    "DistilBertForSequenceClassification",
    "DistilBertForTokenClassification",
    "DistilBertModel",
]
