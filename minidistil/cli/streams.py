"""Standard streams of the command: their encoding and their failures, and the reason for an exit code."""

from __future__ import annotations

import codecs
import json
import os
import sys
from contextlib import suppress
from typing import Any

from minidistil.streams import is_terminal, say

ESCAPE = "minidistil.escape"


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Escape, as JSON does, the characters that an encoding lacks: right in JSON, and readable elsewhere."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(ESCAPE, _escape)


def prepare() -> None:
    """Make the standard streams fit to be used.

    Output that goes to a pipe or a file is UTF-8, unless PYTHONIOENCODING says otherwise; a terminal has its
    encoding. What an encoding cannot say is escaped. A stream that is closed swallows what is written; its
    descriptor is taken, or the next file that is opened would get its number, and what is meant for it.
    """
    with suppress(OSError):
        while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:
            pass
        os.close(descriptor)
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None or getattr(stream, "closed", False):
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            free = not is_terminal(stream) and "PYTHONIOENCODING" not in os.environ
            stream.reconfigure(encoding="utf-8" if free else None, errors=ESCAPE)


def as_utf_8(argument: str) -> str:
    """Decode an argument of the command line as UTF-8; unchanged if its bytes are not UTF-8."""
    try:
        return argument if argument.isascii() else os.fsencode(argument).decode()
    except UnicodeError:
        return argument


def complain(text: str) -> None:
    """Print the reason for an exit code to standard error."""
    if not say(text):
        abandon(sys.stderr)


def abandon(stream: Any) -> None:
    """Redirect a broken stream to the null device, so that the flush at exit cannot fail."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
