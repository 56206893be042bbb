"""Memory that is used again: every training step needs the same buffers as the one before.

Memory fresh from the system is mapped page by page on first touch, which cost a tenth of a fine-tuning step.
`empty` hands out arrays whose memory comes back here when the last view of them is gone.
"""

from __future__ import annotations

import ctypes
import math
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

SMALL = 1 << 18  # bytes below which the system's own allocator is as good
ALIGNMENT = 64  # bytes: a cache line, the widest vector register
SLACK = 1.5  # a free block may be larger than what is asked for by this factor

Block = Any  # a ctypes array of bytes


class Workspace:
    """Free blocks of memory, oldest first.

    It never holds more, in use and free together, than was once in use at the same time: a block that fits
    nothing any more makes room for one that does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[Block] = []
        self.used = 0  # bytes handed out
        self.free = 0  # bytes waiting
        self.peak = 0  # the most that was ever handed out

    def take(self, size: int) -> Block:
        """An aligned block of at least `size` bytes."""
        with self._lock:
            best, most = -1, SLACK * size + 1
            for i in range(len(self._free) - 1, -1, -1):
                if size <= len(self._free[i]) < most:
                    best, most = i, len(self._free[i])
                    if most == size:  # as nearly always, after a first step
                        break
            if best >= 0:
                block = self._free.pop(best)
                self.free -= len(block)
            else:
                self.peak = max(self.peak, self.used + size)
                while self._free and self.used + self.free + size > self.peak:
                    self.free -= len(self._free.pop(0))
                raw: Any = np.empty(size + ALIGNMENT, np.uint8)
                block = (ctypes.c_char * size).from_buffer(raw, -raw.ctypes.data % ALIGNMENT)
            self.used += len(block)
            self.peak = max(self.peak, self.used)
            return block

    def give_back(self, block: Block) -> None:
        with self._lock:
            self.used -= len(block)
            self.free += len(block)
            self._free.append(block)

    def clear(self) -> None:
        """Give what is free back to the system."""
        with self._lock:
            self._free.clear()
            self.free, self.peak = 0, self.used


class _Lease(np.ndarray):
    """A block while arrays look into it: NumPy keeps it alive as their `base`.

    (It would look through to the base of the base if that were an array; so blocks are none.)
    """

    block: Block
    home: Workspace

    def __del__(self) -> None:
        self.home.give_back(self.block)


workspace = Workspace()


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Like `np.empty`, from memory that was used before if there is any; aligned."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < SMALL:
        return np.empty(shape, dtype)
    block = workspace.take(size)
    lease = _Lease(len(block), np.uint8, block)
    lease.block, lease.home = block, workspace
    return np.ndarray(shape, dtype, lease)


def empty_like(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`empty` of the shape and dtype of `x`."""
    return empty(x.shape, x.dtype)
