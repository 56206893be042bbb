"""Compilation of kernels: without the GIL, cached, and with fast-math flags that lose no NaN.

- `nogil`: kernels run side by side on the threads of `engine.pool`.
- `error_model="numpy"`: dividing by zero gives infinity. Python's ZeroDivisionError would put a branch
  into every loop that divides, and a loop with a branch does not run in vector lanes.
- fast-math flags one by one. Never the whole of it: that may assume that no NaN and no infinity exist.
- compiled once for a machine (`cache`), into code whose bits depend on nothing else (`library`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numba
from llvmlite.binding.ffi import lib as llvm
from numba.core import event
from numba.core.compiler_lock import global_compiler_lock

from minidistil import forks
from minidistil.kernels.engine.cache import KernelCache
from minidistil.kernels.engine.library import KernelCompiler

logger = logging.getLogger(__name__)
SECONDS_BEFORE_NOTES, SECONDS_BETWEEN_NOTES = 1.0, 10.0
FIRST_NOTE = "compiling kernels that were not needed here before: once, and up to half a minute (%d done)"
LATER_NOTE = "compiled %d kernels"

CONFIG: Any = numba.config
OPTIONS: Any = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


class _Notice(event.Listener):
    """Notice that kernels are being compiled, if it takes long, and now and then how many are done."""

    def __init__(self) -> None:
        self.done, self.next, self.note = 0, 0.0, FIRST_NOTE

    def on_start(self, event: Any) -> None:
        if self._is_ours(event):
            self.next = self.next or time.monotonic() + SECONDS_BEFORE_NOTES
            self._tell()

    def on_end(self, event: Any) -> None:
        if self._is_ours(event):
            self.done += 1
            self._tell()

    def _tell(self) -> None:
        if time.monotonic() > self.next:
            logger.info(self.note, self.done)
            self.next, self.note = time.monotonic() + SECONDS_BETWEEN_NOTES, LATER_NOTE

    def _is_ours(self, event: Any) -> bool:
        return str(event.data["dispatcher"].py_func.__module__).startswith("minidistil.kernels")


if not CONFIG.DISABLE_JIT:
    event.register("numba:compile", _Notice())
    forks.wait_for(global_compiler_lock, llvm._lock)  # in the order in which compiling takes them


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: compile on first use, or load what was compiled from the same files."""

    def compiled(function: Callable[..., Any]) -> Any:
        result = numba.njit(pipeline_class=KernelCompiler, **OPTIONS, **options)(function)
        if not CONFIG.DISABLE_JIT:
            result._cache = KernelCache(function)
        return result

    return compiled


# Every result rounds like the textbook's, operation by operation. (Said outright: a function that says
# nothing takes over the flags of the kernel that calls it.)
strict = kernel(fastmath=False)

# A product and a sum may become one fused multiply-add.
contract = kernel(fastmath={"contract"})

# Sums along a row may also be taken in another order, in vector lanes: always the same one.
reassociate = kernel(fastmath={"contract", "reassoc", "nsz"})
