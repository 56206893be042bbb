"""Out-of-scope texts: their labels in files, and the settings of their detection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minidistil.tasks.similarity.encoder_task import EncoderSettings
from minidistil.tasks.training_settings import NONE
from minidistil.text.labels import label_name

SPELLINGS = {"", NONE, "oos", "out_of_scope", "out-of-scope"}  # in files, in lower case


@dataclass(frozen=True)
class ScopeSettings(EncoderSettings):
    """Settings of intents, as `task.`.

    Attributes
    ----------
    entries : str or None
        File of texts with labels that an encoder compares with.
    threshold : float or None
        Lowest score of an answer, below which it is "none". None: the model's own, if it has one.
    """

    entries: str | None = None
    threshold: float | None = None


def or_none(label: Any) -> str:
    """Name of a label, or `NONE` for any of its spellings."""
    name = label_name(label)
    return NONE if name.lower() in SPELLINGS else name
