"""The engines: each module builds the jobs of one. Imported only in that engine's own process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.jobs import Job
from benchmarks.works import COMPILED, ORT, OURS, Work


def load(engine: str) -> Callable[[Work, int], Job]:
    """Import an engine; returns what builds its job from the work and the number of threads."""
    if engine == OURS:
        from benchmarks.engines import ours

        return ours.build
    if engine == ORT:
        from benchmarks.engines import ort

        return ort.build
    from benchmarks.engines import pytorch

    return partial(pytorch.build, compiled=engine == COMPILED)
