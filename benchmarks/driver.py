"""Engines side by side: each in its own process, one at a time, in rounds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

# After a run, idle threads of OpenMP and of ONNX Runtime spin for some milliseconds before they sleep.
PAUSE = 0.2
# A turn lasts at least this long; its value is the median of its runs.
TURN = 0.3

# PyTorch then takes its tensors from huge pages, which makes training some per cent faster.
ENVIRONMENT = {"THP_MEM_ALLOC_ENABLE": "1", "HF_HUB_OFFLINE": "1"}


class EngineError(Exception):
    """An engine's process ended; the message has the end of its log."""


class Competitor(Protocol):
    """Something that can be timed, again and again."""

    def time(self, seconds: float) -> list[float]:
        """Seconds of each of some runs that last `seconds` in all."""
        ...


class Worker:
    """The process of one engine at one workload; see worker.py."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as stderr:
            # A session of its own: Ctrl-C is for the driver, which ends its workers itself.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **ENVIRONMENT},
                text=True,
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
            code = process.wait()
            lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = lines[-1] if lines else "nothing in its log"
            raise EngineError(f"ended with code {code}: {last} ({self._log} has more)")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def time(self, seconds: float) -> list[float]:
        times: list[float] = self.ask(do="time", seconds=seconds)["seconds"]
        return times

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


def worker_command(engine: str, workload: str, threads: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.worker", engine, workload, str(threads)]


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
    said: Callable[[int], None] = lambda number: None,
) -> dict[str, list[list[float]]]:
    """In every round everyone has a turn. Returns, for each, the seconds of its runs in each round."""
    times: dict[str, list[list[float]]] = {name: [] for name in competitors}
    for number in range(rounds):
        said(number)
        for name in rotated(list(competitors), number):
            time.sleep(pause)
            times[name].append(competitors[name].time(turn))
    return times
