"""A run as one page: curves, teacher against student, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minidistil.errors import UsageError
from minidistil.files import atomic_write
from minidistil.metrics import retained
from minidistil.report.page import Page
from minidistil.report.run import Curve, RunRecord, number, read_run
from minidistil.settings import dump

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


def write_run_page(
    directory: str | Path,
    out: str | Path | None = None,
    *,
    teacher: str | None = None,
    texts: Sequence[str] | None = None,
    templates: str | Path | None = None,
) -> Path:
    """Write the page of a run, finished or not.

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
    out = Path(out or record.path / "report.html")
    with atomic_write(out) as temporary:
        temporary.write_text(run_page(record, similarity, page), encoding="utf-8")
    return out


def run_page(run: RunRecord, similarity: Mapping[str, Any] | None = None, page: Page | None = None) -> str:
    """The page of a run; `similarity` is from `layer_similarity`."""
    return (page or Page("run.html")).render(
        title=f"{run.path.resolve().name}: a run of minidistil",
        run=run,
        models=_models(run),
        judged=_heading(run.judged_by),
        seeds=_seeds(run),
        curves_of_seeds=_curves_of_seeds(run),
        similarity=similarity,
        settings=dump(run.settings),
    )


def _models(run: RunRecord) -> Comparison:
    """Teacher against student."""
    models = {  # null is what is not defined, such as the correlation of a constant
        name: {field: value for field, value in row.items() if value is not None}
        for name, row in run.models.items()
    }
    teacher = models.get("teacher", {})
    shared = run.report.get("better") != "lower"  # there is no share of what is better for being less
    theirs = _mean(teacher.get(run.judged_by)) if shared else None
    for name, row in models.items():
        ours = _mean(row.get(run.judged_by))
        kept = None if ours is None or theirs is None else retained(ours, theirs)
        if name != "teacher" and kept is not None:
            row.setdefault("retained", kept)
    present = {f: None for row in models.values() for f, v in row.items() if _mean(v) is not None}
    fields = [f for f in FIELDS if f in present] + [f for f in present if f not in FIELDS]
    rows = [(_heading(f), [_written(f, row.get(f)) for row in models.values()]) for f in fields]
    return Comparison(list(models), rows)


def _seeds(run: RunRecord) -> Comparison:
    """Results of each seed: the metric that its task is judged by, and those that were measured."""
    rows = {k: seed.models.get("student") or seed.models.get("model") or {} for k, seed in run.seeds.items()}
    there = dict.fromkeys([run.judged_by, *(f for row in rows.values() for f in row)])
    there = dict.fromkeys(f for f in there if f not in ("layers", "parameters", "bytes"))
    fields = [f for f in there if any(number(row.get(f)) is not None for row in rows.values())]
    cells = [(name, [_written(f, row.get(f)) for f in fields]) for name, row in rows.items()]
    return Comparison([_heading(f) for f in fields], cells)


def _curves_of_seeds(run: RunRecord) -> list[tuple[str, dict[str, Curve]]]:
    """The loss and each metric, with a curve for each seed."""
    stages = {name: stage for name, seed in run.seeds.items() for stage in seed.stages.values()}
    metrics = sorted({metric for stage in stages.values() for metric in stage.eval})
    return [
        ("loss", {name: stage.train.get("loss", Curve()) for name, stage in stages.items()}),
        *((_heading(m), {k: stage.eval.get(m, Curve()) for k, stage in stages.items()}) for m in metrics),
    ]


def _heading(field: str) -> str:
    return FIELDS[field][0] if field in FIELDS else field.replace("_per_second", "/s").replace("_", " ")


def _mean(value: Any) -> float | None:
    """A number, or the mean over seeds."""
    return number(value.get("mean") if isinstance(value, Mapping) else value)


def _written(field: str, value: Any) -> str:
    """A number as its column has it, or a mean with the lowest and the highest."""
    if isinstance(value, Mapping):
        mean, low, high = (_written(field, value.get(key)) for key in ("mean", "lowest", "highest"))
        return mean if low == high else f"{mean} ({low} to {high})"
    if number(value) is None:
        return ""
    if field in FIELDS:
        return FIELDS[field][1].format(value)
    return f"{value:.0f}" if field.endswith("per_second") else f"{value:.4g}"
