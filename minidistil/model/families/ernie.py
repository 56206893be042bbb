"""ERNIE (Sun et al. 2019, arXiv:1904.09223; ERNIE 2.0, arXiv:1907.12412): BERT with a table of task types.

The heads are BERT's. The table is there if the config says `use_task_id`; type 0 is every token's unless
`task_type_ids` say another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from minidistil.config import ModelConfig, frozen_config
from minidistil.config_fields import integer, truth
from minidistil.model.encoder import Encoder
from minidistil.model.families import bert
from minidistil.model.model import Model
from minidistil.model.modules import Table


@frozen_config
@dataclass(frozen=True, kw_only=True)
class ErnieConfig(bert.BertConfig):
    """Sizes and rates of an ERNIE."""

    model_type: ClassVar[str] = "ernie"
    checks: ClassVar[Mapping[str, Callable[[Any], str]]] = {
        "task_type_vocab_size": integer(1),
        "use_task_id": truth,
    }

    task_type_vocab_size: int = 3
    use_task_id: bool = False


def encoder(c: ErnieConfig, at: str) -> Encoder:
    """BERT's encoder, with one more table."""
    encoder = bert.encoder(c, at)
    if not c.use_task_id:
        return encoder
    name, size = f"{at}embeddings.task_type_embeddings.weight", c.task_type_vocab_size
    table = Table(name, "task_type_vocab_size", size, c.hidden_size, "task_type_ids")
    embeddings = encoder.embeddings
    return replace(encoder, embeddings=replace(embeddings, types=(*embeddings.types, table)))


class ErnieBase(Model):
    """Base of ERNIE's classes."""

    config_class: ClassVar[type[ModelConfig]] = ErnieConfig
    base, title, layer_prefix = "ernie", "ERNIE", "encoder.layer."
    build_encoder = staticmethod(encoder)


class ErnieModel(ErnieBase):
    """The bare encoder with its pooler, as `BertModel`."""

    at, build_heads = "", (bert.pooler,)


class ErnieForMaskedLM(ErnieBase):
    """Masked language model, as `BertForMaskedLM`."""

    build_heads = (bert.masked_lm,)


class ErnieForSequenceClassification(ErnieBase):
    """Sequence classification or regression, as `BertForSequenceClassification`."""

    build_heads = (bert.sequence,)


class ErnieForMultipleChoice(ErnieBase):
    """Multiple choice, as `BertForMultipleChoice`."""

    build_heads = (bert.choice,)


class ErnieForTokenClassification(ErnieBase):
    """Token classification, as `BertForTokenClassification`."""

    build_heads = (bert.token,)


class ErnieForQuestionAnswering(ErnieBase):
    """Extractive question answering, as `BertForQuestionAnswering`."""

    build_heads = (bert.span,)


class ErnieForNextSentencePrediction(ErnieBase):
    """Next-sentence prediction, as `BertForNextSentencePrediction`."""

    build_heads = (bert.next_sentence,)


class ErnieForPreTraining(ErnieBase):
    """Masked LM and next sentence, as `BertForPreTraining`."""

    build_heads = bert.PRETRAINING


__all__ = [
    "ErnieConfig",
    "ErnieForMaskedLM",
    "ErnieForMultipleChoice",
    "ErnieForNextSentencePrediction",
    "ErnieForPreTraining",
    "ErnieForQuestionAnswering",
    "ErnieForSequenceClassification",
    "ErnieForTokenClassification",
    "ErnieModel",
]
