"""Numbers of reports as pages write them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

# Field of a model in report.json: heading, how it is written. Other numbers follow under their own names.
FIELDS = {
    "layers": ("layers", "{:,.15g}"),
    "parameters": ("parameters", "{:,.15g}"),
    "words": ("words", "{:,.15g}"),
    "bytes": ("bytes", "{:,.15g}"),
    "sentences_per_second": ("sentences/s", "{:.0f}"),
    "sequences_per_second": ("sequences/s", "{:.0f}"),
    "to_translation": ("to translation", "{:.1%}"),
    "to_source": ("to source", "{:.1%}"),
    "cosine": ("cosine", "{:.3f}"),
    "masked_lm": ("loss", "{:.3f}"),
    "perplexity": ("perplexity", "{:.1f}"),
    "accuracy": ("accuracy", "{:.1%}"),
    "retained": ("retained", "{:.1%}"),
}


class Comparison(NamedTuple):
    """A table of numbers as they are written, with a heading for each column and each row."""

    columns: list[str]
    rows: list[tuple[str, list[str]]]


def number(value: Any) -> float | None:
    """A finite number as a float; None of anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def mean(value: Any) -> float | None:
    """A number, or the mean over seeds."""
    return number(value.get("mean") if isinstance(value, Mapping) else value)


def heading(field: str) -> str:
    """Name of a number for people."""
    return FIELDS[field][0] if field in FIELDS else field.replace("_per_second", "/s").replace("_", " ")


def titled(field: str, positive: Any = None) -> str:
    """`heading`; of F1 with the class that it is of, where there is one."""
    return heading(field) + (f" of {positive}" if field == "f1" and positive is not None else "")


def is_percent(field: str) -> bool:
    """True if a number is written as a percentage."""
    return field in FIELDS and FIELDS[field][1].endswith("%}")


def written(field: str, value: Any) -> str:
    """A number as its column has it, or a mean with the lowest and the highest; "" of anything else."""
    if isinstance(value, Mapping):
        middle, low, high = (written(field, value.get(key)) for key in ("mean", "lowest", "highest"))
        return middle if low == high else f"{middle} ({low} to {high})"
    if number(value) is None:
        return ""
    if field in FIELDS:
        return FIELDS[field][1].format(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.0f}" if field.endswith("per_second") else f"{value:.4g}"
