"""Cells of the grid: one model of a setting, an arm and a seed, made once and kept as its numbers.

    examples/SETTING/         files that are learnt from, and measured by
    results/HASH.json         numbers of a cell, by the hash of all that shapes them
    budgets/HASH.json         steps and tokens of a taught student, from which equal ones follow
    teachers/HASH/            models of the teachers
    students/HASH/            run of the cell under way, removed when its numbers are written
    failures/CELL.json        errors of cells that failed, until they succeed

The order of cells, and one process at a time, are the command's.
"""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.retention.arms import ARMS, BEST, TAUGHT, TEACHER, Arm, Budget
from benchmarks.retention.files import Files
from benchmarks.retention.settings import Setting
from benchmarks.trials import Result, Trials, key
from minidistil.errors import MinidistilError
from minidistil.files import read_json, sha256_file, write_json
from minidistil.jobs.results import numbers
from minidistil.jobs.sources import content
from minidistil.settings import to_dict
from minidistil.train.log import iter_records

# To be raised when the package computes something else of the same recipe: in any training, or in one with a
# teacher alone, such as other defaults of an objective. Cells of earlier versions are then run again.
VERSION, TEACHING_VERSION = 1, 2

# Nothing is written or measured under way.
QUIETLY = ("train.save_every=none", "train.eval_every=none")


class Cell(NamedTuple):
    """A model of the grid, by names."""

    setting: str
    arm: str
    seed: int

    def __str__(self) -> str:
        return f"{self.setting}, seed {self.seed}, {self.arm}"


class CellError(MinidistilError):
    """A cell that cannot be run, because the teacher of it failed."""


def cells_of(settings: Mapping[str, Setting], arms: Sequence[str], seeds: Sequence[int]) -> Iterator[Cell]:
    """Cells in the order in which they are run: seed by seed, the teacher before its students."""
    for seed in seeds:
        for name, setting in settings.items():
            missing = (TEACHER, *setting.without, *(() if setting.has_best else (BEST,)))
            wanted = [arm for arm in arms if arm not in missing]
            yield from (Cell(name, arm, seed) for arm in [TEACHER, *wanted])


@dataclass(frozen=True)
class Grid:
    """Cells in a directory.

    Parameters
    ----------
    out : Path
    settings : mapping of str to Setting
    files : mapping of str to Files
        Examples of the settings that can be run.
    further : mapping of str to Arm
        Arms beside those of the table.
    encoder : str
        Pretrained model that every teacher begins from: a directory, name or hub id.
    """

    out: Path
    settings: Mapping[str, Setting]
    files: Mapping[str, Files]
    further: Mapping[str, Arm]
    encoder: str = "minilm"

    @cached_property
    def trials(self) -> Trials:
        return Trials(self.out / "results")

    @cached_property
    def budgets(self) -> Trials:
        return Trials(self.out / "budgets")

    @cached_property
    def _encoder_key(self) -> str:
        return key(content(self.encoder))

    @cached_property
    def _hashes(self) -> dict[str, dict[str, str]]:
        return {
            name: {part: sha256_file(path) for part, path in files.all().items()}
            for name, files in self.files.items()
        }

    def available(self) -> dict[str, Setting]:
        """Settings whose examples are there."""
        return {name: setting for name, setting in self.settings.items() if name in self.files}

    # Identity

    def arm(self, cell: Cell) -> Arm:
        """The arm, with its changes in this setting."""
        arm, setting = self.further.get(cell.arm) or ARMS[cell.arm], self.settings[cell.setting]
        if cell.arm == BEST:
            arm = replace(arm, changes=(*arm.changes, *setting.best), teachers=setting.best_teachers)
        return replace(arm, texts=arm.taught and (arm.texts or setting.texts == "taught"))

    def recipe(self, cell: Cell) -> Any:
        """The recipe, resolved; None as long as the number of steps is not known."""
        arm, steps = self.arm(cell), []
        if arm.equal is not None:
            budget = self.budget(cell._replace(arm=TAUGHT))
            if budget is None:
                return None
            steps = [f"train.max_steps={budget.equal(arm.equal)}"]
        setting = self.settings[cell.setting]
        seed = f"train.seed={cell.seed}"
        return setting.by.recipe([*setting.recipe, *steps, *arm.changes, *QUIETLY, seed])

    def identity(self, cell: Cell) -> dict[str, Any] | None:
        """All that shapes the result of a cell; None as long as the number of steps is not known."""
        arm, recipe, hashes = self.arm(cell), self.recipe(cell), self._hashes[cell.setting]
        if recipe is None:
            return None
        plain = to_dict(recipe)
        found = {
            "version": VERSION,
            "by": repr(self.settings[cell.setting].by),
            "files": {part: value for part, value in hashes.items() if arm.texts or part != "unlabelled"},
            "from": self._encoder_key if arm.begins == "encoder" else self._teacher_key(cell),
        }
        if arm.taught:
            teachers = [self._teacher_key(one) for one in self.teachers(cell)]
            return {**found, "recipe": plain, "teachers": teachers, "teaching": TEACHING_VERSION}
        return {**found, "recipe": {name: part for name, part in plain.items() if name != "teaching"}}

    def teachers(self, cell: Cell) -> list[Cell]:
        """Cells of the teachers of a cell: the first of its own seed."""
        seeds = range(cell.seed, cell.seed + self.arm(cell).teachers)
        return [Cell(cell.setting, TEACHER, seed) for seed in seeds]

    def _teacher_key(self, cell: Cell) -> str:
        return key(self.identity(cell._replace(arm=TEACHER)) or {})

    def find(self, cell: Cell) -> Result | None:
        """The result of a cell; None if there is none."""
        identity = self.identity(cell)
        return None if identity is None else self.trials.find(identity)

    def budget(self, cell: Cell) -> Budget | None:
        """Budget of a taught student, of any seed; None as long as there is no teacher."""
        identity = self.identity(cell)
        assert identity is not None
        recipe = {**identity["recipe"], "train": {**identity["recipe"]["train"], "seed": 0}}
        settings = {**identity, "recipe": recipe, "from": self._encoder_key}
        settings["teachers"] = len(identity["teachers"])
        found = self.budgets.find(settings)
        if found is None and all(map(self._is_model, self.teachers(cell))):
            by = self.settings[cell.setting].by
            found = asdict(by.budget(self.job(cell, self.out / "students" / "none")))
            self.budgets.keep(settings, found)
        return None if found is None else Budget(**found)

    # Running

    def teacher(self, cell: Cell) -> Path:
        """Directory of the teacher of a cell."""
        return self.out / "teachers" / self._teacher_key(cell)

    def _is_model(self, cell: Cell) -> bool:
        return (self.teacher(cell) / "config.json").exists()

    def job(self, cell: Cell, out: Path) -> Any:
        """The run of a cell in a directory."""
        return self.settings[cell.setting].by.job(
            self.arm(cell), self.files[cell.setting], self.recipe(cell), out,
            encoder=self.encoder, teachers=[self.teacher(one) for one in self.teachers(cell)],
        )  # fmt: skip

    def is_done(self, cell: Cell) -> bool:
        """True if there is the result, and of a teacher the model."""
        return self.find(cell) is not None and (cell.arm != TEACHER or self._is_model(cell))

    def run(self, cell: Cell) -> Result:
        """Make the model of a cell, and keep its numbers; of a student nothing else.

        Teachers of other seeds that it needs are made first.

        Raises
        ------
        CellError
            There is no teacher, because it failed.
        """
        if cell.arm != TEACHER:
            own, *others = self.teachers(cell)
            if not self._is_model(own):
                raise CellError("the teacher of this cell failed")
            for one in others:
                if not self.is_done(one):
                    self.run(one)
        identity = self.identity(cell)
        assert identity is not None
        out = self.teacher(cell) if cell.arm == TEACHER else self.out / "students" / key(identity)
        began = time.perf_counter()
        job = self.job(cell, out)
        try:
            report = job.run_once()
        except Exception:
            shutil.rmtree(out, ignore_errors=True)  # tried again, it begins anew
            raise
        seconds = time.perf_counter() - began
        (metrics,) = (facts for name, facts in report["models"].items() if name in ("model", "student"))
        steps, tokens = _learnt(out / "metrics.jsonl")
        result = {
            **cell._asdict(),
            "primary": report["primary"],
            "metrics": numbers(metrics),
            "about": {name: value for name, value in report.items() if name not in ("recipe", "models")},
            "steps": steps,
            "cost": self.settings[cell.setting].by.cost(job, tokens, metrics["layers"]),
            "seconds": seconds,
        }
        self.trials.keep(identity, result)
        self._failure(cell).unlink(missing_ok=True)
        if cell.arm != TEACHER:
            shutil.rmtree(out)
        return result

    # Failures

    def _failure(self, cell: Cell) -> Path:
        return self.out / "failures" / f"{cell.setting}-{cell.seed}-{cell.arm}.json"

    def failed(self, cell: Cell, error: Exception) -> str:
        """Record the error of a cell, and return its message."""
        message = f"{type(error).__name__}: {error}"
        trace = [] if isinstance(error, MinidistilError) else traceback.format_exception(error)
        write_json(self._failure(cell), {**cell._asdict(), "error": message, "traceback": "".join(trace)})
        return message

    def failures(self) -> dict[Cell, str]:
        """Messages of the cells whose last run failed."""
        found = map(read_json, sorted((self.out / "failures").glob("*.json")))
        return {Cell(one["setting"], one["arm"], one["seed"]): one["error"] for one in found}

    # Results

    def results(self, seeds: Sequence[int]) -> dict[Cell, Result]:
        """Results there are, of today's files, recipes and versions; also of arms of earlier commands."""
        cells = cells_of(self.available(), [*ARMS, *self.further], seeds)
        found = {cell: self.find(cell) for cell in cells}
        return {cell: result for cell, result in found.items() if result is not None} | self._earlier(seeds)

    def _earlier(self, seeds: Sequence[int]) -> dict[Cell, Result]:
        """Results of arms that only a command named, the latest of each name."""
        found: dict[Cell, Result] = {}
        for path in sorted(self.trials.folder.glob("*.json"), key=lambda path: path.stat().st_mtime):
            kept = read_json(path)
            identity, result = kept["settings"], kept["result"]
            cell = Cell(result["setting"], result["arm"], result["seed"])
            if cell.arm in (*ARMS, *self.further) or cell.setting not in self.files or cell.seed not in seeds:
                continue
            versions = identity["version"], identity.get("teaching", TEACHING_VERSION)
            of_teacher = self._teacher_key(cell) in (identity["from"], *identity.get("teachers", ()))
            if of_teacher and versions == (VERSION, TEACHING_VERSION):
                found[cell] = result
        return found


def _learnt(log: Path) -> tuple[int, dict[str | None, int]]:
    """Steps of a run, and the tokens that it learnt from in each of its stages."""
    steps: dict[str | None, int] = {}
    tokens: dict[str | None, int] = {}
    for record in iter_records(log):
        if record["kind"] == "train":
            stage = record.get("stage")
            steps[stage] = record["step"]
            tokens[stage] = tokens.get(stage, 0) + record["tokens"]
    return sum(steps.values()), tokens
