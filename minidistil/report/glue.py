"""Tables of GLUE as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from minidistil.report.numbers import Comparison, heading, number

MEANS = {
    "macro": "mean of the first metrics",
    "glue_score": "mean as GLUE counts",
    "median_macro": "the same of medians over seeds: first metrics",
    "median_glue_score": "as GLUE counts",
    "measured": "tasks",
}
TWICE = ("primary", "score", "lowest", "highest", "median", "median_score")  # what a task's numbers say again


def glue_means(models: Mapping[str, Mapping[str, Any]]) -> Comparison:
    """Means over GLUE's tasks, a column for each model, in hundredths."""
    rows = [
        (name, [_hundredths(key, facts.get(key)) for facts in models.values()]) for key, name in MEANS.items()
    ]
    return Comparison(list(models), [(name, cells) for name, cells in rows if any(cells)])


def glue_tasks(models: Mapping[str, Mapping[str, Any]], more: Iterable[str] = ()) -> Comparison:
    """Metrics of each task, a column for each model, in hundredths; `more` are tasks without numbers."""
    tasks = {
        model: facts["tasks"] if isinstance(facts.get("tasks"), Mapping) else {}
        for model, facts in models.items()
    }
    names = dict.fromkeys([*(name for found in tasks.values() for name in found), *more])
    return Comparison(
        list(tasks), [(name, [_metrics(found.get(name)) for found in tasks.values()]) for name in names]
    )


def _metrics(facts: Any) -> str:
    """Metrics of a task, and over seeds the range of the first."""
    if not isinstance(facts, Mapping):
        return ""
    shown = [
        f"{heading(key)} {100 * value:.1f}"
        for key, given in facts.items()
        if key not in TWICE and (value := number(given)) is not None
    ]
    low, high = number(facts.get("lowest")), number(facts.get("highest"))
    if shown and low is not None and high is not None:
        shown[0] += f" ({100 * low:.1f} to {100 * high:.1f})"
    return ", ".join(shown)


def _hundredths(key: str, value: Any) -> str:
    found = number(value)
    return "" if found is None else f"{found:.0f}" if key == "measured" else f"{100 * found:.1f}"
