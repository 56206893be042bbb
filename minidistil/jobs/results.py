"""Reports: summarised over several seeds, and as tables."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minidistil.errors import ConfigError
from minidistil.files import only_writer, write_json
from minidistil.jobs.comparison import RETAINED, compared, spread
from minidistil.jobs.comparison import metric_title as metric_title


def over_seeds(tune: Callable[[int, Path], dict[str, Any]], seeds: int, out: Path) -> dict[str, Any]:
    """Run a fine-tuning with seeds 0, 1, ..., each in a directory of its own, and summarise the reports.

    Parameters
    ----------
    tune : callable
        Gives the report of a seed in a directory.
    seeds : int
    out : Path

    Returns
    -------
    dict
        Also in `report.json`: for each model and metric "mean", "lowest" and "highest" over the seeds.

    Raises
    ------
    ConfigError
        `out` holds another run.
    StorageError
        Another process is writing there.
    """
    with only_writer(out):
        if (out / "run.json").exists():
            raise ConfigError(f"{out} holds a single run: choose another --out, or remove it")
        runs = [tune(seed, out / f"seed-{seed}") for seed in range(seeds)]
        report = compared(_summary(runs), runs)
        write_json(out / "report.json", report)
    return report


def _summary(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The first of the reports, with means and spreads for numbers."""
    models: dict[str, Any] = {}
    for name in reports[0]["models"]:
        each = [report["models"][name] for report in reports]
        models[name] = spreads(each) | {key: each[0][key] for key in ("positive",) if key in each[0]}
    about = {k: v for k, v in reports[0].items() if k != "models"}
    if any(report.get("stages") != about.get("stages") for report in reports):
        del about["stages"]  # patience ended them at different steps
    return {**about, "seeds": len(reports), "models": models}


def spreads(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean, lowest and highest of each number of several runs."""
    # A report that is read again has null for what is not defined.
    defined = [{k: math.nan if v is None else v for k, v in facts.items()} for facts in runs]
    found = {}
    for key in numbers(defined[0]):
        if all(key in facts for facts in defined):
            found[key] = spread([facts[key] for facts in defined])
    return found


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Metrics of an evaluation that are one number."""
    return {k: v for k, v in metrics.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}


WHOLE, NAME = 80, 23  # columns of a table, and of its first cell


def format_table(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    """Rows as lines: the first cell on the left of its column, the others on the right of theirs."""
    lines = []
    for first, *cells in rows:
        line = f"{first:{widths[0]}}"
        lines.append(
            line + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=False))
        )
    return "\n".join(lines)


def table(report: Mapping[str, Any]) -> str:
    """The report as a table of at most 80 columns: a line for each metric, a column for each model.

    Below it are the sentences of the comparison, if there is one.
    """
    models = report["models"]
    width = min(28, (WHOLE - NAME) // len(models))
    rows = [["", *models]]
    for key in numbers_of_any(models):
        found = [facts.get(key) for facts in models.values()]
        title = metric_title(key, next(iter(models.values())))[:NAME]
        if len(models) < 3:
            rows.append([title, *(_cell(key, value, width - 1) for value in found)])
            continue
        # Too narrow for means with their spreads, which have a line of their own.
        rows.append([title, *(_cell(key, _mean(value), width - 1) for value in found)])
        if any(map(_varies, found)):
            rows.append(["  lowest to highest", *(_range(key, value, width - 1) for value in found)])
    unlabelled, copies = report.get("unlabelled", 0), report.get("copies", 0)
    whole = report["examples"] + unlabelled + copies
    seen = report.get("seen", whole)
    part = "" if seen == whole else f"{seen:,} of "
    learnt = f"{report['task']}: learnt from {part}{whole:,} examples."
    if "evaluated" in report:
        kept = " others of the same file" if "split" in report else ""
        learnt += f" Measured on {report['evaluated']:,}{kept}."
    if without := [f"{n:,} {what}" for n, what in ((unlabelled, "texts"), (copies, "copies")) if n]:
        learnt += f"\nOf these, {' and '.join(without)} have no labels."
    if "teachers" in report:
        names = list(report["teachers"])
        shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        learnt += "\n" + textwrap.fill(f"Mean of {len(names)} teachers: {shown}.", WHOLE)
    if "stages" in report:
        learnt += f"\nStages of {' and '.join(f'{steps:,}' for steps in report['stages'].values())} steps."
    said = report.get("comparison", {}).get("sentences", [])
    below = [line for sentence in said for line in textwrap.wrap(sentence, WHOLE)]
    return "\n".join([format_table(rows, [NAME, *[width] * len(models)]), "", learnt, *below])


def numbers_of_any(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Metrics that at least one model has, in order."""
    keys: dict[str, None] = {}
    for facts in models.values():
        keys |= dict.fromkeys(k for k, v in facts.items() if k in numbers(facts) or _is_spread(v))
    return list(keys)


def _is_spread(value: Any) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"mean", "lowest", "highest"}


def _varies(value: Any) -> bool:
    return _is_spread(value) and value["lowest"] != value["highest"]


def _mean(value: Any) -> Any:
    return value["mean"] if _is_spread(value) else value


def _range(key: str, value: Any, width: int) -> str:
    """Lowest and highest value, with as many decimals as there is room for; "" where there is but one."""
    if not _varies(value):
        return ""
    for decimals in range(4, -1, -1):
        low, high = (_number(key, value[part], decimals) for part in ("lowest", "highest"))
        if len(shown := f"{low} to {high}") <= width:
            break
    return shown


def _cell(key: str, value: Any, width: int) -> str:
    """A number, or a mean with its spread; "" of None."""
    if not _is_spread(value):
        return "" if value is None else _number(key, value)
    for decimals in range(4, -1, -1):  # as many as there is room for
        mean, low, high = (_number(key, value[part], decimals) for part in ("mean", "lowest", "highest"))
        shown = mean if low == high else f"{mean} ({low} to {high})"
        if len(shown) <= width:
            break
    return shown


def _number(key: str, value: float, decimals: int = 4) -> str:
    if key == RETAINED:
        return f"{100 * value:.1f}%"
    if key in ("layers", "parameters", "words", "bytes", "corpus"):
        return f"{int(value):,}"
    return f"{value:.0f}" if key.endswith("per_second") else f"{value:.{decimals}f}"
