"""One pool of threads for everything that runs in parallel.

Compiled kernels share their rows with it natively (`kernels.engine.parallel`): handing a job over costs
a microsecond while the pool is awake. Matrix products that go to BLAS run on it too, as panels that each
call a single-threaded BLAS (`parallel_for`), so there is no second pool whose idle workers spin and steal
the cores (with OpenBLAS's own threads beside another pool, a matrix product loses a quarter of its speed
and a pointwise kernel four fifths).

An idle worker looks for the next job for a third of a millisecond and then sleeps. A forked child starts a
pool of its own. Several Python threads may compute at once.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_integer
from minidistil.errors import UsageError

_lock = threading.Lock()
_pool: _Pool | None = None
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
    check_integer("the number of threads", n, 1)
    _count = int(n)
    _drop_pool()


def _drop_pool() -> None:
    global _pool
    with _lock:
        old, _pool = _pool, None
    if old is not None:
        old.stop()


def _forget_pool() -> None:
    """After a fork only the calling thread exists: forget the parent's pool and its lock."""
    global _pool, _lock
    _lock, _pool = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _yield_address() -> int:
    """Address of the system's call that lets other threads run; 0 where there is none."""
    try:
        library: Any = ctypes.CDLL("kernel32" if os.name == "nt" else None)
        function = library.SwitchToThread if os.name == "nt" else library.sched_yield
    except (AttributeError, OSError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


class _Pool:
    """Workers that sleep until a bell rings, then do the tasks there are and serve jobs for a while."""

    def __init__(self, count: int) -> None:
        from minidistil.kernels.engine import native, parallel

        native.register()
        self._serve, self._leave = parallel.serve, parallel.LEAVE
        # Looking for work while there are more threads than cores keeps the others from theirs.
        self._spins = parallel.SPINS if count <= available_cores() else 1
        self.state: npt.NDArray[np.int64] = np.zeros(parallel.STATE_SIZE, np.int64)
        self.state[parallel.THREADS] = count
        self.state[parallel.YIELDER] = _yield_address()
        self.workers = count - 1
        self._bell = threading.Semaphore(0)
        self._asleep: deque[None] = deque()
        self._tasks: deque[Callable[[], None]] = deque()
        self._stopped = False
        self.sharing = threading.Lock()
        for i in range(self.workers):
            try:
                threading.Thread(target=self._work, name=f"minidistil-{i + 1}", daemon=True).start()
            except RuntimeError:  # at the interpreter's shutdown, or beyond the limit of threads
                self.workers = i
                self.state[parallel.THREADS] = 1 + i
                break

    def _work(self) -> None:
        while True:
            self._asleep.append(None)
            self._bell.acquire()
            if self._stopped:
                return
            while self._tasks:
                try:
                    task = self._tasks.popleft()
                except IndexError:  # another worker has it
                    break
                task()
            self._serve(self.state, self._spins)

    def wake(self) -> None:
        """Ring for every worker that sleeps."""
        while self._asleep:
            try:
                self._asleep.pop()
            except IndexError:  # another thread has rung for it
                return
            self._bell.release()

    def share(self, work: Callable[[], None], helpers: int) -> None:
        """Call `work` here and on up to `helpers` workers, and wait for those that began it.

        When it is done here, nothing is left of it for those that did not, be it that they were late or
        that the pool was stopped. The caller holds `sharing`.
        """
        finished, errors = threading.Semaphore(0), deque[BaseException]()

        def task() -> None:
            try:
                work()
            except BaseException as error:  # re-raised below, where the caller is
                errors.append(error)
            finally:
                finished.release()

        self.state[self._leave] = 1
        self._tasks.extend([task] * helpers)
        self._bell.release(helpers)
        try:
            work()
        finally:
            begun = helpers
            with suppress(IndexError):  # workers take tasks too: the last may be gone at any moment
                while self._tasks:
                    self._tasks.popleft()
                    begun -= 1
            for _ in range(begun):  # no thread may still write into our arrays when we leave
                finished.acquire()
            self.state[self._leave] = 0
        if errors:
            raise errors[0]

    def stop(self) -> None:
        """Let the workers end."""
        self._stopped = True
        self.state[self._leave] = 1
        if self.workers:
            self._bell.release(self.workers)


def _get_pool() -> _Pool:
    global _pool
    with _lock:
        if _pool is None:
            _pool = _Pool(get_num_threads())
        return _pool


def pool() -> npt.NDArray[np.int64]:
    """The pool's state, for `minidistil.kernels.engine.parallel.run`; wakes the workers."""
    here = _pool or _get_pool()
    here.wake()
    return here.state


def parallel_for(task: Callable[[int], Any], n: int) -> None:
    """Call `task(i)` for every i in range(n), on all threads, each taking the next free i.

    `task` should spend its time without the GIL. The caller's thread works too.
    """
    here = _get_pool()
    helpers = min(here.workers, n - 1)
    numbers = iter(range(n))  # next() on a range iterator holds the GIL: no two threads get the same i

    def work() -> None:
        for i in numbers:
            task(i)

    if helpers < 1 or not here.sharing.acquire(blocking=False):
        work()
        return
    try:
        here.share(work, helpers)
    finally:
        here.sharing.release()


class _SingleThreadedBlas:
    """Holds every loaded BLAS at one thread while anyone is inside, then restores it."""

    def __init__(self) -> None:
        self._lock, self._depth = threading.Lock(), 0
        self._libraries: list[Any] | None = None
        self._before: list[int] = []

    def forked(self) -> None:
        """In a new process nobody is inside, whoever was when it was made."""
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
