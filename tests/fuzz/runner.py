"""Trials in processes of their own, so that a crash or a hang is one failure and not the end.

A trial is named by target, seed and number and makes the same case whenever it runs. A worker announces each
before it begins; the parent knows by that which one crashed or hangs, and starts another worker behind it.
"""

from __future__ import annotations

import faulthandler
import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

MEMORY = 8 << 30  # bytes of address space
PATIENCE = 30.0  # seconds for one trial
FIRST = 300.0  # for the first one: kernels may have to be compiled


@dataclass
class Result:
    """Outcome of a trial: "answered", "refused", or what failed."""

    target: str
    number: int
    outcome: str
    detail: str = ""


def trial(target: str, seed: int, number: int, place: Path) -> Result:
    """One trial in this process."""
    from fuzz.targets import TARGETS

    from minidistil.errors import MinidistilError

    rng = Random(f"{target}/{seed}/{number}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            warnings.simplefilter("ignore", UserWarning)
            TARGETS[target](rng, place)
    except MinidistilError as error:
        return Result(target, number, "refused", str(error))
    except BaseException as error:  # a panic of a library in Rust is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return Result(target, number, type(error).__name__, traceback.format_exc(limit=-6))
    return Result(target, number, "answered")


def work(target: str, seed: int, start: int, count: int, place: Path) -> None:
    """Body of a worker: trials one after the other, announced and answered as lines of JSON."""
    import logging

    logging.disable(logging.CRITICAL)
    faulthandler.enable()
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except ImportError:  # Windows
        pass
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for number in range(start, start + count):
        print(json.dumps({"begins": number}), file=channel, flush=True)
        result = trial(target, seed, number, place)
        detail = result.detail if result.outcome not in ("answered", "refused") else ""
        print(
            json.dumps({"number": number, "outcome": result.outcome, "detail": detail}),
            file=channel,
            flush=True,
        )


def run(
    targets: Iterable[str], seed: int, seconds: float, say: Callable[[str], None], *, most: int | None = None
) -> tuple[dict[str, dict[str, int]], list[Result]]:
    """Try all targets in turns until the time is over, or each had `most` trials.

    Returns
    -------
    counts : {target: {outcome: number of trials}}
    failures : list of Result
    """
    from fuzz.targets import prepare

    targets = list(targets)
    counts: dict[str, dict[str, int]] = {name: {} for name in targets}
    failures: list[Result] = []
    nexts = dict.fromkeys(targets, 0)
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="minidistil-fuzz-") as folder:
        prepare(Path(folder) / "sound")
        while time.monotonic() < end and any(most is None or nexts[name] < most for name in targets):
            for name in targets:
                left = 500 if most is None else min(500, most - nexts[name])
                if left <= 0 or time.monotonic() > end:
                    continue
                place = Path(folder) / name
                if not place.exists():
                    shutil.copytree(Path(folder) / "sound", place)
                for result in _batch(name, seed, nexts[name], left, place, end):
                    counts[name][result.outcome] = counts[name].get(result.outcome, 0) + 1
                    nexts[name] = result.number + 1
                    if result.outcome not in ("answered", "refused"):
                        failures.append(result)
                        say(f"{name} {result.number}: {result.outcome}\n{result.detail}")
                say(f"{name}: {sum(counts[name].values()):,} trials, {dict(sorted(counts[name].items()))}")
    return counts, failures


def _batch(target: str, seed: int, start: int, count: int, place: Path, end: float) -> Iterable[Result]:
    """Results of a worker's trials; of one that dies or hangs, the trial at fault is the last."""
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        "--worker",
        target,
        str(seed),
        str(start),
        str(count),
        str(place),
    ]
    log = place / "stderr"
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout is not None
        begun, first, buffer = start, True, b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(FIRST if first else PATIENCE):
                    process.kill()
                    yield Result(target, begun, "hangs", _tail(log))
                    return
                chunk = os.read(process.stdout.fileno(), 1 << 16)
                if not chunk:
                    break
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    said: dict[str, Any] = json.loads(line)
                    if "begins" in said:
                        begun = said["begins"]
                        continue
                    first = False
                    yield Result(target, said["number"], said["outcome"], said["detail"])
                if time.monotonic() > end:
                    process.kill()
                    return
        if process.wait() != 0:
            yield Result(target, begun, f"ends with code {process.returncode}", _tail(log))


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-3000:]
