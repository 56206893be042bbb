"""The one table of the terms of a distillation objective, by the names that recipes give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minidistil.distill.layer_terms import PKD, Attention, Cosine, Hidden, Relations
from minidistil.distill.score_terms import HardLabels, Logits, SoftLabels
from minidistil.distill.sentence_terms import Contrastive, Embedding, Triplet
from minidistil.distill.term import Term

TERMS: dict[str, type[Term]] = {
    "soft": SoftLabels,
    "hard": HardLabels,
    "logits": Logits,
    "cosine": Cosine,
    "hidden": Hidden,
    "pkd": PKD,
    "attention": Attention,
    "relations": Relations,
    "embedding": Embedding,
    "triplet": Triplet,
    "contrastive": Contrastive,
}
RENAMED = {"patient": "pkd"}


def needs_labels(weights: Mapping[str, float | Mapping[str, Any]]) -> bool:
    """True if `Distillation` with these weights needs the labels of the data."""
    return any(weight_of(given) for name, given in weights.items() if TERMS.get(name, Term).needs_labels)


def weight_of(given: float | Mapping[str, Any]) -> Any:
    """The weight of a term that is given as one, or with its options."""
    return given.get("weight", Term.weight) if isinstance(given, Mapping) else given
