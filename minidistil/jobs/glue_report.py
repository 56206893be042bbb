"""Report on GLUE as a whole: means over tasks and seeds, comparison with the teacher, and the table."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from minidistil.jobs.comparison import BASELINE, compared
from minidistil.jobs.results import format_table
from minidistil.tasks.glue import AX, DIAGNOSTIC, GLUE, macro, summary

MEANS = {
    "macro": ("mean", "first metric"),
    "glue_score": ("mean", "as GLUE counts"),
    "median_macro": ("median", "first metric"),
    "median_glue_score": ("median", "as GLUE counts"),
}


def spread_summary(measured: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """`summary` of the metrics of each task, or of their means over several runs.

    Parameters
    ----------
    measured : mapping of str to sequence of mapping
        For each task what each of its runs has, of which metrics are taken.

    Returns
    -------
    dict
        Of several runs also "median_macro" and "median_glue_score", the means over tasks of the medians, as
        DistilBERT's table has them; in "tasks" "lowest" and "highest" of the primary metric, "median" and
        "median_score".
    """
    shares = {
        name: [  # null in a report of before is what is not defined
            {k: math.nan if v is None else v for k, v in facts.items() if v is None or isinstance(v, float)}
            for facts in runs
        ]
        for name, runs in measured.items()
    }
    summed = summary({name: _over_runs(fmean, runs) for name, runs in shares.items()})
    if all(len(runs) == 1 for runs in shares.values()):
        return summed
    medians = summary({name: _over_runs(_median, runs) for name, runs in shares.items()})
    for name, facts in medians["tasks"].items():
        summed["tasks"][name] |= {"median": facts["primary"], "median_score": facts["score"]}
        if len(shares[name]) > 1:
            values = [run[GLUE[name].main_metric] for run in shares[name]]
            summed["tasks"][name] |= {"lowest": min(values), "highest": max(values)}
    return {**summed, **{f"median_{mean}": medians[mean] for mean in ("macro", "glue_score")}}


def _over_runs(of: Callable[[list[float]], float], runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean or median of each metric that all runs have."""
    return {k: of([run[k] for run in runs]) for k in runs[0] if all(k in run for run in runs)}


def _median(values: list[float]) -> float:
    return median(0.0 if math.isnan(value) else value for value in values)  # as `macro` counts them


def comparison_of_means(reports: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Comparison of student, teacher and baseline by the mean of the first metrics, see `compared`.

    Parameters
    ----------
    reports : mapping of str to sequence of mapping
        For each task the reports of its seeds.
    """
    seeds = [_means(dict(zip(reports, runs, strict=True))) for runs in zip(*reports.values(), strict=True)]
    found: dict[str, Any] = compared(seeds[0], seeds)["comparison"]
    return found


def _means(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Report on the mean of the first metrics of one run of each task."""
    models = {}
    for model, facts in next(iter(runs.values()))["models"].items():
        scores = [run["models"][model][GLUE[name].main_metric] for name, run in runs.items()]
        mean = macro([math.nan if score is None else score for score in scores])
        models[model] = {"mean_first_metric": mean, "parameters": facts["parameters"]}
    return {"primary": "mean_first_metric", "models": models}


def glue_table(report: Mapping[str, Any]) -> str:
    """The report as a table of at most 80 columns, in hundredths."""
    models, kept = report["models"], report.get("retention")
    main = models.get("student") or models["model"]
    several = any("lowest" in facts for facts in main["tasks"].values())
    ranges = several and BASELINE not in models  # there is no room for both
    order = ["against" if "against" in models else "teacher", "student", "model", BASELINE]
    order = [name for name in order if name in models]
    rows = [[_named("", ""), *order, *(["low - high"] if ranges else []), *(["retained"] if kept else [])]]
    for name, facts in main["tasks"].items():
        cells = [_metrics(models[model]["tasks"].get(name, {}), name) for model in order]
        if ranges:
            low, high = (facts.get(key) for key in ("lowest", "highest"))
            cells.append("" if low is None else f"{100 * low:.1f} - {100 * high:.1f}")
        if kept:
            cells.append(_percent(kept["tasks"].get(name)))
        shown = ", ".join(title for metric, title in GLUE[name].metrics.items() if metric in facts)
        rows.append([_named(GLUE[name].title, shown), *cells])
    for key, names in MEANS.items():
        if key in main:
            usual = key.removeprefix("median_")  # of a single run
            cells = [f"{100 * models[m].get(key, models[m][usual]):.1f}" for m in order] + [""] * ranges
            rows.append([_named(*names), *cells, *([_percent(kept.get(key))] if kept else [])])
    if DIAGNOSTIC in main:
        cells = [f"{100 * models[m][DIAGNOSTIC]:.1f}" if DIAGNOSTIC in models[m] else "" for m in order]
        rows.append([_named(AX.title, "Matthews"), *cells])
    note = f"{main['measured']} of {len(GLUE)} tasks."
    if "median_macro" in main:
        note += " Median: mean over the tasks of the medians over seeds."
    if kept and kept["measured"] < main["measured"]:
        note += f" Retained: of the {kept['measured']} that both were measured on."
    if report["missing"]:
        note += " Missing: " + "; ".join(f"{GLUE[n].title} ({why})" for n, why in report["missing"].items())
        note += "."
    shown = format_table(rows, [24, *[14] * (len(rows[0]) - 1)])
    said = [note, *report.get("comparison", {}).get("sentences", [])]
    below = [line for text in said for line in textwrap.wrap(text, 80, break_on_hyphens=False)]
    return "\n".join([shown, "", *below])


def _named(task: str, what: str) -> str:
    return f"{task:6} {what:17}"


def _metrics(facts: Mapping[str, float], name: str) -> str:
    return " / ".join(f"{100 * facts[metric]:.1f}" for metric in GLUE[name].metrics if metric in facts)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}%"
