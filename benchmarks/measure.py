"""Measurement of one workload: prepare every engine, compare what they compute, time them in rounds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.agreement import compare
from benchmarks.driver import (
    PAUSE,
    TURN,
    Competitor,
    Engine,
    EngineError,
    Worker,
    disturbances_of,
    interleave,
)
from benchmarks.startup import Command
from benchmarks.workloads import COMPILED, FOLDER, TORCH, Array, Workload

Say = Callable[[str], None]
Result = dict[str, Any]


def measure(workload: Workload, engines: Sequence[Engine], rounds: int, threads: int, say: Say) -> Result:
    """All results of one workload, as JSON.

    Raises
    ------
    DisagreementError
        The engines compute different things.
    EngineError
        An engine's process ended. torch.compile may: it needs a C++ compiler, and the result says so.
    """
    # PyTorch is the reference that the others are compared with.
    engines = sorted((e for e in engines if e.kind in workload.engines), key=lambda e: e.kind != TORCH)
    if workload.task == "start":
        return measure_start(workload, engines, rounds, say)
    found: dict[str, Result] = {engine.name: {} for engine in engines}
    outputs: dict[str, dict[str, Array]] = {}
    workers: dict[str, Worker] = {}
    with ExitStack() as opened:
        scratch = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        for engine in engines:
            name = engine.name
            say(f"preparing {name}")
            arguments = ["-m", "benchmarks.worker", engine.kind, workload.name, str(threads)]
            worker = opened.enter_context(Worker(engine, arguments, log(workload, engine)))
            path = scratch / f"{len(outputs)}.npz"
            try:
                found[name] |= worker.ask(do="prepare", path=str(path))
            except EngineError as failure:
                if engine.kind != COMPILED:
                    raise EngineError(f"{name} {failure}") from failure
                found[name]["failed"] = str(failure)
                say(f"without {name}, which {failure}")
                continue
            workers[name] = worker
            with np.load(path) as file:
                outputs[name] = dict(file)
        differences = compare(outputs)
        for name, turns in timed(workers, rounds, say).items():
            found[name] |= turns | workers[name].ask(do="memory")
    batches = workload.batches()
    return {
        "tokens": sum(len(s) for examples in batches for s in examples.sequences),
        "flops": workload.flops(batches),
        "differences": differences,
        "engines": found,
    }


def measure_start(workload: Workload, engines: Sequence[Engine], rounds: int, say: Say) -> Result:
    """Processes that run from start to end, once before they count: files are then in memory."""
    commands = {e.name: Command(e, workload.name, log(workload, e)) for e in engines}
    for name, command in commands.items():
        try:
            command.run()
        except EngineError as failure:
            raise EngineError(f"{name} {failure}") from failure
    differences = compare({name: command.check() for name, command in commands.items()})
    turns = timed(commands, rounds, say)
    found = {name: turns[name] | {"peak": max(command.peaks[1:])} for name, command in commands.items()}
    return {"differences": differences, "engines": found}


def log(workload: Workload, engine: Engine) -> Path:
    """File of what an engine says on standard error."""
    return FOLDER / "logs" / f"{workload.name.replace('/', '-')}-{engine.name}.log"


def timed(competitors: Mapping[str, Competitor], rounds: int, say: Say) -> dict[str, Result]:
    """Turns of each engine, as JSON: seconds of all runs, loads, and how each turn was disturbed."""

    def said(number: int, quiet: int) -> None:
        again = f", {quiet} of {rounds} undisturbed so far" if number >= rounds else ""
        say(f"round {number + 1}{again}")

    return {
        name: {
            "rounds": [turn.runs for turn in turns],
            "loads": [turn.load and asdict(turn.load) for turn in turns],
            "disturbed": disturbances_of(turns),
        }
        for name, turns in interleave(competitors, rounds, said=said).items()
    }


def expected_seconds(workload: Workload, engines: Sequence[Engine], rounds: int) -> float:
    """Estimate of how long `measure` takes without repeats, for the share of the time that is left."""
    kinds = [engine.kind for engine in engines if engine.kind in workload.engines]
    if workload.task == "start":
        return 5.0 * (rounds + 1) * len(kinds)
    run = max(2 * TURN, workload.flops(workload.batches()) / 1e11)
    steps = 4 if workload.task in ("classify", "distil") else 1
    return len(kinds) * (8 + steps * run + rounds * (PAUSE + run)) + 60 * (COMPILED in kinds)
