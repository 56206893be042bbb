"""Standard streams as they are found: a terminal, a pipe, a full disk, closed, or none at all.

A failing standard error never ends a run: its messages are lost. (`print` to a stream
that is None would print to standard output, among the data.)
"""

from __future__ import annotations

import sys
from typing import Any


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
