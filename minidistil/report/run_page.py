"""A run as one page: curves, models side by side, their mistakes, settings; of several seeds all in one."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from minidistil.errors import UsageError
from minidistil.metrics import retained
from minidistil.report.curves import ALONE, STAGES, Plot, metric_plots, seed_plots, training_plots
from minidistil.report.evaluation import OWN, Evaluation, evaluation_view
from minidistil.report.glue import glue_means, glue_tasks
from minidistil.report.numbers import FIELDS, Comparison, heading, mean, number, titled, written
from minidistil.report.page import Page, write_page
from minidistil.report.run import BASELINE, RunRecord, read_run
from minidistil.settings import dump


def write_run_page(
    directory: str | Path,
    out: str | Path | None = None,
    *,
    teacher: str | None = None,
    texts: Sequence[str] | None = None,
    templates: str | Path | None = None,
) -> Path:
    """Write the page of a run, finished or not.

    The page of several seeds, or of GLUE, has links to the pages of the single runs. If it is written in its
    own place, so are those.

    Parameters
    ----------
    directory : str or Path
        Of the run.
    out : str or Path, optional
        Default: report.html in the run's directory.
    teacher : str, optional
        Model to compare the student with, layer by layer: a directory or an id. Default: the run's own.
    texts : sequence of str, optional
        Texts to compare layers on.
    templates : str or Path, optional
        Folder of templates that go before the package's.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    DataError
        Not the directory of a run, or a file in it is damaged.
    UsageError
        There is nothing to compare.
    """
    record, page = read_run(directory), Page("run.html", templates)
    places = [record.path / "student", record.path / "model", record.path]  # a fine-tuning is its model
    student = next((place for place in places if (place / "config.json").exists()), None)
    if teacher and student is None:
        raise UsageError(f"{record.path} has no model yet to compare with {teacher}")
    teacher = teacher or (str(record.path / "teacher") if (record.path / "teacher").is_dir() else None)
    if texts and teacher is None:
        raise UsageError("--text goes with a teacher to compare with: say which one with --teacher")
    similarity = None
    if student and teacher:
        from minidistil.report.similarity import compare_layers  # slower to import than a page is to write

        similarity = compare_layers(str(student), teacher, texts)
    if out is None:
        for part in record.parts.values():
            write_run_page(part.path, templates=templates)
    out = Path(out or record.path / "report.html")
    return write_page(out, run_page(record, similarity, page, _links(record, out)))


def _links(run: RunRecord, out: Path) -> dict[str, str]:
    """Addresses of the pages of single runs, relative to the page, where they exist."""
    pages = {name: part.path / "report.html" for name, part in run.parts.items()}
    here = out.resolve().parent
    return {
        name: "./" + quote(Path(os.path.relpath(page.resolve(), here)).as_posix())
        for name, page in pages.items()
        if page.is_file()
    }


def run_page(
    run: RunRecord,
    similarity: Mapping[str, Any] | None = None,
    page: Page | None = None,
    links: Mapping[str, str] | None = None,
) -> str:
    """The page of a run.

    Parameters
    ----------
    run : RunRecord
    similarity : mapping, optional
        Of `layer_similarity`.
    page : Page, optional
        A template in place of the package's.
    links : mapping of str to str, optional
        Addresses of the pages of the run's parts.
    """
    several = len(run.stages) > 1
    trainings: list[tuple[str, str, Any, list[Plot]]] = [
        (name, STAGES.get(name, name), stage, training_plots(run, stage))
        for name, stage in run.stages.items()
    ]
    return (page or Page("run.html")).render(
        title=f"{run.path.resolve().name}: a run of minidistil",
        run=run,
        headline=_headline(run),
        models=glue_means(run.models) if run.is_glue else _models(run),
        judged=heading(run.judged_by),
        together=metric_plots(run) if several else [],
        trainings=trainings,
        evaluations=_evaluations(run),
        parts=glue_tasks(run.models, run.parts) if run.is_glue else _seeds(run),
        part_plots=[] if run.is_glue else seed_plots(run),
        links=links or {},
        similarity=similarity,
        settings=dump(run.settings),
        compared=run.compared,
    )


def _main_model(names: Iterable[str]) -> str | None:
    """The model that a run is about."""
    there = list(names)
    return next((name for name in ("student", "model") if name in there), None)


def _headline(run: RunRecord) -> list[tuple[str, str]]:
    """Numbers at the top of the page: the main metric, of the teacher too, and the size of model and data."""
    main = _main_model(run.models)
    if main is None or run.is_glue:
        return []
    facts, found = run.models[main], []
    if value := written(run.judged_by, mean(facts.get(run.judged_by))):
        found.append((f"{heading(run.judged_by)} of the {main}", value))
    teacher = run.models.get("teacher", {})
    if main == "student" and (value := written(run.judged_by, mean(teacher.get(run.judged_by)))):
        found.append((f"{heading(run.judged_by)} of the teacher", value))
    if (size := mean(facts.get("parameters"))) is not None:
        found.append(("parameters", f"{size / 1e6:.1f} M" if size >= 1e5 else f"{size:,.0f}"))
    seen, examples = number(run.report.get("seen")), number(run.report.get("examples"))
    if seen is not None and examples is not None:
        examples += sum(number(run.report.get(more)) or 0 for more in ("unlabelled", "copies"))
        part = f"{seen:,.0f} of {examples:,.0f}" if seen < examples else f"{examples:,.0f}"
        found.append(("examples that it learnt from", part))
    return found


def _models(run: RunRecord) -> Comparison:
    """Models side by side, a row for each number."""
    models = {  # null is what is not defined, such as the correlation of a constant
        name: {field: value for field, value in row.items() if value is not None}
        for name, row in run.models.items()
    }
    teacher = models.get("teacher", {})
    # There is no share of what is better for being less; a report that compares models has its own.
    shared = run.report.get("better") != "lower" and "comparison" not in run.report
    theirs = mean(teacher.get(run.judged_by)) if shared else None
    for name, row in models.items():
        ours = mean(row.get(run.judged_by))
        kept = None if ours is None or theirs is None else retained(ours, theirs)
        if name != "teacher" and kept is not None:
            row.setdefault("retained", kept)
    present = {f: None for row in models.values() for f, v in row.items() if mean(v) is not None}
    fields = [f for f in FIELDS if f in present] + [f for f in present if f not in FIELDS]
    of = next((row["positive"] for row in models.values() if "positive" in row), None)
    rows = [(titled(f, of), [written(f, row.get(f)) for row in models.values()]) for f in fields]
    return Comparison(list(models), rows)


def _evaluations(run: RunRecord) -> list[tuple[str, Evaluation]]:
    """Details of each model, that of the run first."""
    main = _main_model(run.models)
    names = sorted(run.models, key=lambda name: (name != main, name != "teacher"))
    views = [(name, evaluation_view(run.models[name], run.evaluation.get(name, {}))) for name in names]
    return [(ALONE if name == "alone" else name, view) for name, view in views if view]


def _seeds(run: RunRecord) -> Comparison:
    """Results of each seed, and their mean and spread."""
    rows: dict[str, Mapping[str, Any]] = {
        k: part.models.get(_main_model(part.models) or "", {}) for k, part in run.parts.items()
    }
    alone = f"{heading(run.judged_by)} of the {BASELINE}"
    for name, part in run.parts.items():
        if (value := part.models.get(BASELINE, {}).get(run.judged_by)) is not None:
            rows[name] = {**rows[name], alone: value}

    def show(field: str, value: Any) -> str:
        return written(run.judged_by if field == alone else field, value)

    there = dict.fromkeys([run.judged_by, alone, *(f for row in rows.values() for f in row)])
    fields = [f for f in there if f not in OWN and any(number(r.get(f)) is not None for r in rows.values())]
    cells = [(name, [show(f, row.get(f)) for f in fields]) for name, row in rows.items()]
    columns = [[v for row in rows.values() if (v := number(row.get(f))) is not None] for f in fields]
    if len(rows) > 1:
        spreads: dict[str, Callable[[Sequence[float]], float]] = {
            "mean": statistics.fmean,
            "standard deviation": statistics.stdev,  # of a sample: n - 1 below
            "lowest": min,
            "highest": max,
        }
        for name, of in spreads.items():
            values = [_spread(of, column) if len(column) == len(rows) else None for column in columns]
            cells.append((name, [show(f, value) for f, value in zip(fields, values, strict=True)]))
    positive = next((row["positive"] for row in rows.values() if "positive" in row), None)
    return Comparison([titled(f, positive) for f in fields], cells)


def _spread(of: Callable[[Sequence[float]], float], values: Sequence[float]) -> float | None:
    try:
        return of(values)
    except OverflowError:  # of numbers that no run has
        return None
