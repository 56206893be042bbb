"""View of an evaluation: confusion, classes, calibration, thresholds, examples with the highest loss.

Numbers come from a report and from `evaluation.json`, or from `minidistil evaluate`. What is of another type
than expected is left out: files may be of another version, or damaged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from minidistil.report.curves import Plot
from minidistil.report.numbers import Comparison, heading, number, titled, written

MOST_CLASSES = (
    12  # of a confusion matrix that somebody can read; of more the most frequent mistakes are shown
)
MOST_ROWS = 30  # of a table of classes, and of mistakes
OWN = ("layers", "parameters", "bytes")  # numbers of a model that no evaluation measures


class Cell(NamedTuple):
    """A cell of a confusion matrix: a number of examples, and its share of the row."""

    examples: int
    share: float


class Example(NamedTuple):
    """An example of those with the highest loss.

    Attributes
    ----------
    value : str
        The loss, or what else ranks it.
    texts : list of (str, str)
        Names and texts.
    right, given : str
        The right answer and the model's.
    probability : str
        Of the model's answer; "" if not known.
    line : str
        Of the file; "" if not known.
    """

    value: str
    texts: list[tuple[str, str]]
    right: str
    given: str
    probability: str
    line: str


@dataclass(frozen=True)
class Evaluation:
    """View of one model's evaluation; what is not known is empty.

    Attributes
    ----------
    metrics : list of (str, str)
        Names and numbers.
    names : list of str
        Classes of the confusion matrix.
    confusion : list of (str, list of Cell)
        A row for each right class.
    counted : str
        What the matrix counts.
    mistakes : list of (str, str, str)
        Right class, class that it was taken for, number: the most frequent.
    classes : Comparison or None
    all_classes : int
        How many there are, where the table has not all.
    calibration, thresholds : Plot or None
    bins : Comparison or None
        Numbers of the calibration.
    measure, about : str
        What ranks the examples, and its definition.
    lowest : bool
        Whether they have the lowest of those numbers, and not the highest.
    of : str
        Number of the examples that they are chosen from.
    examples : list of Example
    """

    metrics: list[tuple[str, str]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    confusion: list[tuple[str, list[Cell]]] = field(default_factory=list)
    counted: str = "examples"
    mistakes: list[tuple[str, str, str]] = field(default_factory=list)
    classes: Comparison | None = None
    all_classes: int = 0
    calibration: Plot | None = None
    thresholds: Plot | None = None
    bins: Comparison | None = None
    measure: str = ""
    about: str = ""
    lowest: bool = False
    of: str = ""
    examples: list[Example] = field(default_factory=list)

    def __bool__(self) -> bool:
        """True if there is more than numbers."""
        return bool(self.confusion or self.mistakes or self.classes or self.thresholds or self.examples)


def evaluation_view(facts: Mapping[str, Any], details: Mapping[str, Any]) -> Evaluation:
    """View of what was measured, `facts`, and of the `Details` of it."""
    known = {**details, **{key: value for key, value in facts.items() if value is not None}}
    classes = _mappings(known.get("classes") or known.get("types"))
    names = _names(known.get("names")) or list(classes)
    matrix = _matrix(known.get("confusion"), names)
    small = 0 < len(names) <= MOST_CLASSES
    worst = known.get("worst")
    worst = worst if isinstance(worst, Mapping) else {}
    calibration = _rows(known.get("calibration"))
    shown = list(classes)
    if len(shown) > MOST_ROWS:
        shown = sorted(shown, key=lambda name: number(classes[name].get("f1")) or 0.0)[:MOST_ROWS]
    return Evaluation(
        metrics=list(_metrics(facts)),
        names=names,
        confusion=[(name, _cells(row)) for name, row in zip(names, matrix, strict=True)]
        if matrix and small
        else [],
        counted=str(known.get("counted", "examples")),
        mistakes=[] if small else _mistakes(names, matrix, known.get("confusions")),
        classes=_class_table({name: classes[name] for name in shown}) if classes else None,
        all_classes=len(classes) if len(shown) < len(classes) else 0,
        calibration=_calibration_plot(calibration),
        bins=_bins(calibration),
        thresholds=_threshold_plot(_rows(known.get("thresholds"))),
        measure=str(worst.get("measure", "")),
        about=str(worst.get("about", "")),
        lowest=worst.get("lowest") is True,
        of=written("of", worst.get("of")),
        examples=[_example(row) for row in _rows(worst.get("examples"))],
    )


def _metrics(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in facts.items():
        if number(value) is not None and key not in OWN:
            yield titled(key, facts.get("positive")), written(key, value)


def _mappings(value: Any) -> dict[str, Mapping[str, Any]]:
    rows = value.items() if isinstance(value, Mapping) else ()
    return {str(name): row for name, row in rows if isinstance(row, Mapping)}


def _rows(value: Any) -> list[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def _names(value: Any) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list) else []


def _matrix(value: Any, names: Sequence[str]) -> list[list[int]]:
    """Counts of a confusion matrix; empty if they are not [C, C]."""
    if not isinstance(value, list) or len(value) != len(names):
        return []
    for row in value:
        if not isinstance(row, list) or len(row) != len(names):
            return []
        if any(number(count) is None or count < 0 for count in row):
            return []
    return [[int(count) for count in row] for row in value]


def _cells(row: Sequence[int]) -> list[Cell]:
    total = sum(row)
    return [Cell(count, count / total if total else 0.0) for count in row]


def _mistakes(
    names: Sequence[str], matrix: Sequence[Sequence[int]], listed: Any
) -> list[tuple[str, str, str]]:
    """The most frequent mistakes: of a matrix, or those that a report lists."""
    found: list[tuple[str, str, int]] = [
        (names[i], names[j], count)
        for i, row in enumerate(matrix)
        for j, count in enumerate(row)
        if i != j and count
    ]
    for row in _rows(listed):
        count = number(row.get("examples"))
        if count is not None:
            found.append((str(row.get("label", "")), str(row.get("chosen", "")), int(count)))
    found.sort(key=lambda mistake: -mistake[2])
    return [(right, given, f"{count:,}") for right, given, count in found[:MOST_ROWS]]


def _class_table(classes: Mapping[str, Mapping[str, Any]]) -> Comparison:
    columns = list(dict.fromkeys(key for scores in classes.values() for key in scores))
    rows = [(name, [written(key, scores.get(key)) for key in columns]) for name, scores in classes.items()]
    return Comparison([NAMES.get(key, heading(key)) for key in columns], rows)


NAMES = {"f1": "F1", "support": "number", "auroc": "area under ROC"}


def _calibration_plot(rows: Sequence[Mapping[str, Any]]) -> Plot | None:
    points = [
        (x, y)
        for row in rows
        if (x := number(row.get("confidence"))) is not None and (y := number(row.get("accuracy"))) is not None
    ]
    if not points:
        return None
    low = min(x for x, _ in points)
    return Plot(
        "Calibration",
        "accuracy (% of the examples)",
        {"the model": points, "calibrated": [(low, low), (1.0, 1.0)]},
        x="confidence: probability of the answer",
        note="Each point has the answers whose probability is in one interval. Below the line of a "
        "calibrated model it is surer than it is right; above it is less sure.",
        scale={"percent": True, "least": 1.0, "bounds": (0.0, 1.0)},
    )


def _bins(rows: Sequence[Mapping[str, Any]]) -> Comparison | None:
    found = []
    for row in rows:
        low, high = number(row.get("low")), number(row.get("high"))
        if low is None or high is None:
            continue
        cells = [
            written("", row.get("examples")),
            *(_percent(row.get(k)) for k in ("confidence", "accuracy")),
        ]
        found.append((f"{low:.1%} to {high:.1%}", cells))
    return Comparison(["examples", "mean confidence", "accuracy"], found) if found else None


def _threshold_plot(rows: Sequence[Mapping[str, Any]]) -> Plot | None:
    """Curves of whatever the rows have over the threshold."""
    names = list(dict.fromkeys(key for row in rows for key in row if key != "threshold"))
    series = {
        NAMES.get(name, name): [
            (x, y)
            for row in rows
            if (x := number(row.get("threshold"))) is not None and (y := number(row.get(name))) is not None
        ]
        for name in names
    }
    if not any(series.values()):
        return None
    answered = "answered" in names
    return Plot(
        "Thresholds",
        "share (%)",
        {name: points for name, points in series.items() if points},
        x="threshold: least probability of an answer",
        note="Answers below the threshold are withheld (predict --threshold): the share of examples "
        "that are answered, and the accuracy of those."
        if answered
        else "A label is given at the threshold or above. Over all labels together.",
        scale={"percent": True, "least": 1.0, "bounds": (0.0, 1.0)},
    )


def _percent(value: Any) -> str:
    share = number(value)
    return "" if share is None else f"{share:.1%}"


def _example(row: Mapping[str, Any]) -> Example:
    texts = row.get("texts")
    return Example(
        value=written("", row.get("value")),
        texts=[(str(k), str(v)) for k, v in texts.items()] if isinstance(texts, Mapping) else [],
        right=_answer(row.get("right")),
        given=_answer(row.get("given")),
        probability=_percent(row.get("probability")),
        line=written("line", row.get("line")),
    )


def _answer(value: Any) -> str:
    return written("", value) if number(value) is not None else "" if value is None else str(value)
