"""Memory of the process as a whole."""

from __future__ import annotations

import ctypes
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


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


def available_memory() -> int | None:
    """Bytes this process may have in all: what it has, and what the system and its cgroup would still give.

    None where the system does not say (it does on Linux).
    """
    own = _field("/proc/self/status", "VmRSS")
    free = _field("/proc/meminfo", "MemAvailable")
    if own is None or free is None:
        return None
    limit, used = (_number(CGROUP / name) for name in ("memory.max", "memory.current"))
    if limit is not None and used is not None:
        # Cached files count as used, but give way.
        inactive = _field(CGROUP / "memory.stat", "inactive_file", scale=1) or 0
        free = min(free, max(0, limit - used + inactive))
    return own + free


def peak_memory() -> int | None:
    """The most bytes this process ever had in memory; None where the system does not say."""
    return _field("/proc/self/status", "VmHWM")


def _field(path: str | Path, name: str, scale: int = 1024) -> int | None:
    """The number after a name at the beginning of a line; these files count in KiB."""
    try:
        for line in Path(path).read_text(encoding="ascii").splitlines():
            words = line.replace(":", " ").split()
            if words and words[0] == name:
                return int(words[1]) * scale
    except (OSError, ValueError, IndexError):
        pass
    return None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file; or "max"
        return None
