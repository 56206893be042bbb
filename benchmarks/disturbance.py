"""Disturbed turns: the engine was slower than it can be, or others had some of the cores meanwhile.

Engines that take turns meet the same machine only on average: a neighbour may slow one more than the other.
Two measures of each turn tell. Both are kept with the times, so that other thresholds can be tried later.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.machine import CpuTimes

# Rate of a turn over the engine's best of the run. What disturbs only adds time, so that the best is nearest
# to what the engine does alone. On an idle machine a ratio of two engines stayed within 4 % of its median, so
# that 10 % is more than they vary by themselves.
SLOW = 0.9
# Share of the cores' time that others may have: as much as a system's own daemons take now and then. It costs
# an engine that uses every core at least as much, and twice as much one that waits for the slower of two.
TAKEN = 0.03
# Seconds a core beside that share: times are counted in hundredths, and a turn of 0.3 s has few of them.
RESOLUTION = 0.01
# Undisturbed rounds that a ratio needs: the median of three stands even if one of them is not what it seems.
ENOUGH = 3

SLOWED, OTHERS = "slow", "others"


@dataclass(frozen=True)
class Load:
    """Time of the cores during a turn, in core-seconds, and the turn's own length in seconds.

    Attributes
    ----------
    elapsed : float
    cores : int
    own : float
        Of the engine.
    idle, busy, steal : float
        As in `CpuTimes`; `busy` includes `own`.
    """

    elapsed: float
    cores: int
    own: float
    idle: float
    busy: float
    steal: float

    @classmethod
    def between(cls, before: CpuTimes, after: CpuTimes, own: float) -> Load:
        idle, busy, steal = (b - a for a, b in zip(before[2:], after[2:], strict=True))
        return cls(after.at - before.at, after.cores, own, idle, busy, steal)

    @property
    def taken(self) -> float:
        """Core-seconds that were neither idle nor the engine's.

        Some kernels count stolen time as that of the process it was stolen from: then steal alone tells.
        """
        return max(self.cores * self.elapsed - self.idle - self.own, self.steal)

    @property
    def allowed(self) -> float:
        """Core-seconds that others may have."""
        return self.cores * (TAKEN * self.elapsed + RESOLUTION)


def disturbances(rounds: Sequence[Sequence[float]], loads: Sequence[Load | None]) -> list[str]:
    """Reasons by which each turn of one engine is disturbed; empty where there are none.

    Parameters
    ----------
    rounds : sequence of sequence of float
        Seconds of the runs of each turn.
    loads : sequence of Load or None
        None where the system does not say.
    """
    seconds = [statistics.median(runs) for runs in rounds]
    best = min(seconds, default=math.inf)
    found = []
    for value, load in zip(seconds, loads, strict=True):
        reasons = [SLOWED] if best / value < SLOW else []
        if load is not None and load.taken > load.allowed:
            reasons.append(OTHERS)
        found.append(", ".join(reasons))
    return found


def undisturbed(*engines: Sequence[str]) -> list[bool]:
    """For each round, whether none of these engines was disturbed in it."""
    return [not any(reasons) for reasons in zip(*engines, strict=True)]
