"""ALBERT (Lan et al. 2019, arXiv:1909.11942): layers that share their parameters, and narrow tables.

The tables have a width E of their own, and a linear layer E -> H follows them. The n layers are of G groups:
layer i runs group i // (n / G), and all layers of a group have the same parameters, whose gradients add up.
A group may itself be several layers. Pre-training asks for the order of two segments, not for the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Self

from minidistil.config import ModelConfig, frozen_config
from minidistil.config_fields import MOST_LAYERS, PROBABILITY, integer
from minidistil.errors import ConfigError
from minidistil.model.encoder import Encoder, Layer, post_ln_layer
from minidistil.model.families import bert
from minidistil.model.heads import ChoiceHead, NextSentenceHead, Pooler, SequenceHead
from minidistil.model.model import Model
from minidistil.model.modules import Linear, Norm
from minidistil.model.pretrained_config import PretrainedConfig
from minidistil.model.token_heads import MaskedLMHead


@frozen_config
@dataclass(frozen=True, kw_only=True)
class AlbertConfig(PretrainedConfig):
    """Sizes and rates of an ALBERT.

    Defaults are those of transformers, which are the largest ALBERT's.

    Attributes
    ----------
    embedding_size : int
        Width E of the tables.
    num_hidden_layers : int
        Times that a group is run, n.
    num_hidden_groups : int
        G, at most n.
    inner_group_num : int
        Layers in a group, each with parameters of its own.
    """

    model_type: ClassVar[str] = "albert"
    required: ClassVar[Mapping[str, Any]] = {"position_embedding_type": "absolute", "is_decoder": False}
    widths: ClassVar[tuple[str, ...]] = ("embedding_size", "hidden_size", "intermediate_size")
    checks: ClassVar[Mapping[str, Callable[[Any], str]]] = {
        "embedding_size": integer(1),
        "num_hidden_groups": integer(1, MOST_LAYERS),
        "inner_group_num": integer(1, MOST_LAYERS),
        "classifier_dropout_prob": PROBABILITY,
    }

    vocab_size: int = 30000
    embedding_size: int = 128
    hidden_size: int = 4096
    num_hidden_groups: int = 1
    num_attention_heads: int = 64
    intermediate_size: int = 16384
    inner_group_num: int = 1
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    classifier_dropout_prob: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        n, groups = self.num_hidden_layers, self.num_hidden_groups
        if groups > max(n, 1):
            raise ConfigError(f"num_hidden_groups is {groups}, more than num_hidden_layers, {n}")
        if self.depth > MOST_LAYERS:
            inner = self.inner_group_num
            raise ConfigError(
                f"num_hidden_layers {n} times inner_group_num {inner} is more than {MOST_LAYERS} layers"
            )

    @property
    def groups(self) -> list[int]:
        """Group that each of the n layers runs."""
        n = self.num_hidden_layers
        # In floats, as transformers has it: in integers layer 9 of 18 in 14 groups would run another.
        return [int(i / (n / self.num_hidden_groups)) for i in range(n)]

    @property
    def depth(self) -> int:
        return self.num_hidden_layers * self.inner_group_num

    @property
    def layers_stored(self) -> tuple[str, int]:
        return "num_hidden_groups", self.num_hidden_groups

    @property
    def token_dropout_prob(self) -> float:
        return self.classifier_dropout_prob

    @property
    def feed_forward_dropout_prob(self) -> float:
        return 0.0  # transformers drops nothing here, unlike Google's code

    def with_layers(self, layers: Sequence[int]) -> Self:
        """The config of a model with some of the n layers, which share parameters as they do here."""
        groups = [self.groups[i] for i in layers]
        kept = list(dict.fromkeys(groups))
        config = self.replace(num_hidden_layers=len(groups), num_hidden_groups=len(kept))
        runs = [kept[g] for g in config.groups]
        if runs != groups:
            raise ConfigError(
                f"layers {list(layers)} run the groups {groups} of this ALBERT, and one of {len(groups)} "
                f"layers with these groups would run {runs}: choose layers of the groups in that order"
            )
        return config


def layer(c: ModelConfig, at: str) -> Layer:
    """The layer whose names begin with `at`: "albert.encoder.albert_layer_groups.0.albert_layers.0."."""
    return post_ln_layer(
        c,
        query=f"{at}attention.query",
        key=f"{at}attention.key",
        value=f"{at}attention.value",
        out=f"{at}attention.dense",
        attention_norm=f"{at}attention.LayerNorm",
        up=f"{at}ffn",
        down=f"{at}ffn_output",
        output_norm=f"{at}full_layer_layer_norm",
    )


def encoder(c: AlbertConfig, at: str) -> Encoder:
    """The encoder whose names begin with `at`: "albert.", or nothing in the bare encoder."""
    names = f"{at}encoder.albert_layer_groups"
    groups = [
        [layer(c, f"{names}.{g}.albert_layers.{j}.") for j in range(c.inner_group_num)]
        for g in range(c.num_hidden_groups)
    ]
    project = Linear(f"{at}encoder.embedding_hidden_mapping_in", c.hidden_size, c.embedding_size)
    embeddings = replace(bert.embeddings(c, f"{at}embeddings."), project=project)
    return Encoder(embeddings, tuple(layer for g in c.groups for layer in groups[g]))


def pooler(c: ModelConfig, at: str) -> Pooler:
    return Pooler(Linear(f"{at}pooler", c.hidden_size, c.hidden_size))


def masked_lm(c: ModelConfig, at: str, output: str = "logits") -> MaskedLMHead:
    return MaskedLMHead(
        c,
        dense=Linear("predictions.dense", c.embedding_size, c.hidden_size),
        activation=c.hidden_act,
        norm=Norm("predictions.LayerNorm", c.embedding_size, c.layer_norm_eps),
        decoder="predictions.decoder.weight",
        bias="predictions.bias",
        word=f"{at}embeddings.word_embeddings.weight",
        output=output,
    )


@dataclass(frozen=True)
class SentenceOrderHead(NextSentenceHead):
    """Sentence-order prediction: class 0, two segments in their order; class 1, swapped."""

    term: ClassVar[str] = "sentence_order"


def sentence_order(c: ModelConfig, at: str) -> SentenceOrderHead:
    classifier = Linear("sop_classifier.classifier", c.num_labels, c.hidden_size)
    return SentenceOrderHead(
        c, pooler(c, at), classifier, c.classifier_dropout_prob, "sop_logits", "sentence_order_label"
    )


def sequence(c: ModelConfig, at: str) -> SequenceHead:
    return replace(bert.sequence(c, at), pooler=pooler(c, at))


def choice(c: ModelConfig, at: str) -> ChoiceHead:
    return replace(bert.choice(c, at), pooler=pooler(c, at))


class AlbertBase(Model):
    """Base of ALBERT's classes."""

    config_class: ClassVar[type[ModelConfig]] = AlbertConfig
    base, title, layer_prefix = "albert", "ALBERT", "encoder.albert_layer_groups."
    build_encoder = staticmethod(encoder)


class AlbertModel(AlbertBase):
    """The bare encoder with its pooler: `last_hidden_state` [B, L, H], `pooler_output` [B, H]."""

    at, build_heads = "", (pooler,)


class AlbertForMaskedLM(AlbertBase):
    """Masked language model: `logits` [B, L, V]; the decoder is the word table (tied)."""

    build_heads = (masked_lm,)


class AlbertForSequenceClassification(AlbertBase):
    """Sequence classification with one label or many, or regression: `logits` [B, C]."""

    build_heads = (sequence,)


class AlbertForMultipleChoice(AlbertBase):
    """Multiple choice: `logits` [B, C], from input of shape [B, C, L]."""

    build_heads = (choice,)


class AlbertForTokenClassification(AlbertBase):
    """Token classification: `logits` [B, L, C]."""

    build_heads = (bert.token,)


class AlbertForQuestionAnswering(AlbertBase):
    """Extractive question answering: `start_logits` and `end_logits` [B, L]."""

    build_heads = (bert.span,)


class AlbertForPreTraining(AlbertBase):
    """Masked LM and sentence order: `prediction_logits` [B, L, V], `sop_logits` [B, 2]."""

    build_heads = (partial(masked_lm, output="prediction_logits"), sentence_order)


__all__ = [
    "AlbertConfig",
    "AlbertForMaskedLM",
    "AlbertForMultipleChoice",
    "AlbertForPreTraining",
    "AlbertForQuestionAnswering",
    "AlbertForSequenceClassification",
    "AlbertForTokenClassification",
    "AlbertModel",
]
