"""One pool of threads for everything that runs in parallel.

Kernels are compiled without the GIL and take a range of rows; this pool hands the ranges out. Matrix
products run on it too, as panels that each call a single-threaded BLAS, so there is no second pool
whose idle workers spin and steal the cores (with OpenBLAS's own threads beside Numba's, a matrix
product loses a quarter of its speed and a pointwise kernel four fifths).

Idle workers sleep. A forked child starts a pool of its own. Several Python threads may compute at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minidistil.errors import UsageError

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_count: int | None = None


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
    global _count
    if _count is None:
        wanted = os.environ.get("MINIDISTIL_THREADS", "")
        if wanted and not (wanted.isdigit() and int(wanted) >= 1):
            raise UsageError(f"MINIDISTIL_THREADS must be a positive integer, not {wanted!r}")
        _count = int(wanted) if wanted else available_cores()
    return _count


def set_num_threads(n: int) -> None:
    """Use `n` threads from now on. Results do not depend on it, bit for bit."""
    global _count
    if n < 1:
        raise UsageError(f"the number of threads must be at least 1, not {n}")
    _count = n
    _drop_pool()


def _drop_pool() -> None:
    global _pool
    with _lock:
        old, _pool = _pool, None
    if old is not None:
        old.shutdown(wait=False)


def _forget_pool() -> None:
    """After a fork only the calling thread exists: forget the parent's pool and its lock."""
    global _pool, _lock
    _lock, _pool = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _get_pool() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, get_num_threads() - 1), thread_name_prefix="minidistil")
        return _pool


def parallel_for(task: Callable[[int], Any], n: int) -> None:
    """Call `task(i)` for every i in range(n), on all threads, each taking the next free i.

    `task` should spend its time without the GIL. The caller's thread works too.
    """
    helpers = min(get_num_threads(), n) - 1
    if helpers < 1:
        for i in range(n):
            task(i)
        return
    numbers = iter(range(n))  # next() on a range iterator holds the GIL: no two threads get the same i

    def work() -> None:
        for i in numbers:
            task(i)

    pool = _get_pool()
    futures = [pool.submit(work) for _ in range(helpers)]
    try:
        work()
    finally:
        wait(futures)  # no thread may still write into our arrays when we leave
    for future in futures:
        future.result()


def run_rows(kernel: Callable[..., Any], rows: int, *args: Any, grain: int = 64) -> None:
    """Call `kernel(*args, start, stop)` over ranges that cover range(rows), on all threads.

    For kernels whose rows do not depend on each other, so that the ranges may depend on the number of
    threads. `grain` is the least number of rows worth a thread.
    """
    parts = max(1, min(4 * get_num_threads(), rows // grain)) if get_num_threads() > 1 else 1
    if parts == 1:
        kernel(*args, 0, rows)
        return
    parallel_for(lambda i: kernel(*args, i * rows // parts, (i + 1) * rows // parts), parts)


class _SingleThreadedBlas:
    """Holds every loaded BLAS at one thread while anyone is inside, then restores it."""

    def __init__(self) -> None:
        self._lock, self._depth = threading.Lock(), 0
        self._libraries: list[Any] | None = None
        self._before: list[int] = []

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
