"""Number of threads that compute, and BLAS held to one: `minidistil.kernels.engine.pool` has the threads.

Two pools would have idle workers that spin and steal the cores: with OpenBLAS's own threads beside another
pool, a matrix product loses a quarter of its speed and a pointwise kernel four fifths.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minidistil.arguments import check_integer
from minidistil.errors import UsageError

count: int | None = None  # threads in use, once somebody has asked


def available_cores() -> int:
    """Cores this process may use: its affinity mask, cut to the cgroup's quota (cgroup v2 cpu.max)."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        cores = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return cores


def get_num_threads() -> int:
    """Threads in use: `set_num_threads`, else MINIDISTIL_THREADS, else the cores available."""
    global count
    if count is None:
        wanted = os.environ.get("MINIDISTIL_THREADS", "")
        if wanted and not (wanted.isdigit() and int(wanted) >= 1):
            raise UsageError(f"MINIDISTIL_THREADS must be a positive integer, not {wanted!r}")
        count = int(wanted) if wanted else available_cores()
    return count


def set_num_threads(n: int) -> None:
    """Use `n` threads from now on. Results do not depend on it, bit for bit."""
    global count
    check_integer("the number of threads", n, 1)
    count = int(n)


class _SingleThreadedBlas:
    """Holds every loaded BLAS at one thread while anyone is inside, then restores it."""

    def __init__(self) -> None:
        self._lock, self._depth = threading.Lock(), 0
        self._libraries: list[Any] | None = None
        self._before: list[int] = []

    def forked(self) -> None:
        """Renew the state in a forked child, where no thread is inside."""
        self._lock, self._depth = threading.Lock(), 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._libraries is None:
                from threadpoolctl import ThreadpoolController

                self._libraries = ThreadpoolController().select(user_api="blas").lib_controllers
            if self._depth == 0:
                self._before = [library.get_num_threads() for library in self._libraries]
                for library in self._libraries:
                    library.set_num_threads(1)
            self._depth += 1
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if self._depth == 0:
                    for library, count in zip(self._libraries, self._before, strict=True):
                        library.set_num_threads(count)


single_threaded_blas = _SingleThreadedBlas()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=single_threaded_blas.forked)
