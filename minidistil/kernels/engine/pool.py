"""One pool of threads for everything that runs in parallel.

Compiled kernels share their rows with it natively (`parallel.run`): handing a job over costs a microsecond
while the pool is awake. Matrix products that go to BLAS run on it too, as panels that each call a
single-threaded BLAS (`parallel_for`).

An idle worker looks for the next job for a third of a millisecond and then sleeps. A forked child starts a
pool of its own. Several Python threads may compute at once.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil import threads
from minidistil.kernels.engine import native, parallel
from minidistil.threads import available_cores, get_num_threads

_lock = threading.Lock()
_pool: Pool | None = None


def _yield_address() -> int:
    """Address of the system's call that lets other threads run; 0 where there is none."""
    try:
        library: Any = ctypes.CDLL("kernel32" if os.name == "nt" else None)
        function = library.SwitchToThread if os.name == "nt" else library.sched_yield
    except (AttributeError, OSError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


class Pool:
    """Workers that sleep until a bell rings, then do the tasks there are and serve jobs for a while."""

    def __init__(self, count: int) -> None:
        native.register()
        self.count = count
        # Looking for work while there are more threads than cores keeps the others from theirs.
        self._spins = parallel.SPINS if count <= available_cores() else 1
        self.state: npt.NDArray[np.int64] = np.zeros(parallel.STATE_SIZE, np.int64)
        self.state[parallel.THREADS] = count
        self.state[parallel.YIELDER] = _yield_address()
        self.workers = count - 1
        self._bell = threading.Semaphore(0)
        self._asleep: deque[None] = deque()
        self._tasks: deque[Callable[[], None]] = deque()
        self.stopped = False
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
            if self.stopped:
                return
            while self._tasks:
                try:
                    task = self._tasks.popleft()
                except IndexError:  # another worker has it
                    break
                task()
            parallel.serve(self.state, self._spins)

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

        self.state[parallel.LEAVE] = 1
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
            self.state[parallel.LEAVE] = 0
        if errors:
            raise errors[0]

    def stop(self) -> None:
        """Let the workers end."""
        self.stopped = True
        self.state[parallel.LEAVE] = 1
        if self.workers:
            self._bell.release(self.workers)


def get_pool() -> Pool:
    """The pool, of as many threads as are asked for now."""
    global _pool
    count, here = get_num_threads(), _pool
    if here is None or here.count != count:
        with _lock:
            here, old = _pool, None
            if here is None or here.count != count:
                here, old = Pool(count), here
                _pool = here
        if old is not None:
            old.stop()
    return here


def awake_pool() -> npt.NDArray[np.int64]:
    """State of the pool, for `parallel.run`; wakes the workers."""
    here = _pool
    if here is None or here.count != threads.count:
        here = get_pool()
    if here._asleep:
        here.wake()
    return here.state


def _forget_pool() -> None:
    """After a fork only the calling thread exists: forget the parent's pool and its lock."""
    global _pool, _lock
    _lock, _pool = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def parallel_for(task: Callable[[int], Any], n: int) -> None:
    """Call `task(i)` for every i in range(n), on all threads, each taking the next free i.

    `task` should spend its time without the GIL. The caller's thread works too.
    """
    here = get_pool()
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
