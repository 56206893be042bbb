"""Engines side by side: each in its own process, one at a time, in rounds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from benchmarks.disturbance import Load, disturbances, undisturbed
from benchmarks.machine import cpu_times, process_seconds
from benchmarks.workloads import ENGINES, OURS

# After a run, idle threads of OpenMP and of ONNX Runtime spin for some milliseconds before they sleep.
PAUSE = 0.2
# A turn lasts at least this long; its value is the median of its runs.
TURN = 0.3
# At most so many times the rounds asked for: on a machine that is never quiet, repeating has to end.
MOST = 2

ROOT = Path(__file__).parents[1]
# PyTorch then takes its tensors from huge pages, which makes training some per cent faster.
ENVIRONMENT = {"THP_MEM_ALLOC_ENABLE": "1", "HF_HUB_OFFLINE": "1"}


class EngineError(Exception):
    """An engine's process ended; the message has the end of its log."""

    @classmethod
    def of(cls, code: int, log: Path) -> EngineError:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return cls(f"ended with code {code}: {lines[-1] if lines else 'nothing in its log'} ({log} has more)")


@dataclass(frozen=True)
class Engine:
    """An engine and the checkout whose code runs it.

    A checkout runs its own `benchmarks.worker`, written for its own package. So these stay as they are: the
    requests of worker.py, names of workloads, and files in runs/bench.

    Attributes
    ----------
    name : str
        In results; of another checkout the name that the command line gives it.
    kind : str
        One of `ENGINES`.
    root : Path
        The checkout.
    """

    name: str
    kind: str
    root: Path = ROOT

    @classmethod
    def parse(cls, text: str) -> Engine:
        """One of `ENGINES`, or NAME=PATH: minidistil from the checkout at PATH."""
        name, other, path = text.partition("=")
        if not other and name in ENGINES:
            return cls(name, name)
        if not other or not name or name in ENGINES:
            raise ValueError(f"{text!r} is neither one of {', '.join(ENGINES)} nor NAME=PATH of a checkout")
        root = Path(path).resolve()
        if not (root / "benchmarks" / "worker.py").is_file():
            raise ValueError(f"{root} is no checkout of minidistil: benchmarks/worker.py is missing")
        return cls(name, OURS, root)

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str] = {}, **streams: Any
    ) -> subprocess.Popen[str]:
        """Start Python with these arguments. It imports from the checkout, not from where it runs (-P)."""
        path = os.pathsep.join(filter(None, [str(self.root), os.environ.get("PYTHONPATH")]))
        return subprocess.Popen(
            [sys.executable, "-P", *arguments],
            env={**os.environ, **environment, "PYTHONPATH": path},
            text=True,
            **streams,
        )


@dataclass(frozen=True)
class Turn:
    """Seconds of one engine's runs in one round, and the load of the cores meanwhile, where it is known."""

    runs: list[float]
    load: Load | None


class Competitor(Protocol):
    """Something that can be timed, again and again."""

    def time(self, seconds: float) -> list[float]:
        """Seconds of each of some runs that last `seconds` in all."""
        ...

    def cpu_seconds(self) -> float:
        """Core-seconds that it has used so far."""
        ...


class Worker:
    """The process of one engine at one workload; see worker.py."""

    def __init__(self, engine: Engine, arguments: Sequence[str], log: Path) -> None:
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as stderr:
            # A session of its own: Ctrl-C is for the driver, which ends its workers itself.
            self._process = engine.start(
                arguments,
                ENVIRONMENT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            line = ""
        else:
            line = process.stdout.readline()
        if not line:
            raise EngineError.of(process.wait(), self._log)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def time(self, seconds: float) -> list[float]:
        times: list[float] = self.ask(do="time", seconds=seconds)["seconds"]
        return times

    def cpu_seconds(self) -> float:
        return process_seconds(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


def rotated(names: Sequence[str], by: int) -> list[str]:
    """The names from another one on, so that nobody always comes first."""
    by %= max(len(names), 1)
    return [*names[by:], *names[:by]]


def interleave(
    competitors: Mapping[str, Competitor],
    rounds: int,
    *,
    turn: float = TURN,
    pause: float = PAUSE,
    said: Callable[[int, int], None] = lambda number, quiet: None,
) -> dict[str, list[Turn]]:
    """Rounds in which everyone has a turn, until `rounds` are undisturbed or `MOST` times as many are over.

    Returns
    -------
    dict of str to list of Turn
        Of each engine, in the order of the rounds, disturbed or not.
    """
    turns: dict[str, list[Turn]] = {name: [] for name in competitors}
    for number in range(MOST * rounds):
        quiet = sum(undisturbed(*map(disturbances_of, turns.values())))
        if quiet >= rounds:
            break
        said(number, quiet)
        for name in rotated(list(competitors), number):
            time.sleep(pause)
            turns[name].append(take_turn(competitors[name], turn))
    return turns


def take_turn(competitor: Competitor, seconds: float) -> Turn:
    """One turn. What this process does for it, such as starting others, counts as the engine's own."""

    def used() -> float:
        return competitor.cpu_seconds() + time.process_time()

    before, own = cpu_times(), used()
    runs = competitor.time(seconds)
    after = cpu_times()
    if before is None or after is None:
        return Turn(runs, None)
    return Turn(runs, Load.between(before, after, used() - own))


def disturbances_of(turns: Sequence[Turn]) -> list[str]:
    """`disturbances` of one engine's turns."""
    return disturbances([turn.runs for turn in turns], [turn.load for turn in turns])
