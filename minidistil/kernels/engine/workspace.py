"""Reusable memory: every training step needs the same buffers as the one before.

Memory fresh from the system is mapped page by page on first touch, which cost a tenth of a fine-tuning step.
`empty` hands out arrays whose memory comes back here when the last view of them is gone.
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.precision import PRECISIONS

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
        # What comes back does so whenever garbage is collected, even in the middle of `take`, whose thread
        # holds the lock: so it waits here, without one, until someone comes by.
        self._returned: deque[Block] = deque()
        self._used = 0
        self._waiting = 0
        self.peak = 0  # the most bytes that were ever handed out

    @property
    def used(self) -> int:
        """Bytes handed out."""
        with self._lock:
            self._collect()
            return self._used

    @property
    def free(self) -> int:
        """Bytes waiting to be used again."""
        with self._lock:
            self._collect()
            return self._waiting

    def take(self, size: int) -> Block:
        """An aligned block of at least `size` bytes."""
        with self._lock:
            self._collect()
            best, most = -1, SLACK * size + 1
            for i in range(len(self._free) - 1, -1, -1):
                if size <= len(self._free[i]) < most:
                    best, most = i, len(self._free[i])
                    if most == size:  # as nearly always, after a first step
                        break
            if best >= 0:
                block = self._free.pop(best)
                self._waiting -= len(block)
            else:
                self.peak = max(self.peak, self._used + size)
                while self._free and self._used + self._waiting + size > self.peak:
                    self._waiting -= len(self._free.pop(0))
                raw: Any = np.empty(size + ALIGNMENT, np.uint8)
                block = (ctypes.c_char * size).from_buffer(raw, -raw.ctypes.data % ALIGNMENT)
            self._used += len(block)
            self.peak = max(self.peak, self._used)
            return block

    def give_back(self, block: Block) -> None:
        self._returned.append(block)  # at once, whatever other threads do

    def clear(self) -> None:
        """Give what is free back to the system."""
        with self._lock:
            self._collect()
            self._free.clear()
            self._waiting, self.peak = 0, self._used

    def _collect(self) -> None:
        """Count what came back."""
        while self._returned:
            block = self._returned.popleft()
            self._used -= len(block)
            self._waiting += len(block)
            self._free.append(block)

    def forked(self) -> None:
        """Renew the lock in a forked child, in case another thread of the parent held it."""
        self._lock = threading.Lock()


class _Lease(np.ndarray):
    """A block while arrays look into it: NumPy keeps it alive as their `base`.

    (It would look through to the base of the base if that were an array; so blocks are none.)
    """

    block: Block
    home: Workspace

    def __del__(self) -> None:
        self.home.give_back(self.block)


workspace = Workspace()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=workspace.forked)


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


# Kernels take these in place of an array that is not given.
NO_VECTOR = {np.dtype(each.stored): np.zeros(0, each.stored) for each in PRECISIONS.values()}
NO_MATRIX = {dtype: vector.reshape(0, 0) for dtype, vector in NO_VECTOR.items()}
