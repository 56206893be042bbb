"""Details of an evaluation, beside its metrics: examples with the highest loss, calibration, thresholds.

An evaluation fills in a `Details` if it is given one. A job writes it as `evaluation.json` beside its report,
and a page shows it (`minidistil.report.evaluation`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array, Bool, Float64

MOST = 20  # examples that are kept: somebody reads them
LONGEST = 500  # characters that are kept of a text
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass
class Details:
    """Collector of what an evaluation knows beside its metrics.

    Attributes
    ----------
    most : int
        Examples that are kept.
    found : dict
        Facts by key, as JSON; each is optional. "worst": the examples, see `keep_worst`.
        "calibration": rows of `minidistil.metrics.CalibrationBin`. "thresholds": rows with a "threshold" and
        what holds at it. "confusion" and "names": a confusion matrix, its rows the right answers, and what
        its rows and columns are called. "classes": scores of each class.
    """

    most: int = MOST
    found: dict[str, Any] = field(default_factory=dict)

    def keep_worst(
        self,
        values: npt.ArrayLike,
        describe: Callable[[int], Mapping[str, Any]],
        *,
        measure: str,
        about: str,
        lowest: bool = False,
        ties: npt.ArrayLike | None = None,
    ) -> None:
        """Keep the examples with the highest values; of equal ones the first.

        Parameters
        ----------
        values : float [N]
            A number of each example, such as its loss.
        describe : callable
            Facts about an example by its index: "texts", a mapping of names to texts; "right" and "given",
            the right answer and the model's; "probability" that the model gives its answer; "line" of the
            file. Texts are cut after `LONGEST` characters.
        measure : str
            Name of the number, with its unit.
        about : str
            Definition of the number, a sentence.
        lowest : bool
            Keep those with the lowest values instead.
        ties : float [N], optional
            Of equal values those with the highest of these come first.
        """
        numbers = np.asarray(values, np.float64)
        keys = () if ties is None else (-np.asarray(ties, np.float64),)
        order = np.lexsort((*keys, numbers if lowest else -numbers))[: self.most].tolist()
        examples = [{"value": float(numbers[i]), **_cut(describe(i))} for i in order]
        self.found["worst"] = {
            "measure": measure, "about": about, "lowest": lowest, "of": len(numbers), "examples": examples,
        }  # fmt: skip


def nats(probabilities: npt.ArrayLike) -> Float64:
    """-ln p of the probabilities of right answers; finite where p is 0."""
    p = np.asarray(probabilities, np.float64)
    return -np.log(np.maximum(p, np.finfo(np.float64).tiny))


def answered_above(confidence: Array, correct: Bool) -> list[dict[str, float | None]]:
    """Share of examples that are answered, and the accuracy of those, if answers need a probability.

    Thresholds below every probability are left out, but for the highest of them.
    """
    rows: list[dict[str, float | None]] = []
    for threshold in THRESHOLDS:
        above = confidence >= threshold
        if above.all():
            rows.clear()
        accuracy = float(correct[above].mean()) if above.any() else None
        rows.append({"threshold": threshold, "answered": float(above.mean()), "accuracy": accuracy})
    return rows


def line_of(examples: Any, i: int) -> dict[str, Any]:
    """Line of an example in its file, if the file has lines."""
    lines: Sequence[int] = getattr(examples, "lines", ())
    return {"line": lines[i]} if i < len(lines) else {}


def excerpt(text: str, start: int, end: int, around: int = 160) -> str:
    """Characters [start, end) of a text with some before and behind."""
    low, high = max(0, start - around), min(len(text), end + around)
    return ("…" if low else "") + text[low:high] + ("…" if high < len(text) else "")


def _cut(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts with short texts, which can be written in UTF-8."""
    return {
        key: _short(value) if isinstance(value, str) else _cut(value) if isinstance(value, Mapping) else value
        for key, value in facts.items()
    }


def _short(text: str) -> str:
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
