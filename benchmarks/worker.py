"""One engine at one workload, in a process of its own: python -m benchmarks.worker ENGINE WORKLOAD THREADS

Takes one JSON object a line, answers one each:

    {"do": "prepare", "path": P}   load the model, save at P what must agree, run once -> notes
    {"do": "time", "seconds": S}   run for S seconds or more -> seconds of each run
    {"do": "memory"}               -> megabytes once all is imported, and at the peak

Between them it sleeps on its standard input, and dies as soon as that closes. The driver of another commit
may ask (`--engines NAME=PATH`): arguments, requests and answers stay as they are.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engines import load
from benchmarks.jobs import Job
from benchmarks.workloads import find
from minidistil.memory import keep_freed_memory, peak_memory


def peak_megabytes() -> float:
    """The most memory this process had since `forget_peak`; where that is unknown, ever."""
    peak = peak_memory()
    if peak is not None:
        return peak / 1e6
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def forget_peak() -> None:
    """Begin a new peak where the system can: comparing takes memory of its own, copies of gradients."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def timed(job: Job, seconds: float) -> list[float]:
    """Seconds of each run, for `seconds` in all; a short run is preceded by one that fills the caches."""
    times: list[float] = []
    began = time.perf_counter()
    job.run()
    first = time.perf_counter() - began
    if first >= seconds:
        return [first]
    while sum(times) < seconds:
        began = time.perf_counter()
        job.run()
        times.append(time.perf_counter() - began)
    return times


def requests() -> queue.Queue[dict[str, Any]]:
    """Requests as they come, read by a thread: when the driver dies, so does this process, at once."""
    found: queue.Queue[dict[str, Any]] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            found.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return found


def main() -> None:
    engine, name, threads = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer
    asked = requests()
    keep_freed_memory()
    build = load(engine)
    imported = peak_megabytes()
    job: Job | None = None
    while True:
        request = asked.get()
        if request["do"] == "prepare":
            job = build(find(name), int(threads))
            arrays: dict[str, Any] = job.check()
            np.savez(request["path"], **arrays)
            job.run()
            forget_peak()
            job.run()
            answer: dict[str, Any] = {"notes": job.notes}
        elif request["do"] == "time":
            assert job is not None
            answer = {"seconds": timed(job, request["seconds"])}
        else:
            answer = {"imported": imported, "peak": peak_megabytes()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
