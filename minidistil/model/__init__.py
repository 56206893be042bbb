"""Models: parameters, an encoder composed of modules, heads, and the families."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minidistil.model.families import (
    config_from_dict,
    load_config,
    model_class,
    model_classes,
    public,
    public_names,
)
from minidistil.model.loading import class_of, class_or_encoder, load_model, load_to_answer
from minidistil.model.model import Model

if TYPE_CHECKING:
    from minidistil.model.families import *  # noqa: F403

__all__ = [
    "Model",
    "class_of",
    "class_or_encoder",
    "config_from_dict",
    "load_config",
    "load_model",
    "load_to_answer",
    "model_class",
    "model_classes",
]


def __getattr__(name: str) -> Any:
    """Configs and classes of the families, imported when first used."""
    if name == "MODELS":
        return model_classes()
    if (kind := public(name)) is None:
        raise AttributeError(f"module 'minidistil.model' has no attribute {name!r}")
    return kind


def __dir__() -> list[str]:
    """Names for completion."""
    return sorted([*__all__, *public_names()])
