"""Reading the directory of a run: that of `minidistil distill`, `pretrain`, `finetune` or `demo`."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minidistil.errors import DataError
from minidistil.files import read_json
from minidistil.report.nearby import no_run, runs_within
from minidistil.report.numbers import number

# What jobs call the number of examples that their report is measured on, and what those are.
HELD_OUT = {
    "evaluated": "examples",
    "held_out_sentences": "sentences",
    "held_out_sequences": "sequences",
    "held_out_pairs": "pairs of sentences",
}
BASELINE = "baseline"  # a model of the report, and the directory of its run
# Fields of a record that no curve is drawn of.
APART = ("kind", "step", "epoch", "stage", "grad_norm", "tokens", "examples", "seconds")


@dataclass
class Curve:
    """A number over steps, as two arrays that take 16 bytes a point."""

    steps: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))

    def add(self, step: float, value: float) -> None:
        self.steps.append(step)
        self.values.append(value)

    def __iter__(self) -> Iterator[tuple[float, float]]:
        return zip(self.steps, self.values, strict=True)

    def __len__(self) -> int:
        return len(self.steps)


@dataclass
class Stage:
    """One training: curves of its log and of its evaluations, steps and time.

    Attributes
    ----------
    train, eval : dict of str to Curve
    tokens : int
    seconds : float
    """

    train: dict[str, Curve] = field(default_factory=dict)
    eval: dict[str, Curve] = field(default_factory=dict)
    tokens: int = 0
    seconds: float = 0.0

    @property
    def terms(self) -> dict[str, Curve]:
        """Curves of the loss's terms, sorted."""
        return {k: self.train[k] for k in sorted(self.train) if k not in ("loss", "lr")}

    @property
    def losses(self) -> dict[str, Curve]:
        """Losses of held-out examples, by the names that training logs the same by."""
        return {k: curve for k, curve in self.eval.items() if k == "loss" or (k in self.train and k != "lr")}

    @property
    def metrics(self) -> dict[str, Curve]:
        """Curves of what was measured, sorted; not the losses, even if they are there under another name."""
        losses = [curve.values for curve in self.losses.values()]
        others = sorted(self.eval.keys() - self.losses.keys())
        return {k: self.eval[k] for k in others if self.eval[k].values not in losses}

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in a record of metrics.jsonl; what is no number in it is left out."""
        step, kind = number(record.get("step")), record.get("kind")
        curves = {"train": self.train, "eval": self.eval}.get(kind) if isinstance(kind, str) else None
        if step is None or curves is None:
            return
        for key, value in record.items():
            if key not in APART and "per_second" not in key and (y := number(value)) is not None:
                curves.setdefault(key, Curve()).add(step, y)
        if kind == "train":
            self.tokens += int(number(record.get("tokens")) or 0)
            self.seconds = number(record.get("seconds")) or self.seconds


@dataclass(frozen=True)
class RunRecord:
    """Files of a run, read.

    Attributes
    ----------
    path : Path
    report : dict
        report.json; empty while the run goes on. Its "models" are a mapping of mappings.
    settings : mapping
        The resolved recipe.
    made_with : mapping
        Versions and the machine, if the run says.
    stages : dict of str to Stage
        Records of metrics.jsonl by stage; a run of one stage has the one "".
    teacher : dict
        The teacher on held-out text, if measured.
    evaluation : dict of str to mapping
        Of each model what evaluation.json has; empty of a run of an earlier version.
    baseline : RunRecord or None
        The same student without a teacher.
    parts : dict of str to RunRecord
        Of several seeds, or of GLUE, the runs by the names of their directories; the report is of all.
    """

    path: Path
    report: Mapping[str, Any]
    settings: Mapping[str, Any]
    made_with: Mapping[str, Any]
    stages: Mapping[str, Stage]
    teacher: Mapping[str, Any]
    evaluation: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    baseline: RunRecord | None = None
    parts: Mapping[str, RunRecord] = field(default_factory=dict)

    @property
    def models(self) -> Mapping[str, Mapping[str, Any]]:
        """Numbers of each model, as the report has them."""
        found: Mapping[str, Mapping[str, Any]] = self.report.get("models", {})
        return found

    @property
    def judged_by(self) -> str:
        """The metric that the report's models are compared by."""
        return str(self.report.get("primary", "accuracy"))

    @property
    def compared(self) -> list[str]:
        """Sentences of the report that compare student, teacher and baseline."""
        comparison = self.report.get("comparison")
        said = comparison.get("sentences") if isinstance(comparison, Mapping) else None
        return [sentence for sentence in said if isinstance(sentence, str)] if isinstance(said, list) else []

    @property
    def is_glue(self) -> bool:
        """True if the parts are the tasks of GLUE, and not seeds."""
        return self.report.get("task") == "glue"

    @property
    def held_out(self) -> str:
        """Number and kind of what the report is measured on, such as "1,500 held-out sentences"."""
        for key, kind in HELD_OUT.items():
            if count := number(self.report.get(key)):
                of = " of the training file" if "split" in self.report else ""
                return f"{count:,.0f} held-out {kind}{of}"
        return ""

    @property
    def watched(self) -> str:
        """Sentences on the examples that curves are measured on, and on the difference from the table."""
        total = next((n for key in HELD_OUT if (n := number(self.report.get(key)))), None)
        some = number(self.report.get("watched"))
        if not self.report or total is None:
            return "Measured on held-out examples while the model learnt."
        if some is None and "held_out_sentences" in self.report:
            part = f"on a part of the {self.held_out}"
        elif some is None or some == total:
            return (
                f"Measured on the {self.held_out} while the model learnt. The table has the same of the "
                "model as it was saved."
            )
        else:
            part = f"on the first {some:,.0f} of the {self.held_out}"
        return (
            f"Measured {part} while the model learnt, to save time. The table has the model as it was saved, "
            "on all of them, so its numbers differ."
        )

    def reference(self, metric: str) -> dict[str, float]:
        """The teacher's value of a metric, measured on what the curve is; empty if there is none."""
        teacher, keys = self.teacher, ("watched", *HELD_OUT)
        if not teacher and len({number(self.report.get(key)) for key in keys} - {None}) < 2:
            teacher = self.models.get("teacher", {})
        level = number(teacher.get(metric))
        return {} if level is None else {"teacher": level}


def read_run(path: str | Path) -> RunRecord:
    """Read a run, finished or not; or the runs of several seeds, or of GLUE's tasks.

    Raises
    ------
    DataError
        Not the directory of a run, or a file in it is damaged.
    """
    path = Path(path)
    about, report = _json(path / "run.json"), _json(path / "report.json")
    models = _inside(report, "models", path / "report.json")
    for name in models:
        _inside(models, name, path / "report.json")
    parts = {}
    if not about:
        glue = report.get("task") == "glue"
        within = runs_within(path)
        parts = {place.name: read_run(place) for place in within if glue or place.name.startswith("seed-")}
        if not parts:
            raise DataError(no_run(path), path=path)
    first = next(iter(parts.values()), None)
    baseline = read_run(path / BASELINE) if (path / BASELINE / "run.json").is_file() else None
    evaluation = _json(path / "evaluation.json")
    found = _inside(evaluation, "models", path / "evaluation.json")
    if baseline is not None and "model" in baseline.evaluation:
        found = {**found, BASELINE: baseline.evaluation["model"]}
    return RunRecord(
        path=path,
        report=report,
        settings=first.settings if first else _inside(about, "recipe", path / "run.json"),
        made_with=first.made_with if first else _inside(about, "made_with", path / "run.json"),
        stages=_read_stages(path),
        teacher=_json(path / "teacher.json"),
        baseline=baseline,
        evaluation={name: _inside(found, name, path / "evaluation.json") for name in found},
        parts=parts,
    )


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(path, DataError) if path.exists() else {}
    return found


def _inside(values: Mapping[str, Any], key: str, path: Path) -> Mapping[str, Any]:
    """A table inside of a JSON object, empty if there is none."""
    found = values.get(key, {})
    if not isinstance(found, Mapping):
        raise DataError(f"{key!r} is {found!r:.60}: an object is expected", path=path)
    return found


def _read_stages(path: Path) -> dict[str, Stage]:
    """Records of the log, one at a time, so that a long log needs little memory."""
    stages: dict[str, Stage] = {}
    for file in (path / "metrics.jsonl", path / "work" / "metrics.jsonl"):
        if file.is_file() and not stages:
            for record in _records(file):
                stages.setdefault(str(record.get("stage", "")), Stage()).add(record)
    for file in sorted(path.glob("work/*/metrics.jsonl")):  # of a stage that is under way
        if file.parent.name not in stages:
            stages[file.parent.name] = Stage()
            for record in _records(file):
                stages[file.parent.name].add(record)
    return stages


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """Records, but for a last line that is being written."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError) as error:
                    if not line.endswith("\n"):
                        return
                    why = "nested too deeply" if isinstance(error, RecursionError) else error
                    raise DataError(f"is not JSON: {why}", path=path, line=number) from error
                if not isinstance(record, dict):
                    raise DataError("is not a JSON object", path=path, line=number)
                yield record
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path=path) from error
