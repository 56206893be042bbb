"""Comparison of a student with its teacher, and with its baseline: the same student without a teacher."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minidistil.metrics import proportion_standard_error, retained, standard_error

TEACHER, STUDENT, BASELINE = "teacher", "student", "baseline"
LEAST_POINTS = 10.0  # of a teacher; a share of less, such as of a correlation about 0, is mostly noise
RETAINED = "retained"


def metric_title(key: str, facts: Mapping[str, Any]) -> str:
    """Name of a metric for people; of F1 with its class, if a report says it."""
    of = f" of {facts['positive']}" if key == "f1" and "positive" in facts else ""
    return key.replace("_", " ") + of


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, lowest and highest."""
    return {"mean": statistics.fmean(values), "lowest": min(values), "highest": max(values)}


def compared(report: Mapping[str, Any], seeds: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """A report with what the student retains of its teacher, and with what the teacher is worth.

    Parameters
    ----------
    report : mapping
        Of a run, or the summary of several seeds.
    seeds : sequence of mapping, optional
        The reports of the seeds.

    Returns
    -------
    dict
        The report. Of a student that was measured beside its teacher, with "retained" among its numbers, the
        share of the teacher's metric, and with "comparison":

        - "metric"; "retained", the mean over seeds, or None where a share says nothing: less is better, or
          the teacher has less than ten points; "difference", student - teacher; "parameters", the share of
          the teacher's
        - "baseline", if there is one: "differences", student - baseline of each seed; "mean";
          "standard_error" of the mean; "better", the number of seeds in which the student is better; of an
          accuracy "standard_error_of_examples", that of one accuracy on so many examples
        - "sentences", which say it
    """
    runs = [report] if seeds is None else list(seeds)
    metric = report.get("primary", "")
    if any(metric not in run["models"].get(name, {}) for run in runs for name in (TEACHER, STUDENT)):
        return dict(report)
    measured = _Measured(report, runs, metric)
    models = {name: dict(facts) for name, facts in report["models"].items()}
    for name in (STUDENT, BASELINE):
        if shares := measured.shares(name):
            models[name][RETAINED] = shares[0] if seeds is None else spread(shares)
    comparison: dict[str, Any] = {"metric": metric, **measured.beside_the_teacher()}
    if BASELINE in models:
        comparison["baseline"] = measured.beside_the_baseline()
    comparison["sentences"] = measured.sentences(comparison)
    return {**report, "models": models, "comparison": comparison}


@dataclass(frozen=True)
class _Measured:
    """The main metric of some runs of one student.

    Attributes
    ----------
    report : mapping
    runs : sequence of mapping
        Reports of the seeds.
    metric : str
    """

    report: Mapping[str, Any]
    runs: Sequence[Mapping[str, Any]]
    metric: str

    def values(self, name: str) -> list[float]:
        """The metric of one model in each run; empty where one of them is not defined."""
        found = [run["models"].get(name, {}).get(self.metric) for run in self.runs]
        values = [float(value) for value in found if value is not None]
        return values if len(values) == len(found) and all(map(math.isfinite, values)) else []

    @property
    def less_is_better(self) -> bool:
        return bool(self.report.get("better") == "lower")

    @property
    def points(self) -> float:
        """Factor to points, hundredths of a share. Metrics of SQuAD are in points as they are."""
        largest = max(map(abs, self.values(TEACHER) + self.values(STUDENT)), default=0.0)
        return 1.0 if largest > 1 else 100.0

    def shares(self, name: str) -> list[float]:
        """Shares of the teacher's metric in each run; empty if one of them says nothing."""
        ours, theirs = self.values(name), self.values(TEACHER)
        if self.less_is_better or not ours or not theirs or min(theirs) * self.points < LEAST_POINTS:
            return []
        shares = [retained(*pair) for pair in zip(ours, theirs, strict=True)]
        return [share for share in shares if share is not None] if None not in shares else []

    def beside_the_teacher(self) -> dict[str, Any]:
        shares, differences = self.shares(STUDENT), self.differences(TEACHER)
        models = self.runs[0]["models"]
        ours, theirs = (models[name].get("parameters") for name in (STUDENT, TEACHER))
        return {
            "retained": statistics.fmean(shares) if shares else None,
            "difference": statistics.fmean(differences) if differences else math.nan,
            "parameters": ours / theirs if ours and theirs else None,
        }

    def differences(self, other: str) -> list[float]:
        """Student - other in each run; empty where they are not defined."""
        ours, theirs = self.values(STUDENT), self.values(other)
        return [one - two for one, two in zip(ours, theirs, strict=True)] if ours and theirs else []

    def beside_the_baseline(self) -> dict[str, Any]:
        found = self.differences(BASELINE)
        better = sum(value < 0 if self.less_is_better else value > 0 for value in found)
        facts = {
            "differences": found,
            "mean": statistics.fmean(found) if found else math.nan,
            "standard_error": standard_error(found),
            "better": better,
        }
        if self.metric == "accuracy" and found and "evaluated" in self.report:
            proportion = statistics.fmean(self.values(STUDENT))
            error = proportion_standard_error(proportion, self.report["evaluated"])
            facts["standard_error_of_examples"] = error
        return facts

    # Sentences

    def sentences(self, comparison: Mapping[str, Any]) -> list[str]:
        """The comparison in words."""
        names = (TEACHER, STUDENT, BASELINE) if "baseline" in comparison else (TEACHER, STUDENT)
        undefined = [
            f"The {self._title} of the {name} is not defined." for name in names if not self.values(name)
        ]
        if not (self.values(TEACHER) and self.values(STUDENT)):
            return undefined
        found = [self._kept(comparison)]
        if self.differences(BASELINE):
            found.append(self._worth(comparison["baseline"]))
        return [*found, *undefined]

    @property
    def _title(self) -> str:
        return metric_title(self.metric, self.report["models"][STUDENT])

    def _kept(self, comparison: Mapping[str, Any]) -> str:
        """The sentence on what the student retains."""
        size, shares = comparison["parameters"], self.shares(STUDENT)
        of_size = "" if size is None else f"{100 * size:.0f} % of its parameters"
        if shares:
            low, high = 100 * min(shares), 100 * max(shares)
            over = f" ({low:.1f} to {high:.1f} over {len(shares)} seeds)" if len(shares) > 1 else ""
            kept = f"{100 * comparison['retained']:.1f} %{over} of its teacher's {self._title}"
            return f"The student keeps {kept}{f' with {of_size}' if of_size else ''}."
        difference, theirs = comparison["difference"], statistics.fmean(self.values(TEACHER))
        if self.less_is_better:
            apart, level, why = f"{abs(difference):.4g}", f"{theirs:.4g}", "less is better"
        else:
            apart, level = f"{self._number(abs(difference))} points", f"{self.points * theirs:.1f}"
            why = "a share of so little says nothing"
        side = "below" if difference < 0 else "above"
        sentence = f"The student's {self._title} is {apart} {side} its teacher's {level}; {why}."
        return f"{sentence} It has {of_size}." if of_size else sentence

    def _worth(self, facts: Mapping[str, Any]) -> str:
        """The sentence on what the teacher is worth, and whether that is more than noise."""
        mean, error, count = facts["mean"], facts["standard_error"], len(facts["differences"])
        if self.less_is_better:
            worth = f"The teacher changes the student's {self._title} by {mean:+.4g} (less is better)"
        else:
            worth = f"The teacher is worth {self._number(mean, '+')} points of {self._title}"
        if count == 1:
            unsure = f"{worth}. One seed cannot tell that from noise; --seeds 5 can."
            if (of_examples := facts.get("standard_error_of_examples")) is None:
                return unsure
            return (
                f"{unsure} An accuracy of {100 * self.values(STUDENT)[0]:.1f} % on "
                f"{self.report['evaluated']:,} examples has a standard error of "
                f"{self._number(of_examples)} points by itself."
            )
        shown = f"{error:.4g}" if self.less_is_better else self._number(error)
        gain = -mean if self.less_is_better else mean
        if abs(gain) <= error or gain == 0:
            verdict = "That is not more than its standard error: it may be noise."
        else:
            verdict = f"That is {'a gain' if gain > 0 else 'a loss'} of more than its standard error."
        over = f"standard error {shown} over {count} seeds; better in {facts['better']} of them"
        return f"{worth}, {over}. {verdict}"

    def _number(self, value: float, sign: str = "") -> str:
        """Points with one decimal, or where that shows nothing with two."""
        points = self.points * value
        return f"{points:{sign}.{2 if 0 < abs(points) < 0.1 else 1}f}"
