"""Ctrl-C and SIGTERM as a request: finish the micro-batch, save, then stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_NOTE = "\nStopping after this micro-batch{}. Once more to stop at once.\n"


@contextmanager
def interruptible(saves: bool = True) -> Iterator[Callable[[], bool]]:
    """While inside, the first SIGINT or SIGTERM only sets a flag; the second raises KeyboardInterrupt.

    Parameters
    ----------
    saves : bool
        True if the state is saved then, for the message.

    Yields
    ------
    callable
        True once a stop is requested. Always False outside the main thread, which alone may handle signals.
    """
    asked, note = False, _NOTE.format(", then saving" if saves else "").encode()

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        if sys.stderr is not None:  # else 2 may be the number of any file
            with suppress(OSError):
                os.write(2, note)  # print() may not be entered twice, and a signal can arrive inside one

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            old = signal.getsignal(number)
            if old not in (None, signal.SIG_IGN):  # a job in the background ignores SIGINT: leave it so
                before[number] = old
                signal.signal(number, handle)
    try:
        yield lambda: asked
    finally:
        for number, old in before.items():
            signal.signal(number, old)
