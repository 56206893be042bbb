"""MPNet (Song et al. 2020, arXiv:2004.09297): a RoBERTa with a bias by distance on attention scores.

The layers share it, see `minidistil.model.relative_bias`. There are no token types. The heads are RoBERTa's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from minidistil.config import ModelConfig, frozen_config
from minidistil.model.encoder import Encoder, Layer, post_ln_layer
from minidistil.model.families import bert, roberta
from minidistil.model.model import Model
from minidistil.model.pretrained_config import PretrainedConfig
from minidistil.model.relative_bias import RelativeBias

BUCKETS = 32  # transformers puts distances into as many, whatever the config says


@frozen_config
@dataclass(frozen=True, kw_only=True)
class MPNetConfig(PretrainedConfig):
    """Sizes and rates of an MPNet. A position table of 514 rows takes 512 tokens: they begin in row 2."""

    model_type: ClassVar[str] = "mpnet"
    constants: ClassVar[Mapping[str, Any]] = {"type_vocab_size": 0}
    required: ClassVar[Mapping[str, Any]] = {"relative_attention_num_buckets": BUCKETS}

    vocab_size: int = 30527
    pad_token_id: int | None = 1
    type_vocab_size: int = 0

    @property
    def position_padding(self) -> int:
        return 1  # transformers' MPNetEmbeddings, whatever `pad_token_id` is

    @property
    def classifier_dropout_prob(self) -> float:
        return self.hidden_dropout_prob


def layer(c: ModelConfig, at: str) -> Layer:
    """The layer whose names begin with `at`, such as "mpnet.encoder.layer.0."."""
    return post_ln_layer(
        c,
        query=f"{at}attention.attn.q",
        key=f"{at}attention.attn.k",
        value=f"{at}attention.attn.v",
        out=f"{at}attention.attn.o",
        attention_norm=f"{at}attention.LayerNorm",
        up=f"{at}intermediate.dense",
        down=f"{at}output.dense",
        output_norm=f"{at}output.LayerNorm",
    )


def encoder(c: ModelConfig, at: str) -> Encoder:
    """The encoder whose names begin with `at`: "mpnet.", or nothing in the bare encoder."""
    layers = [layer(c, f"{at}encoder.layer.{i}.") for i in range(c.num_hidden_layers)]
    table, key = f"{at}encoder.relative_attention_bias.weight", "relative_attention_num_buckets"
    bias = RelativeBias(table, key, BUCKETS, c.num_attention_heads)
    return Encoder(bert.embeddings(c, f"{at}embeddings."), tuple(layers), bias)


class MPNetBase(Model):
    """Base of MPNet's classes."""

    config_class: ClassVar[type[ModelConfig]] = MPNetConfig
    base, title, layer_prefix = "mpnet", "MPNet", "encoder.layer."
    build_encoder = staticmethod(encoder)


class MPNetModel(MPNetBase):
    """The bare encoder with its pooler: `last_hidden_state` [B, L, H], `pooler_output` [B, H]."""

    at, build_heads = "", (bert.pooler,)


class MPNetForMaskedLM(MPNetBase):
    """Masked language model: `logits` [B, L, V]; the decoder is the word table (tied)."""

    build_heads = (roberta.masked_lm,)


class MPNetForSequenceClassification(MPNetBase):
    """Sequence classification with one label or many, or regression: `logits` [B, C]."""

    build_heads = (roberta.sequence,)


class MPNetForMultipleChoice(MPNetBase):
    """Multiple choice: `logits` [B, C], from input of shape [B, C, L]."""

    build_heads = (bert.choice,)


class MPNetForTokenClassification(MPNetBase):
    """Token classification: `logits` [B, L, C]."""

    build_heads = (bert.token,)


class MPNetForQuestionAnswering(MPNetBase):
    """Extractive question answering: `start_logits` and `end_logits` [B, L]."""

    build_heads = (bert.span,)


__all__ = [
    "MPNetConfig",
    "MPNetForMaskedLM",
    "MPNetForMultipleChoice",
    "MPNetForQuestionAnswering",
    "MPNetForSequenceClassification",
    "MPNetForTokenClassification",
    "MPNetModel",
]
