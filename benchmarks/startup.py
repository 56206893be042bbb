"""Workloads that are a fresh process: importing the package, and labelling one text from the command line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.driver import Engine, EngineError
from benchmarks.workloads import MODELS, OURS, TORCH, Array

TEXT = "a warm, funny, engaging film"
SCRIPT = Path(__file__).with_name("predict_with_transformers.py")

COMMANDS: dict[str, dict[str, list[str]]] = {
    "start/import": {
        OURS: ["-c", "import minidistil"],
        TORCH: ["-c", "import torch, transformers"],
    },
    "start/predict": {
        OURS: ["-m", "minidistil", "predict", str(MODELS / "minilm"), TEXT],
        TORCH: [str(SCRIPT), str(MODELS / "minilm"), TEXT],
    },
}


class Command:
    """A Python process, from start to end.

    Attributes
    ----------
    peaks : list of float
        Megabytes at the peak of each process so far.
    output : str
        What the last one printed.
    """

    def __init__(self, engine: Engine, workload: str, log: Path) -> None:
        self.engine, self.arguments = engine, COMMANDS[workload][engine.kind]
        self.peaks: list[float] = []
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._cpu_seconds = 0.0
        self.output = ""

    def run(self) -> float:
        """Seconds of one process."""
        began = time.perf_counter()
        with (
            self._log.open("wb") as stderr,
            self.engine.start(self.arguments, stdout=subprocess.PIPE, stderr=stderr) as process,
        ):
            assert process.stdout is not None
            self.output = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise EngineError.of(process.returncode, self._log)
        self._cpu_seconds += usage.ru_utime + usage.ru_stime
        self.peaks.append(usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024))
        return seconds

    def time(self, seconds: float) -> list[float]:
        """Seconds of each of some processes, one after another."""
        times = [self.run()]
        while sum(times) < seconds:
            times.append(self.run())
        return times

    def cpu_seconds(self) -> float:
        return self._cpu_seconds

    def check(self) -> dict[str, Array]:
        """The score it printed, by its label; nothing if it printed nothing."""
        if not self.output:
            return {}
        label, score, *_ = self.output.split("\t")
        return {f"score of {label}": np.array([float(score)])}
