"""Progress of anything that takes a while: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from minidistil.streams import is_terminal, say

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Display of a piece of work: how far it is, how fast it goes, and how long it will still take.

    On a terminal a tqdm bar, otherwise a plain line every 10 seconds and one at the end. Always on
    standard error: standard output is for data. Where there is no standard error, or it takes nothing,
    nothing is shown.

    Parameters
    ----------
    total : int or None
        Units of work; None if unknown.
    label, unit : str
        The activity and its unit: "training", "step".
    done : int
        Units finished before, by a run that this one continues. They do not count for the rate.
    quiet : bool
        Show nothing.

    Examples
    --------
    >>> with Progress(1000, "reading", "line", quiet=True) as progress:
    ...     progress.update(10, loss=0.5)
    """

    def __init__(
        self, total: int | None, label: str, unit: str = "it", *, done: int = 0, quiet: bool = False
    ) -> None:
        self.total, self.label, self.unit = total, label, unit
        self.done, self.quiet = done, quiet
        self._first = done
        self._values: dict[str, float] = {}
        self._bar: Any = None
        self._stream: Any = sys.stderr
        self._began = self._last_line = time.monotonic()
        self._shown = -1
        if not quiet and is_terminal(self._stream):
            from tqdm import tqdm

            class Bar(tqdm):  # type: ignore[misc]
                monitor_interval = 0  # no thread that watches for a stalled bar

            self._bar = Bar(
                total=total, desc=label, unit=unit, initial=done, file=self._stream, dynamic_ncols=True
            )

    def update(self, n: int = 1, **values: float) -> None:
        """`n` more units are done. `values` are shown beside them until they change."""
        self.done += n
        self._values.update(values)
        if self._bar is not None:
            self._draw(lambda: self._bar.set_postfix_str(self._describe_values(), refresh=False))
            self._draw(lambda: self._bar.update(n))
        elif not self.quiet and time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._line()

    def note(self, text: str) -> None:
        """A line of text that does not break the bar."""
        if self._bar is not None:
            self._draw(lambda: self._bar.write(text, file=self._stream))
        elif not self.quiet and self._stream is not None:
            say(text, stream=self._stream)

    def close(self) -> None:
        """Leave the bar, or print the last line if it is not out yet."""
        if self._bar is not None:
            self._draw(lambda: self._bar.close())
        elif not self.quiet and self._shown != self.done and self.done > self._first:
            self._line()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _line(self) -> None:
        self._last_line, self._shown = time.monotonic(), self.done
        elapsed = self._last_line - self._began
        rate = (self.done - self._first) / elapsed if elapsed > 0 else 0.0
        parts = [
            f"{self.done}/{self.total} {self.unit}" if self.total is not None else f"{self.done} {self.unit}"
        ]
        if rate > 0:
            parts.append(f"{rate:.3g} {self.unit}/s")
            if self.total is not None and self.done < self.total:
                parts.append(f"{duration((self.total - self.done) / rate)} left")
        if self._values:
            parts.append(self._describe_values())
        if self._stream is not None:
            say(f"{self.label}: {', '.join(parts)}", stream=self._stream)

    def _draw(self, change: Callable[[], object]) -> None:
        """Change the bar; a terminal that has gone takes it with it."""
        if self._bar is not None:
            try:
                change()
            except (OSError, ValueError):
                self._bar, self.quiet = None, True

    def _describe_values(self) -> str:
        return ", ".join(f"{name} {value:.4g}" for name, value in self._values.items())


def duration(seconds: float) -> str:
    """75 -> "1:15", 3725 -> "1:02:05"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
