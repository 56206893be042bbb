"""One workload from start to end: prepare every engine, compare what they compute, time them in rounds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.agreement import compare
from benchmarks.driver import PAUSE, TURN, Competitor, EngineError, Worker, interleave, worker_command
from benchmarks.startup import Command
from benchmarks.workloads import COMPILED, FOLDER, TORCH, Array, Workload

Say = Callable[[str], None]
Result = dict[str, Any]


def measure(workload: Workload, engines: Sequence[str], rounds: int, threads: int, say: Say) -> Result:
    """Everything that is known of one workload in the end, as JSON.

    Raises
    ------
    DisagreementError
        The engines compute different things.
    EngineError
        An engine's process ended. torch.compile may: it needs a C++ compiler, and the result says so.
    """
    # PyTorch is the reference that the others are compared with.
    engines = sorted((e for e in workload.engines if e in engines), key=lambda engine: engine != TORCH)
    if workload.task == "start":
        return measure_start(workload, engines, rounds, say)
    found: dict[str, Result] = {engine: {} for engine in engines}
    outputs: dict[str, dict[str, Array]] = {}
    competitors: dict[str, Worker] = {}
    with ExitStack() as opened:
        scratch = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        for engine in engines:
            say(f"preparing {engine}")
            log = FOLDER / "logs" / f"{workload.name.replace('/', '-')}-{engine}.log"
            worker = opened.enter_context(Worker(worker_command(engine, workload.name, threads), log))
            path = scratch / f"{engine}.npz"
            try:
                found[engine] |= worker.ask(do="prepare", path=str(path))
            except EngineError as failure:
                if engine != COMPILED:
                    raise EngineError(f"{engine} {failure}") from failure
                found[engine]["failed"] = str(failure)
                say(f"without {engine}, which {failure}")
                continue
            competitors[engine] = worker
            with np.load(path) as file:
                outputs[engine] = dict(file)
        differences = compare(outputs)
        for engine, times in _rounds(competitors, rounds, say).items():
            found[engine] |= {"rounds": times, **competitors[engine].ask(do="memory")}
    batches = workload.batches()
    return {
        "tokens": sum(len(s) for examples in batches for s in examples.sequences),
        "flops": workload.flops(batches),
        "differences": differences,
        "engines": found,
    }


def measure_start(workload: Workload, engines: Sequence[str], rounds: int, say: Say) -> Result:
    """Processes that run from start to end, once before they count: files are then in memory."""
    commands = {engine: Command(engine, workload.name) for engine in engines}
    for command in commands.values():
        command.run()
    differences = compare({engine: command.check() for engine, command in commands.items()})
    times = _rounds(commands, rounds, say)
    found = {
        engine: {"rounds": times[engine], "peak": max(command.peaks[1:])}
        for engine, command in commands.items()
    }
    return {"differences": differences, "engines": found}


def _rounds(competitors: dict[str, Any], rounds: int, say: Say) -> dict[str, list[list[float]]]:
    timed: dict[str, Competitor] = dict(competitors)
    return interleave(timed, rounds, said=lambda number: say(f"round {number + 1} of {rounds}"))


def expected_seconds(workload: Workload, engines: Sequence[str], rounds: int) -> float:
    """A guess at how long `measure` takes, for the share of the time that is left."""
    taking_part = set(engines) & set(workload.engines)
    if workload.task == "start":
        return 5.0 * (rounds + 1) * len(taking_part)
    run = max(2 * TURN, workload.flops(workload.batches()) / 1e11)
    steps = 4 if workload.task in ("classify", "distil") else 1
    return len(taking_part) * (8 + steps * run + rounds * (PAUSE + run)) + 60 * (COMPILED in taking_part)
