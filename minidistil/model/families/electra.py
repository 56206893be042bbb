"""ELECTRA (Clark et al. 2020, arXiv:2003.10555): BERT's layers on tables of another width, without a pooler.

It comes in pairs. A small masked LM, the generator, puts words of its own in the place of masked ones; the
discriminator tells for each token if it was replaced, and is what one fine-tunes.
`minidistil.train.replaced_tokens` has the training of both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from minidistil.config import ModelConfig, frozen_config
from minidistil.config_fields import PROBABILITY, integer, one_of
from minidistil.model.encoder import Encoder
from minidistil.model.families import bert, roberta
from minidistil.model.heads import ChoiceHead, Pooler
from minidistil.model.model import Model
from minidistil.model.modules import Linear, Norm
from minidistil.model.token_heads import MaskedLMHead, ReplacedTokenHead


@frozen_config
@dataclass(frozen=True, kw_only=True)
class ElectraConfig(bert.BertConfig):
    """Sizes and rates of an ELECTRA.

    `embedding_size` is the width of the tables; where it is not `hidden_size`, a linear layer follows them.
    The fields `summary_*` are those of multiple choice, a layer on the first token.
    """

    model_type: ClassVar[str] = "electra"
    required: ClassVar[Mapping[str, Any]] = {**bert.BertConfig.required, "summary_use_proj": True}
    checks: ClassVar[Mapping[str, Callable[[Any], str]]] = {
        "embedding_size": integer(1),
        "summary_type": one_of(("first",)),
        "summary_activation": one_of(("gelu", "relu", "tanh")),
        "summary_last_dropout": PROBABILITY,
    }

    embedding_size: int = 128
    hidden_size: int = 256
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    summary_type: str = "first"
    summary_activation: str = "gelu"
    summary_last_dropout: float = 0.1

    @property
    def is_generator(self) -> bool:
        return self.architectures == ("ElectraForMaskedLM",)


def encoder(c: ElectraConfig, at: str) -> Encoder:
    """BERT's encoder, with tables of width E."""
    H, E = c.hidden_size, c.embedding_size
    project = Linear(f"{at}embeddings_project", H, E) if E != H else None
    embeddings = replace(bert.embeddings(c, f"{at}embeddings."), project=project)
    return replace(bert.encoder(c, at), embeddings=embeddings)


def masked_lm(c: ElectraConfig, at: str) -> MaskedLMHead:
    E = c.embedding_size
    return MaskedLMHead(
        c,
        dense=Linear("generator_predictions.dense", E, c.hidden_size),
        activation="gelu",  # whatever the layers' is
        norm=Norm("generator_predictions.LayerNorm", E, c.layer_norm_eps),
        decoder="generator_lm_head.weight",
        bias="generator_lm_head.bias",
        word=f"{at}embeddings.word_embeddings.weight",
    )


def replaced_tokens(c: ModelConfig, at: str) -> ReplacedTokenHead:
    names, H = "discriminator_predictions.", c.hidden_size
    dense, prediction = Linear(f"{names}dense", H, H), Linear(f"{names}dense_prediction", 1, H)
    return ReplacedTokenHead(dense, c.hidden_act, prediction)


def choice(c: ElectraConfig, at: str) -> ChoiceHead:
    H = c.hidden_size
    summary = Pooler(Linear("sequence_summary.summary", H, H), c.summary_activation)
    return ChoiceHead(c, summary, Linear("classifier", 1, H), c.summary_last_dropout)


class ElectraBase(Model):
    """Base of ELECTRA's classes."""

    config_class: ClassVar[type[ModelConfig]] = ElectraConfig
    base, title, layer_prefix = "electra", "ELECTRA", "encoder.layer."
    build_encoder = staticmethod(encoder)


class ElectraModel(ElectraBase):
    """The bare encoder: `last_hidden_state` [B, L, H]."""

    at, build_heads = "", ()


class ElectraForPreTraining(ElectraBase):
    """The discriminator: `logits` [B, L], above 0 for a token that seems to be replaced."""

    build_heads = (replaced_tokens,)


class ElectraForMaskedLM(ElectraBase):
    """The generator, a masked language model: `logits` [B, L, V]; the decoder is the word table (tied)."""

    build_heads = (masked_lm,)


class ElectraForSequenceClassification(ElectraBase):
    """Sequence classification with one label or many, or regression: `logits` [B, C]."""

    build_heads = (partial(roberta.sequence, activation="gelu"),)


class ElectraForMultipleChoice(ElectraBase):
    """Multiple choice: `logits` [B, C], from input of shape [B, C, L]."""

    build_heads = (choice,)


class ElectraForTokenClassification(ElectraBase):
    """Token classification: `logits` [B, L, C]."""

    build_heads = (bert.token,)


class ElectraForQuestionAnswering(ElectraBase):
    """Extractive question answering: `start_logits` and `end_logits` [B, L]."""

    build_heads = (bert.span,)


__all__ = [
    "ElectraConfig",
    "ElectraForMaskedLM",
    "ElectraForMultipleChoice",
    "ElectraForPreTraining",
    "ElectraForQuestionAnswering",
    "ElectraForSequenceClassification",
    "ElectraForTokenClassification",
    "ElectraModel",
]
