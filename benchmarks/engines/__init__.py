"""The engines: each module builds the jobs of one. Imported only in that engine's own process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.jobs import Job
from benchmarks.workloads import COMPILED, ORT, OURS, Workload


def load(engine: str) -> Callable[[Workload, int], Job]:
    """Import an engine; returns what builds its job from the workload and the number of threads."""
    if engine == OURS:
        from benchmarks.engines import minidistil

        return minidistil.build
    if engine == ORT:
        from benchmarks.engines import ort

        return ort.build
    from benchmarks.engines import pytorch

    return partial(pytorch.build, compiled=engine == COMPILED)
