"""Medians and ratios of undisturbed rounds, and goals reached or not, from raw times."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

from benchmarks.disturbance import ENOUGH, Load, disturbances, undisturbed
from benchmarks.workloads import ENGINES, OURS, Goal, Quantity, Workload

Result = dict[str, Any]

# Bounds beside another checkout: no workload slower by more than 2 %, and no peak of memory higher. Peaks of
# the same code differ by up to 1.4 %.
KEPT = {"speed": 0.98, "memory": 1.02}


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest over the undisturbed rounds; over all where every one is disturbed.

    Attributes
    ----------
    median, low, high : float
    undisturbed, rounds : int
        How many those were, and of how many.
    """

    median: float
    low: float
    high: float
    undisturbed: int
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float], quiet: Sequence[bool]) -> Spread:
        chosen = list(compress(values, quiet if any(quiet) else [True] * len(values)))
        return cls(statistics.median(chosen), min(chosen), max(chosen), sum(quiet), len(values))

    @property
    def enough(self) -> bool:
        return self.undisturbed >= ENOUGH


def per_round(result: Result, engine: str) -> list[float] | None:
    """Seconds of one run in each round, the median of its runs there; None if it was not measured."""
    rounds = result["engines"].get(engine, {}).get("rounds")
    return [statistics.median(runs) for runs in rounds] if rounds else None


def measured(result: Result) -> list[str]:
    """Engines that were timed."""
    return [engine for engine, found in result["engines"].items() if found.get("rounds")]


def loads(result: Result, engine: str) -> list[Load | None]:
    """Load of each of an engine's turns; None where it is not known."""
    found = result["engines"][engine]
    return [load and Load(**load) for load in found.get("loads") or [None] * len(found["rounds"])]


def disturbed(result: Result, engine: str) -> list[str]:
    """`disturbances` of an engine's turns, found again from what was measured."""
    return disturbances(result["engines"][engine]["rounds"], loads(result, engine))


def seconds(result: Result, engine: str) -> Spread | None:
    values = per_round(result, engine)
    return Spread.of(values, undisturbed(disturbed(result, engine))) if values else None


def speed_ratio(result: Result, peer: str) -> Spread | None:
    """Their seconds over ours, round by round, where neither was disturbed."""
    ours, theirs = per_round(result, OURS), per_round(result, peer)
    if not ours or not theirs:
        return None
    quiet = undisturbed(disturbed(result, OURS), disturbed(result, peer))
    return Spread.of([b / a for a, b in zip(ours, theirs, strict=True)], quiet)


def memory_ratio(result: Result, peer: str) -> float | None:
    """Our peak memory over theirs."""
    ours, theirs = (result["engines"].get(engine, {}).get("peak") for engine in (OURS, peer))
    return ours / theirs if ours and theirs else None


def reached(goal: Goal, measured: float) -> bool:
    return measured >= goal.bound if goal.quantity == "speed" else measured <= goal.bound


def goal_for(workload: Workload, quantity: Quantity, against: str | None = None) -> Goal | None:
    if against is not None and against not in ENGINES:
        return Goal(quantity, KEPT[quantity], against)
    return next((g for g in workload.goals if (g.quantity, g.against) == (quantity, against)), None)


def largest_difference(pairs: Sequence[tuple[Workload, Result]]) -> tuple[float, str] | None:
    """The largest difference of an engine from the reference, and where: workload, tensor, engine."""
    found = [
        (difference, f"{workload.name}: {tensor}, {engine}")
        for workload, result in pairs
        for tensor, engines in result["differences"].items()
        for engine, difference in engines.items()
    ]
    return max(found, default=None)
