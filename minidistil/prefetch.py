"""Prefetching: work that threads do in advance.

The threads of `concurrent.futures` refuse work once the main thread has ended, and in handlers of atexit,
when other threads of the program may still have some. If no thread can be started at all, as there since
Python 3.12, the caller does the work.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def prefetch(items: Iterable[T]) -> Iterator[T]:
    """The same items, each made by a thread while the one before it is used.

    Worth it where making them leaves Python's lock alone, as tokenising does. What making an item raises is
    raised where it would be used.

    Examples
    --------
    >>> list(prefetch(n * n for n in range(4)))
    [0, 1, 4, 9]
    """
    source, end = iter(items), object()
    with _Threads(1) as thread:
        coming = thread.submit(lambda: next(source, end))
        while (item := coming.result()) is not end:
            coming = thread.submit(lambda: next(source, end))
            yield item


def map_ahead(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[tuple[T, R]]:
    """Items in order, each with what the function makes of it; threads are at most as many items ahead.

    Examples
    --------
    >>> list(map_ahead(abs, [1, -2, 3], threads=2))
    [(1, 1), (-2, 2), (3, 3)]
    """
    waiting: deque[tuple[T, _Task]] = deque()
    with _Threads(threads) as pool:
        for item in items:
            waiting.append((item, pool.submit(lambda item=item: function(item))))  # type: ignore[misc]
            if len(waiting) > threads:
                first, task = waiting.popleft()
                yield first, task.result()
        while waiting:
            first, task = waiting.popleft()
            yield first, task.result()


class _Task:
    """A call that one thread makes, and another may wait for."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call, self._done = call, threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:  # raised where it is waited for
            self._error = error
        self._done.set()

    def result(self) -> Any:
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._result


class _Threads:
    """Threads that run tasks in order, and end with the block."""

    def __init__(self, count: int) -> None:
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        for _ in range(count):
            # A daemon, as an iterator that nobody finishes or closes must not keep the process.
            thread = threading.Thread(target=self._work, name="ahead", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # at the interpreter's shutdown, or beyond the limit of threads
                break
            self._threads.append(thread)

    def submit(self, call: Callable[[], Any]) -> _Task:
        task = _Task(call)
        if self._threads:
            self._tasks.put(task)
        else:
            task.run()
        return task

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task.run()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()
