"""Memory that is used again: every training step needs the same buffers as the one before.

Memory fresh from the system is mapped page by page on first touch, which cost a tenth of a fine-tuning step.
`empty` hands out arrays whose memory comes back here when the last view of them is gone.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

SMALL = 1 << 16  # bytes below which the system's own allocator is as good
ALIGNMENT = 64  # bytes: a cache line, the widest vector register
SLACK = 1.5  # a free block may be larger than what is asked for by this factor


class Workspace:
    """Free blocks of memory, oldest first.

    It never holds more, in use and free together, than was once in use at the same time: a block that fits
    nothing any more makes room for one that does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[npt.NDArray[np.uint8]] = []
        self.used = 0  # bytes handed out
        self.free = 0  # bytes waiting
        self.peak = 0  # the most that was ever handed out

    def take(self, size: int) -> npt.NDArray[np.uint8]:
        """A block of at least `size` bytes."""
        with self._lock:
            fits = [i for i, b in enumerate(self._free) if size <= len(b) <= SLACK * size]
            if fits:
                block = self._free.pop(min(fits, key=lambda i: len(self._free[i])))
                self.free -= len(block)
            else:
                self.peak = max(self.peak, self.used + size)
                while self._free and self.used + self.free + size > self.peak:
                    self.free -= len(self._free.pop(0))
                block = np.empty(size, np.uint8)
            self.used += len(block)
            self.peak = max(self.peak, self.used)
            return block

    def give_back(self, block: npt.NDArray[np.uint8]) -> None:
        with self._lock:
            self.used -= len(block)
            self.free += len(block)
            self._free.append(block)

    def clear(self) -> None:
        """Give what is free back to the system."""
        with self._lock:
            self._free.clear()
            self.free, self.peak = 0, self.used


class _Lease:
    """Owns a block while arrays look into it: numpy keeps it alive as their `base`."""

    __slots__ = ("__array_interface__", "_block", "_workspace")

    def __init__(self, workspace: Workspace, block: npt.NDArray[np.uint8], shape: Any, dtype: Any) -> None:
        self._workspace, self._block = workspace, block
        address = block.ctypes.data
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (address + -address % ALIGNMENT, False),
        }

    def __del__(self) -> None:
        self._workspace.give_back(self._block)


workspace = Workspace()


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Like `np.empty`, from memory that was used before if there is any; aligned."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < SMALL:
        return np.empty(shape, dtype)
    return np.asarray(_Lease(workspace, workspace.take(size + ALIGNMENT), shape, dtype))


def empty_like(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`empty` of the shape and dtype of `x`."""
    return empty(x.shape, x.dtype)
