"""Tables of the grid: what each arm keeps of its teacher, and how far the taught student is above it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.retention.arms import ALONE, ARMS, BEST, TAUGHT, TEACHER
from benchmarks.retention.cells import Cell
from benchmarks.retention.settings import Setting
from benchmarks.trials import NOTHING, Difference, Result, markdown, paired, spread

KEPT = 97.0  # per cent: the aim of the project
EXAMPLES, HELD_OUT = "teacher_on_examples", "teacher_on_held_out"
FACTS = {
    "accuracy on its examples": (EXAMPLES, "accuracy"),
    "on held-out ones": (HELD_OUT, "accuracy"),
    "probability of the label at T": (EXAMPLES, "probability_at_temperature"),
    "on held-out ones, at T": (HELD_OUT, "probability_at_temperature"),
    "entropy at T, nats": (EXAMPLES, "entropy"),
    "variance explained": (EXAMPLES, "explained"),
    "on held-out ones, explained": (HELD_OUT, "explained"),
}


@dataclass(frozen=True)
class Column:
    """One arm of one setting.

    Attributes
    ----------
    values : mapping of int to float
        The metric of each seed, in hundredths.
    retained : mapping of int to float
        Per cent of the teacher of the same seed.
    steps : float
    cost : float
        Mean over the seeds, see `Budget`.
    """

    values: Mapping[int, float]
    retained: Mapping[int, float]
    steps: float
    cost: float

    @property
    def kept(self) -> float:
        """Mean of what is retained; NaN of no pair."""
        return statistics.fmean(self.retained.values()) if self.retained else float("nan")

    def above(self, other: Column) -> str:
        """Seeds of which this one is above the other: "4 of 5"."""
        pairs = [(value, other.values[seed]) for seed, value in self.values.items() if seed in other.values]
        return f"{sum(a > b for a, b in pairs)} of {len(pairs)}" if pairs else NOTHING


@dataclass(frozen=True)
class Tables:
    """Statistics of results, as Markdown and as JSON.

    Parameters
    ----------
    settings : mapping of str to Setting
    results : mapping of Cell to result
    """

    settings: Mapping[str, Setting]
    results: Mapping[Cell, Result]

    @cached_property
    def columns(self) -> dict[str, dict[str, Column]]:
        """Arms of each setting that has a result, in the order of the tables."""
        return {
            setting: arms
            for setting in self.settings
            if (arms := {arm: column for arm in self._arms() if (column := self._column(setting, arm))})
        }

    def _arms(self) -> list[str]:
        return list(dict.fromkeys([*ARMS, *(cell.arm for cell in self.results)]))

    def metric(self, setting: str) -> str:
        """Name of the metric that is compared."""
        primary = next(result["primary"] for cell, result in self.results.items() if cell.setting == setting)
        return self.settings[setting].metric or primary

    def _title(self, setting: str) -> str:
        """A setting with its metric: "answers (f1)"."""
        return f"{setting} ({self.metric(setting).replace('_', ' ')})"

    def _values(self, setting: str, arm: str) -> dict[int, float]:
        metric = self.metric(setting)
        here = {cell: r["metrics"] for cell, r in sorted(self.results.items()) if cell.setting == setting}
        values = {cell: _number(metrics[metric]) for cell, metrics in here.items()}
        # Metrics of SQuAD are in hundredths as they are.
        scale = 1 if any(value > 1 for value in values.values()) else 100
        return {cell.seed: scale * value for cell, value in values.items() if cell.arm == arm}

    def _column(self, setting: str, arm: str) -> Column | None:
        if not any((cell.setting, cell.arm) == (setting, arm) for cell in self.results):
            return None
        values = self._values(setting, arm)
        teacher = self._values(setting, TEACHER)
        retained = {seed: 100 * value / teacher[seed] for seed, value in values.items() if teacher.get(seed)}
        runs = [self.results[Cell(setting, arm, seed)] for seed in values]
        steps, cost = (statistics.fmean(run[name] for run in runs) for name in ("steps", "cost"))
        return Column(values, retained, steps, cost)

    def difference(self, setting: str, ours: str, theirs: str) -> Difference:
        """Mean paired difference of two arms, in hundredths of the metric."""
        arms = self.columns[setting]
        nothing: Mapping[int, float] = {}
        one, other = (arms[arm].values if arm in arms else nothing for arm in (ours, theirs))
        return paired(one, other)

    # Markdown

    def overview(self) -> str:
        """A row for each setting: what the taught student keeps, and how far it is above the ones alone."""
        alone = [arm for arm in ALONE if any(arm in arms for arms in self.columns.values())]
        header = ["setting", "teacher", "taught by default", "retained, %"]
        header += [f"minus {ARMS[arm].title}" for arm in alone]
        rows = []
        for setting, arms in self.columns.items():
            if (taught := arms.get(TAUGHT)) is None:
                continue
            teacher = [spread(arms[TEACHER].values.values()) if TEACHER in arms else NOTHING]
            kept = [spread(column.values()) for column in (taught.values, taught.retained)]
            above = [self.difference(setting, TAUGHT, arm).cell() for arm in alone]
            rows.append([self._title(setting), *teacher, *kept, *above])
        return markdown(header, rows) if rows else ""

    def arms_table(self) -> str:
        """Each arm of each setting, and the taught student's difference from it."""
        header = [
            "setting", "arm", "metric x 100", "retained, %", "taught minus it", "seeds above", "steps", "cost"
        ]  # fmt: skip
        rows = []
        for setting, arms in self.columns.items():
            taught = arms.get(TAUGHT)
            for arm, column in arms.items():
                compared = taught is not None and arm not in (TEACHER, TAUGHT)
                rows.append([
                    self._title(setting) if arm == next(iter(arms)) else "",
                    ARMS[arm].title if arm in ARMS else arm,
                    spread(column.values.values()),
                    "" if arm == TEACHER else spread(column.retained.values()),
                    self.difference(setting, TAUGHT, arm).cell() if compared else "",
                    taught.above(column) if compared and taught else "",
                    f"{column.steps:.0f}",
                    f"{column.cost / taught.cost:.2f}" if taught else NOTHING,
                ])  # fmt: skip
        return markdown(header, rows)

    def best_table(self) -> str:
        """The best student that was found beside the one taught by default; empty if there is none."""
        rows = []
        for setting, arms in self.columns.items():
            if BEST not in arms or TAUGHT not in arms:
                continue
            best, taught = arms[BEST], arms[TAUGHT]
            difference = self.difference(setting, BEST, TAUGHT).cell()
            how = self.settings[setting]
            parts = [f"`{change}`" for change in how.best]
            parts += [f"{how.best_teachers} teachers"] if how.best_teachers > 1 else []
            changes = ", ".join(parts + (["texts without labels"] if how.texts == "best" else []))
            kept = [spread(column.retained.values()) for column in (taught, best)]
            rows.append([setting, changes, *kept, difference, best.above(taught)])
        header = [
            "setting",
            "best",
            "taught by default, retained, %",
            "best, retained, %",
            "difference",
            "seeds above",
        ]
        return markdown(header, rows) if rows else ""

    def facts_table(self) -> str:
        """Scores of the teachers on examples that students learn from, and on those that are measured by.

        Means over the seeds, see `minidistil.jobs.teaching_check.facts_on`. Soft labels teach what a teacher
        says beyond the labels: little where it knows them by heart. Empty if nothing is known.
        """
        rows = []
        for setting in self.columns:
            reports = [r for c, r in self.results.items() if (c.setting, c.arm) == (setting, TAUGHT)]
            found = [report["about"].get("teaching") or {} for report in reports if "about" in report]
            rows.append([setting, *(_mean_fact(found, *path) for path in FACTS.values())])
        header = ["setting", *FACTS]
        return markdown(header, rows) if any(cell for row in rows for cell in row[1:]) else ""

    def summary(self) -> list[str]:
        """Sentences on how many settings it pays, and which keep what they should."""
        lines = []
        for arm in ALONE:
            differences = {s: self.difference(s, TAUGHT, arm) for s in self.columns}
            known = {s: d for s, d in differences.items() if d.pairs > 1}
            if not known:
                continue
            above = [s for s, d in known.items() if d.mean > d.error]
            below = [s for s, d in known.items() if d.mean < -d.error]
            lines.append(
                f"Taught by default against {ARMS[arm].title}: above it by more than a standard error on "
                f"{len(above)} of {len(known)} settings, below it by more than one on {len(below)}"
                f"{_named(below)}."
            )
        for arm in (TAUGHT, BEST):
            kept = {
                s: arms[arm].kept for s, arms in self.columns.items() if arm in arms and arms[arm].retained
            }
            if kept:
                less = [f"{s} {value:.1f} %" for s, value in kept.items() if value < KEPT]
                lines.append(
                    f"{ARMS[arm].title[0].upper()}{ARMS[arm].title[1:]}: keeps {KEPT:.0f} % on "
                    f"{len(kept) - len(less)} of {len(kept)} settings{_named(less, ', not on ')}."
                )
        return lines

    def markdown(self) -> str:
        """All tables, and the sentences."""
        if not self.columns:
            return "There are no results yet."
        tables = [self.overview(), self.best_table(), self.facts_table(), self.arms_table()]
        parts = [*tables, *self.summary()]
        return "\n\n".join(part for part in parts if part)

    # JSON

    def json(self) -> dict[str, Any]:
        """Statistics by setting and arm."""
        return {
            "settings": {
                setting: {
                    "metric": self.metric(setting),
                    "arms": {
                        arm: {
                            "values": dict(column.values),
                            "retained": dict(column.retained),
                            "kept": column.kept,
                            "steps": column.steps,
                            "cost": column.cost,
                            "taught minus it": self.difference(setting, TAUGHT, arm)._asdict(),
                        }
                        for arm, column in arms.items()
                    },
                }
                for setting, arms in self.columns.items()
            },
            "summary": self.summary(),
        }


def _mean_fact(found: Iterable[Mapping[str, Any]], part: str, name: str) -> str:
    """Mean of a fact on a teacher; empty if it is unknown."""
    values = [facts[part][name] for facts in found if facts.get(part, {}).get(name) is not None]
    return f"{statistics.fmean(values):.3f}" if values else ""


def _number(value: float | None) -> float:
    """A metric; JSON has null for one that is not defined."""
    return math.nan if value is None else value


def _named(names: Iterable[str], before: str = ": ") -> str:
    text = ", ".join(names)
    return f"{before}{text}" if text else ""
