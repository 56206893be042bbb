"""Standard streams as they are found: a terminal, a pipe, a full disk, closed, or none at all.

A failing standard error never ends a run: its messages are lost. (`print` to a stream
that is None would print to standard output, among the data.)
"""

from __future__ import annotations

import logging
import sys
from typing import Any


class WarnOnce(logging.Filter):
    """Filter that lets each warning pass once, such as of a long text that is read several times."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        message = record.getMessage()
        new = message not in self._said
        self._said.add(message)
        return new


def is_terminal(stream: Any) -> bool:
    """True if a stream is a terminal: not where it is None, or closed."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError, OSError):
        return False


def say(text: str, *, end: str = "\n", stream: Any = None) -> bool:
    """Write a line to standard error, or to another stream like it; False where that cannot be."""
    stream = sys.stderr if stream is None else stream
    try:
        stream.write(text + end)
        stream.flush()
    except (AttributeError, ValueError, OSError):
        return False
    return True
