"""Memory of the process as a whole."""

from __future__ import annotations

import ctypes


def keep_freed_memory() -> None:
    """Ask glibc not to give freed arrays back to the system; without effect elsewhere.

    Every training step allocates the same activations again. Memory fresh from the system is mapped page
    by page on first touch, which cost a tenth of a fine-tuning step. It is a setting of the whole process,
    so the command line makes it, and the library does not.
    """
    mmap_threshold, trim_threshold, top_pad = -3, -1, -2  # malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(mmap_threshold, 32 << 20)  # the largest that glibc takes
    mallopt(trim_threshold, 1 << 30)
    mallopt(top_pad, 64 << 20)
