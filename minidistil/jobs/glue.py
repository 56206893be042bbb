"""GLUE as a whole: a fine-tuning for each of its tasks, their mean, and predictions for the server.

    DIR/cola, DIR/sst2, ...      fine-tunings (see `minidistil.jobs.finetune`), with several seeds of each
    DIR/submission/CoLA.tsv ...  predictions of the test files there are; DIR/submission.zip holds them all
    DIR/report.json              the metrics

Started again with the same arguments it goes on: a task that is done is not repeated.
"""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from minidistil.errors import ConfigError, DataError, UsageError
from minidistil.files import atomic_write, only_writer, read_json, write_json
from minidistil.jobs.baseline import WithBaseline
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.jobs.glue_report import comparison_of_means, spread_summary
from minidistil.jobs.glue_report import glue_table as glue_table
from minidistil.jobs.results import numbers, over_seeds
from minidistil.model import load_to_answer
from minidistil.model.model import Model
from minidistil.tasks.data import DataSettings
from minidistil.tasks.glue import (
    DIAGNOSTIC,
    GLUE,
    GlueFiles,
    diagnostic_task,
    glue_files,
    retention,
    sequence_task,
    test_examples,
    write_submission,
)
from minidistil.text.tokenizer import Tokenizer

log = logging.getLogger("minidistil")

Recipes = Callable[[str], FineTuningRecipe]


class Glue:
    """All fine-tunings of GLUE.

    Parameters
    ----------
    source : str
        A directory or hub id to begin from; or a directory of this kind, each task from its own model.
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
    baseline : bool
        Also train the same students without their teachers.
    quiet : bool
        Show no progress.

    Raises
    ------
    DataError
        Nothing of GLUE in the folder, or nothing to learn.
    UsageError
        `baseline` without a teacher.
    ConfigError
        A teacher or a directory to begin from that lacks a task, or `against` without a report on GLUE.
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
        baseline: bool = False,
        quiet: bool = False,
    ) -> None:
        if baseline and teacher is None:
            raise UsageError("--baseline is the students without their teachers: it goes with --distill-from")
        self.baseline = baseline
        self.files, self.missing = glue_files(folder)
        for name in list(self.files):
            lacking = [kind for kind in ("train", "dev") if getattr(self.files[name], kind) is None]
            if lacking:
                self.missing[name] = f"no {' and no '.join(lacking)} file"
                del self.files[name]
        if not self.files:
            raise DataError("no task in it has a train and a dev file", path=folder)
        self.source, self.recipes, self.out, self.seeds, self.quiet = source, recipes, Path(out), seeds, quiet
        each = any(models_of(source, name) for name in GLUE) and not (Path(source) / "config.json").exists()
        self._sources = {name: str(best_model(source, name)) if each else source for name in self.files}
        self._teachers = {name: best_model(teacher, name) for name in self.files} if teacher else {}
        self._against = None if against is None else read_report(against)

    def run(self) -> dict[str, Any]:
        """Do what is left to do, and return the report; errors as of `FineTuning.run`.

        All files are read before the first task is learnt.
        """
        with only_writer(self.out):
            if (self.out / "run.json").exists():
                raise ConfigError(f"{self.out} holds a single run: choose another --out, or remove it")
            todo = []
            for name, files in self.files.items():
                places = self._places(name)
                if not all(self._run_of(name, *place).finished() for place in places):
                    _check_files(self._job(name, *places[0]), files)
                    todo.append(name)
            reports: dict[str, list[dict[str, Any]]] = {}
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
        """Seeds and the directories of their runs; None is the recipe's own seed."""
        if self.seeds is None:
            return [(None, self.out / name)]
        return [(seed, self.out / name / f"seed-{seed}") for seed in range(self.seeds)]

    def _job(self, name: str, seed: int | None, place: Path) -> FineTuning:
        recipe = self.recipes(name)
        if seed is not None:
            recipe = replace(recipe, train=replace(recipe.train, seed=seed))
        files, teacher = self.files[name], self._teachers.get(name)
        assert files.train is not None
        as_learnt = replace(recipe.data, max_length=None)
        return FineTuning(
            self._sources[name], name, files.train, recipe, place, evaluate=files.dev,
            teacher=None if teacher is None else str(teacher),
            also=partial(also_measured, files=files, data=as_learnt, quiet=self.quiet), quiet=self.quiet,
        )  # fmt: skip

    def _run_of(self, name: str, seed: int | None, place: Path) -> FineTuning | WithBaseline:
        job = self._job(name, seed, place)
        return WithBaseline(job) if self.baseline else job

    def _tune(self, name: str) -> list[dict[str, Any]]:
        """The report of each seed."""
        reports: list[dict[str, Any]] = []

        def tune(seed: int | None, place: Path) -> dict[str, Any]:
            reports.append(self._run_of(name, seed, place).run_once())
            return reports[-1]

        if self.seeds is None:
            tune(None, self.out / name)
        else:
            over_seeds(tune, self.seeds, self.out / name)
        return reports

    def _predict(self, name: str, *, again: bool) -> None:
        """Write the predictions of the best seed for the server."""
        for title, path in self.files[name].tests.items():
            out = self.out / "submission" / f"{title}.tsv"
            if again or not out.exists():
                log.info("predicting %s", title)
                write_submission(best_model(self.out, name), title, path, out)

    def _report(self, reports: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
        first = next(iter(reports.values()))[0]
        models = {
            model: spread_summary(
                {name: [run["models"][model] for run in runs] for name, runs in reports.items()}
            )
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
        if self._teachers:
            report["comparison"] = comparison_of_means(reports)
        return report if against is None else {**report, "retention": retention(models[main], against)}


def evaluate_glue(
    directory: str | Path,
    folder: str | Path,
    data: DataSettings | None = None,
    *,
    against: str | Path | None = None,
    quiet: bool = True,
) -> dict[str, Any]:
    """Measure the models of such a directory again.

    Parameters
    ----------
    directory : path
        The directory of a `Glue.run`.
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
        No model in `directory` for any task of the folder, or `against` without a report on GLUE.
    """
    data = data or DataSettings()
    other = None if against is None else read_report(against)
    files, missing = glue_files(folder)
    measured: dict[str, list[dict[str, Any]]] = {}
    for name, task_files in files.items():
        places = models_of(directory, name)
        if not places or task_files.dev is None:
            missing[name] = "no dev file" if places else f"no model in {Path(directory) / name}"
            continue
        task = sequence_task(name, data)
        examples, measured[name] = task.read(task_files.dev), []
        for path in places:
            log.info("%s: %s", GLUE[name].title, path)
            model, tokenizer = load_to_answer(path, task.head), Tokenizer.from_pretrained(path)
            task.check_model(model, path)
            facts = numbers(task.evaluate(model, tokenizer, examples, quiet=quiet))
            facts |= also_measured(model, tokenizer, task_files, data, quiet=quiet)
            measured[name].append(facts)
    if not measured:
        raise ConfigError(f"{directory} has no model for any of {', '.join(files)}")
    models = {"model": spread_summary(measured)}
    report: dict[str, Any] = {"task": "glue", "models": models, "missing": missing}
    if other is not None:
        models["against"] = other
        report["retention"] = retention(models["model"], other)
    return report


def _check_files(job: FineTuning, files: GlueFiles) -> None:
    """Read all files of a task: a mistake is found now, not when the tasks before it are learnt."""
    for examples in (job.examples, job.held_out):
        job.task.targets(examples, job.config)  # type: ignore[attr-defined]
    for suffix, path in files.also.items():
        task = _other_half(suffix, path, job.recipe.data)
        task.targets(task.read(path), job.config)
    for title, path in files.tests.items():
        test_examples(title, path)


def _other_half(suffix: str, path: Path, data: DataSettings) -> Any:
    """Task of a file that MNLI's model is also measured on."""
    return diagnostic_task(path, data) if suffix == DIAGNOSTIC else sequence_task("mnli", data)


def also_measured(
    model: Model, tokenizer: Tokenizer, files: GlueFiles, data: DataSettings, *, quiet: bool = True
) -> dict[str, float]:
    """Accuracy on MNLI's mismatched genres and Matthews correlation on AX, if the files are there."""
    metrics = {}
    for suffix, path in files.also.items():
        task = _other_half(suffix, path, data)
        metric = "matthews" if suffix == DIAGNOSTIC else "accuracy"
        facts = task.evaluate(model, tokenizer, task.read(path), quiet=quiet)
        metrics[f"{metric}_{suffix}"] = facts[metric]
    return metrics


def models_of(directory: str | Path, name: str) -> list[Path]:
    """Directories of the models of a task: one, or one for each seed."""
    folder = Path(directory) / name
    paths = [folder, *sorted(folder.glob("seed-*"), key=lambda p: (len(p.name), p.name))]
    return [path for path in paths if (path / "config.json").is_file()]


def best_model(directory: str | Path, name: str) -> Path:
    """The model of a task, of several seeds the one that did best on the dev file (of equals the first).

    Raises
    ------
    ConfigError
        There is none.
    """
    models = models_of(directory, name)
    if not models:
        raise ConfigError(f"{directory} has no model for {name}: expected it in {Path(directory) / name}")
    return max(models, key=lambda path: _judged(path, name)) if len(models) > 1 else models[0]


def _judged(path: Path, name: str) -> float:
    report = read_json(path / "report.json")
    try:
        models = report["models"]
        value = models.get("student", models.get("model"))[GLUE[name].main_metric]
        return 0.0 if value is None else float(value)  # null is what is not defined, see `macro`
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path / 'report.json'} is no report on {name}") from error


def read_report(directory: str | Path) -> dict[str, Any]:
    """Numbers of the model in the report of such a directory.

    Raises
    ------
    ConfigError
        There is none, or it is on something else.
    """
    path = Path(directory) / "report.json"
    report = read_json(path)
    models = report.get("models")
    facts = (models.get("student") or models.get("model")) if isinstance(models, dict) else None
    tasks = facts.get("tasks") if isinstance(facts, dict) else None
    if report.get("task") != "glue" or not isinstance(tasks, dict):
        raise ConfigError(f"{path} is no report on GLUE as a whole")
    numbers_of: dict[str, Any] = dict(facts or {})
    return numbers_of


def write_zip(path: Path, files: Sequence[Path]) -> None:
    """Files of one directory in a zip, the same bytes whenever it is made; nothing if there are none."""
    if not files:
        return
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as zipped:
        for file in files:
            zipped.writestr(zipfile.ZipInfo(file.name), file.read_bytes(), compress_type=zipfile.ZIP_DEFLATED)
