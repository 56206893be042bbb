"""GLUE as a whole: a fine-tuning for each of its tasks, what they come to, and what the server takes.

    DIR/cola, DIR/sst2, ...      fine-tunings (see `minidistil.jobs.finetune`), with several seeds of each
    DIR/submission/CoLA.tsv ...  predictions of the test files there are; DIR/submission.zip holds them all
    DIR/report.json              what was measured

Started again with the same arguments it goes on: a task that is done is not repeated.
"""

from __future__ import annotations

import logging
import math
import textwrap
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from minidistil.errors import ConfigError, DataError
from minidistil.files import atomic_write, only_writer, read_json, write_json
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.jobs.results import numbers, over_seeds
from minidistil.model import load_to_answer
from minidistil.model.model import Model
from minidistil.tasks.data import DataSettings
from minidistil.tasks.glue import (
    AX,
    DIAGNOSTIC,
    GLUE,
    GlueFiles,
    diagnostic_task,
    glue_files,
    retention,
    sequence_task,
    summary,
    test_examples,
    write_submission,
)
from minidistil.text.tokenizer import Tokenizer
from minidistil.weights.hub import resolve

log = logging.getLogger("minidistil")

Recipes = Callable[[str], FineTuningRecipe]


class GlueTuning(FineTuning):
    """A fine-tuning for a task of GLUE: one of MNLI is also measured on the other half, and on AX.

    Parameters
    ----------
    files : GlueFiles
        With a train and a dev file.
    source, task, recipe, out, **options
        As of `FineTuning`.
    """

    def __init__(
        self, source: str, task: str, files: GlueFiles, recipe: FineTuningRecipe, out: Path, **options: Any
    ) -> None:
        assert files.train is not None
        super().__init__(source, task, files.train, recipe, out, evaluate=files.dev, **options)
        self.files = files

    def check(self) -> None:
        """Read all of its files: what is wrong is found now, not when the tasks before it are learnt."""
        for examples in (self.examples, self.held_out):
            self.task.targets(examples, self.config)  # type: ignore[attr-defined]
        for suffix, path in self.files.also.items():
            task = _other_half(suffix, path, self.recipe.data)
            task.targets(task.read(path), self.config)
        for title, path in self.files.tests.items():
            test_examples(title, path)

    def report(self) -> dict[str, Any]:
        report = super().report()
        if self.files.also:
            kept = replace(self.recipe.data, max_length=None)
            for name, facts in report["models"].items():
                place = self.out if name != "teacher" else resolve(str(self._teacher))
                model, tokenizer = load_to_answer(place, mapped=True), Tokenizer.from_pretrained(place)
                facts |= also_measured(model, tokenizer, self.files, kept, quiet=self.quiet)
        return report


class Glue:
    """All fine-tunings of GLUE.

    Parameters
    ----------
    source : str
        A directory or hub id to begin from.
    folder : path
        With GLUE's files; tasks that are not there are left out.
    recipes : callable
        Gives the recipe of a task by its name.
    out : path
    teacher : path, optional
        Another such directory, whose models teach these, task by task.
    seeds : int, optional
        Run every task with seeds 0, 1, ...
    against : path, optional
        Another such directory, with whose numbers these are compared; by default the teacher's.
    quiet : bool
        Show no progress.

    Raises
    ------
    DataError
        Nothing of GLUE in the folder, or nothing to learn.
    ConfigError
        A teacher that lacks a task, or `against` without a report on GLUE.
    """

    def __init__(
        self,
        source: str,
        folder: str | Path,
        recipes: Recipes,
        out: str | Path,
        *,
        teacher: str | Path | None = None,
        seeds: int | None = None,
        against: str | Path | None = None,
        quiet: bool = False,
    ) -> None:
        self.files, self.missing = glue_files(folder)
        for name in list(self.files):
            lacking = [kind for kind in ("train", "dev") if getattr(self.files[name], kind) is None]
            if lacking:
                self.missing[name] = f"no {' and no '.join(lacking)} file"
                del self.files[name]
        if not self.files:
            raise DataError("no task in it has a train and a dev file", path=folder)
        self.source, self.recipes, self.out, self.seeds, self.quiet = source, recipes, Path(out), seeds, quiet
        self._teachers = {name: best_model(teacher, name) for name in self.files} if teacher else {}
        self._against = None if against is None else read_report(against)

    def run(self) -> dict[str, Any]:
        """Do what is left to do; returns the report.

        Raises
        ------
        ConfigError
            `out` holds another run.
        DataError
            A file is not what it should be; nothing has been learnt yet.
        StorageError
            Another process is writing there.
        """
        with only_writer(self.out):
            return self._run()

    def _run(self) -> dict[str, Any]:
        if (self.out / "run.json").exists():
            raise ConfigError(f"{self.out} holds a single run: choose another --out, or remove it")
        places = {name: self._places(name) for name in self.files}
        todo = [name for name in self.files if not all(self._job(name, *p).finished() for p in places[name])]
        for name in todo:
            self._job(name, *places[name][0]).check()
        reports: dict[str, dict[str, Any]] = {}
        report: dict[str, Any] = {}
        for i, name in enumerate(self.files, 1):
            log.info("%s (%d of %d)", GLUE[name].title, i, len(self.files))
            reports[name] = self._tune(name)
            self._predict(name, again=name in todo)
            report = self._report(reports)
            write_json(self.out / "report.json", report)
        write_zip(self.out / "submission.zip", sorted((self.out / "submission").glob("*.tsv")))
        return report

    def _places(self, name: str) -> list[tuple[int | None, Path]]:
        """Seeds and where their runs go; None is the recipe's own seed."""
        if self.seeds is None:
            return [(None, self.out / name)]
        return [(seed, self.out / name / f"seed-{seed}") for seed in range(self.seeds)]

    def _job(self, name: str, seed: int | None, place: Path) -> GlueTuning:
        recipe = self.recipes(name)
        if seed is not None:
            recipe = replace(recipe, train=replace(recipe.train, seed=seed))
        teacher = self._teachers.get(name)
        return GlueTuning(
            self.source, name, self.files[name], recipe, place,
            teacher=None if teacher is None else str(teacher), quiet=self.quiet,
        )  # fmt: skip

    def _tune(self, name: str) -> dict[str, Any]:
        if self.seeds is not None:
            return over_seeds(lambda seed, place: self._job(name, seed, place), self.seeds, self.out / name)
        job = self._job(name, None, self.out / name)
        return job.finished() or job.run()

    def _predict(self, name: str, *, again: bool) -> None:
        """Hand in what the best of the seeds says."""
        for title, path in self.files[name].tests.items():
            out = self.out / "submission" / f"{title}.tsv"
            if again or not out.exists():
                log.info("predicting %s", title)
                write_submission(best_model(self.out, name), title, path, out)

    def _report(self, reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        first = next(iter(reports.values()))
        models = {
            model: spread_summary({name: [report["models"][model]] for name, report in reports.items()})
            for model in first["models"]
        }
        main = "student" if self._teachers else "model"
        report: dict[str, Any] = {"task": "glue", "from": self.source}
        if self.seeds is not None:
            report["seeds"] = self.seeds
        against = models.get("teacher")
        if self._against is not None:
            against = models["against"] = self._against
        report |= {"models": models, "missing": self.missing}
        return report if against is None else {**report, "retention": retention(models[main], against)}


def evaluate_glue(
    place: str | Path,
    folder: str | Path,
    data: DataSettings | None = None,
    *,
    against: str | Path | None = None,
    quiet: bool = True,
) -> dict[str, Any]:
    """Measure the models of such a directory again.

    Parameters
    ----------
    place : path
        What `Glue.run` left.
    folder : path
        With GLUE's files.
    data : DataSettings, optional
        Of which `max_length` counts.
    against : path, optional
        Another such directory, with whose report these numbers are compared.
    quiet : bool
        Show no progress.

    Raises
    ------
    DataError
        Nothing of GLUE in the folder, or a file that is not what it should be.
    ConfigError
        No model in `place` for any task of the folder, or `against` without a report on GLUE.
    """
    data = data or DataSettings()
    other = None if against is None else read_report(against)
    files, missing = glue_files(folder)
    found: dict[str, list[dict[str, Any]]] = {}
    for name, there in files.items():
        places = models_of(place, name)
        if not places or there.dev is None:
            missing[name] = "no dev file" if places else f"no model in {Path(place) / name}"
            continue
        task = sequence_task(name, data)
        examples, found[name] = task.read(there.dev), []
        for path in places:
            log.info("%s: %s", GLUE[name].title, path)
            model, tokenizer = load_to_answer(path, task.head), Tokenizer.from_pretrained(path)
            task.check_model(model, path)
            facts = numbers(task.evaluate(model, tokenizer, examples, quiet=quiet))
            found[name].append(facts | also_measured(model, tokenizer, there, data, quiet=quiet))
    if not found:
        raise ConfigError(f"{place} has no model for any of {', '.join(files)}")
    models = {"model": spread_summary(found)}
    report: dict[str, Any] = {"task": "glue", "models": models, "missing": missing}
    if other is not None:
        models["against"] = other
        report["retention"] = retention(models["model"], other)
    return report


def _other_half(suffix: str, path: Path, data: DataSettings) -> Any:
    """The task that a file beside MNLI's own is of."""
    return diagnostic_task(path, data) if suffix == DIAGNOSTIC else sequence_task("mnli", data)


def also_measured(
    model: Model, tokenizer: Tokenizer, files: GlueFiles, data: DataSettings, *, quiet: bool = True
) -> dict[str, float]:
    """Of a model of MNLI, accuracy on mismatched genres and Matthews correlation on AX, if they are there."""
    found = {}
    for suffix, path in files.also.items():
        task = _other_half(suffix, path, data)
        metric = "matthews" if suffix == DIAGNOSTIC else "accuracy"
        facts = task.evaluate(model, tokenizer, task.read(path), quiet=quiet)
        found[f"{metric}_{suffix}"] = facts[metric]
    return found


def models_of(place: str | Path, name: str) -> list[Path]:
    """Where the models of a task are: the one, or those of all seeds."""
    here = Path(place) / name
    found = [here, *sorted(here.glob("seed-*"), key=lambda p: (len(p.name), p.name))]
    return [path for path in found if (path / "config.json").is_file()]


def best_model(place: str | Path, name: str) -> Path:
    """The model of a task, of several seeds the one that did best on the dev file (of equals the first).

    Raises
    ------
    ConfigError
        There is none.
    """
    models = models_of(place, name)
    if not models:
        raise ConfigError(f"{place} has no model for {name}: expected it in {Path(place) / name}")
    return max(models, key=lambda path: _judged(path, name)) if len(models) > 1 else models[0]


def _judged(path: Path, name: str) -> float:
    report = read_json(path / "report.json")
    try:
        models = report["models"]
        value = models.get("student", models.get("model"))[GLUE[name].primary]
        return 0.0 if value is None else float(value)  # null is what is not defined, see `macro`
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path / 'report.json'} is no report on {name}") from error


def read_report(place: str | Path) -> dict[str, Any]:
    """What the report of such a directory says of its model.

    Raises
    ------
    ConfigError
        There is none, or it is on something else.
    """
    path = Path(place) / "report.json"
    report = read_json(path)
    models = report.get("models")
    found = (models.get("student") or models.get("model")) if isinstance(models, dict) else None
    tasks = found.get("tasks") if isinstance(found, dict) else None
    if report.get("task") != "glue" or not isinstance(tasks, dict):
        raise ConfigError(f"{path} is no report on GLUE as a whole")
    summary_of: dict[str, Any] = dict(found or {})
    return summary_of


def spread_summary(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """`summary` of means over seeds; with several, each task has "lowest" and "highest" of its primary."""
    means: dict[str, dict[str, float]] = {}
    spreads: dict[str, dict[str, float]] = {}
    for name, runs in found.items():
        means[name] = {}
        for metric, value in runs[0].items():
            value = math.nan if value is None else value  # as a report that is read again has it
            if isinstance(value, Mapping) and "mean" in value:  # of `over_seeds`
                spread = dict(value)
            elif isinstance(value, float):
                values = [math.nan if run[metric] is None else run[metric] for run in runs]
                spread = {"mean": fmean(values), "lowest": min(values), "highest": max(values)}
            else:
                continue
            means[name][metric] = spread.pop("mean")
            if metric == GLUE[name].primary and (len(runs) > 1 or isinstance(value, Mapping)):
                spreads[name] = spread
    summed = summary(means)
    for name, spread in spreads.items():
        summed["tasks"][name] |= spread
    return summed


def write_zip(path: Path, files: Sequence[Path]) -> None:
    """Files of one directory in a zip, the same bytes whenever it is made; nothing if there are none."""
    if not files:
        return
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as zipped:
        for file in files:
            zipped.writestr(zipfile.ZipInfo(file.name), file.read_bytes(), compress_type=zipfile.ZIP_DEFLATED)


def glue_table(report: Mapping[str, Any]) -> str:
    """The report as a table of at most 80 columns, in hundredths."""
    models, kept = report["models"], report.get("retention")
    main = models.get("student") or models["model"]
    spread = any("lowest" in facts for facts in main["tasks"].values())
    order = ["against" if "against" in models else "teacher", "student", "model"]
    order = [name for name in order if name in models]
    head = [*order, *(["low - high"] if spread else []), *(["retained"] if kept else [])]
    lines = [_line("", "", head)]
    for name, facts in main["tasks"].items():
        cells = [_metrics(models[model]["tasks"].get(name, {}), name) for model in order]
        if spread:
            low, high = (facts.get(key) for key in ("lowest", "highest"))
            cells.append("" if low is None else f"{100 * low:.1f} - {100 * high:.1f}")
        if kept:
            cells.append(_percent(kept["tasks"].get(name)))
        shown = ", ".join(title for metric, title in GLUE[name].metrics.items() if metric in facts)
        lines.append(_line(GLUE[name].title, shown, cells))
    for key, what in (("macro", "first metric"), ("glue_score", "as GLUE counts")):
        cells = [f"{100 * models[model][key]:.1f}" for model in order] + [""] * spread
        lines.append(_line("mean", what, [*cells, *([_percent(kept.get(key))] if kept else [])]))
    if DIAGNOSTIC in main:
        cells = [f"{100 * models[m][DIAGNOSTIC]:.1f}" if DIAGNOSTIC in models[m] else "" for m in order]
        lines.append(_line(AX.title, "Matthews", cells))
    said = f"{main['measured']} of {len(GLUE)} tasks."
    if kept and kept["measured"] < main["measured"]:
        said += f" Retained: of the {kept['measured']} that both were measured on."
    if report["missing"]:
        said += " Missing: " + "; ".join(f"{GLUE[n].title} ({why})" for n, why in report["missing"].items())
        said += "."
    return "\n".join([*lines, "", *textwrap.wrap(said, 80, break_on_hyphens=False)])


def _line(task: str, what: str, cells: Sequence[str]) -> str:
    return f"{task:6} {what:17}" + "".join(f" {cell:>13}" for cell in cells)


def _metrics(facts: Mapping[str, float], name: str) -> str:
    return " / ".join(f"{100 * facts[metric]:.1f}" for metric in GLUE[name].metrics if metric in facts)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}%"
