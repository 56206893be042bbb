"""How kernels are compiled: without the GIL, cached, and with fast-math flags that lose no NaN.

- `nogil`: kernels run side by side on `minidistil.threads`.
- `error_model="numpy"`: dividing by zero gives infinity. Python's ZeroDivisionError would put a branch
  into every loop that divides, and a loop with a branch does not run in vector lanes.
- fast-math flags one by one. Never the whole of it: that may assume that no NaN and no infinity exist.
- `cache`: compiled once for a machine. Numba compiles a kernel anew when its own file changes, but not when
  a kernel that it calls does, which is part of it. So every kernel goes by the state of all files here too.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import event

logger = logging.getLogger(__name__)
SECONDS_BETWEEN_NOTES = 10.0

CONFIG: Any = numba.config
OPTIONS: Any = {"nogil": True, "error_model": "numpy"}


def _stamp() -> str:
    """Changes whenever a file of this package does."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    state = [(str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files]
    return hashlib.sha256(repr(state).encode()).hexdigest()


STAMP = _stamp()


class _Notice(event.Listener):
    """Says that kernels are being compiled, and now and then how many are done: it takes half a minute."""

    def __init__(self) -> None:
        self.done, self.said = 0, 0.0

    def on_start(self, event: Any) -> None:
        if not self.said and self._is_ours(event):
            logger.info("compiling kernels for this machine, once: about half a minute")
            self.said = time.monotonic()

    def on_end(self, event: Any) -> None:
        self.done += self._is_ours(event)
        if self.said and time.monotonic() - self.said > SECONDS_BETWEEN_NOTES:
            logger.info("compiled %d kernels", self.done)
            self.said = time.monotonic()

    def _is_ours(self, event: Any) -> bool:
        return str(event.data["dispatcher"].py_func.__module__).startswith(__package__)


if not CONFIG.DISABLE_JIT:
    event.register("numba:compile", _Notice())


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: compile on first use, or load what was compiled from the same files."""

    def compiled(function: Callable[..., Any]) -> Any:
        result = numba.njit(cache=True, **OPTIONS, **options)(function)
        if not CONFIG.DISABLE_JIT:
            file = result._cache._cache_file
            file._source_stamp = (file._source_stamp, STAMP)
        return result

    return compiled


# Every result rounds like the textbook's, operation by operation. (Said outright: a function that says
# nothing takes over the flags of the kernel that calls it.)
exact = kernel(fastmath=False)

# A product and a sum may become one fused multiply-add.
pointwise = kernel(fastmath={"contract"})

# Sums along a row may also be taken in another order, in vector lanes: always the same one.
summing = kernel(fastmath={"contract", "reassoc", "nsz"})
