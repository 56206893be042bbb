"""Tables of an evaluation by class, at most 80 columns wide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST_CLASSES = 20  # lines that are read rather than skipped
NAME, CELL = 24, 9


def class_table(found: Mapping[str, Any]) -> list[str]:
    """A line for each class, or type of entity: those with the lowest F1, where there are many."""
    classes: Mapping[str, Mapping[str, float]] = found.get("classes") or found.get("types") or {}
    if not classes:
        return []
    columns = list(dict.fromkeys(key for scores in classes.values() for key in scores))
    shown = list(classes)
    if len(shown) > MOST_CLASSES:
        shown = sorted(shown, key=lambda name: classes[name]["f1"])[:MOST_CLASSES]
    lines = [f"{'':{NAME}}" + "".join(f"{HEADINGS.get(key, key):>{CELL}}" for key in columns)]
    for name in shown:
        lines.append(f"{_fit(name, NAME):{NAME}}" + "".join(_cell(classes[name].get(key)) for key in columns))
    if len(shown) < len(classes):
        lines.append(f"({len(shown)} of {len(classes)} classes, those with the lowest F1; --json has all)")
    return lines


HEADINGS = {"precision": "precis.", "support": "number", "average_precision": "av.prec."}


def confusion_table(found: Mapping[str, Any]) -> list[str]:
    """The confusion matrix, if a line has room for its columns."""
    matrix, names = found.get("confusion"), list(found.get("classes", {}))
    width = max(6, *(len(str(n)) + 1 for row in matrix for n in row)) if matrix else 0
    if not matrix or NAME + width * len(names) > 80:
        return []
    width = min(12, (80 - NAME) // len(names))
    lines = [f"{'is, and was taken for':{NAME}}" + "".join(f"{_fit(n, width - 1):>{width}}" for n in names)]
    for name, row in zip(names, matrix, strict=True):
        lines.append(f"{_fit(name, NAME):{NAME}}" + "".join(f"{n:{width}}" for n in row))
    return lines


def _fit(name: str, width: int) -> str:
    """A name padded or cut to some columns, one of them left free."""
    name = " ".join(name.split())
    return name if len(name) < width else name[: width - 2] + "…"


def _cell(value: float | None) -> str:
    if value is None:
        return f"{'':{CELL}}"
    return f"{value:{CELL},}" if isinstance(value, int) else f"{value:{CELL}.4f}"
