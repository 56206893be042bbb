"""From raw times to medians, ratios, and goals reached or not."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.workloads import OURS, Goal, Workload

Result = dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


def per_round(result: Result, engine: str) -> list[float] | None:
    """Seconds of one run in each round, the median of its runs there; None if it was not measured."""
    rounds = result["engines"].get(engine, {}).get("rounds")
    return [statistics.median(runs) for runs in rounds] if rounds else None


def seconds(result: Result, engine: str) -> Spread | None:
    values = per_round(result, engine)
    return Spread.of(values) if values else None


def speed_ratio(result: Result, peer: str) -> Spread | None:
    """Their seconds over ours, round by round: what slowed a round down slowed both."""
    ours, theirs = per_round(result, OURS), per_round(result, peer)
    if not ours or not theirs:
        return None
    return Spread.of([b / a for a, b in zip(ours, theirs, strict=True)])


def memory_ratio(result: Result, peer: str) -> float | None:
    """Our peak memory over theirs."""
    ours, theirs = (result["engines"].get(engine, {}).get("peak") for engine in (OURS, peer))
    return ours / theirs if ours and theirs else None


def value(result: Result, goal: Goal) -> float | None:
    """What a goal is measured by; None if it was not measured."""
    if goal.quantity == "speed":
        spread = speed_ratio(result, goal.against or "")
        return spread.median if spread else None
    if goal.quantity == "memory":
        return memory_ratio(result, goal.against or "")
    if goal.quantity == "seconds":
        spread = seconds(result, OURS)
        return spread.median if spread else None
    peak: float | None = result["engines"].get(OURS, {}).get("peak")
    return peak


def reached(goal: Goal, measured: float) -> bool:
    return measured >= goal.bound if goal.quantity == "speed" else measured <= goal.bound


def goal_for(workload: Workload, quantity: str, against: str | None = None) -> Goal | None:
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
