"""The machine and the versions that numbers belong to."""

from __future__ import annotations

import platform
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from minidistil.jobs.provenance import cpuinfo, processor
from minidistil.threads import available_cores

PACKAGES = ("minidistil", "numpy", "numba", "torch", "transformers", "onnxruntime")
INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "avx512_fp16", "amx_tile", "asimd")
BUSY = 0.1  # share of the machine's time that others may take before we warn


def describe() -> dict[str, Any]:
    """Processor, cores, instruction sets, memory, system and versions."""
    cpu = cpuinfo()
    flags = cpu.get("flags", cpu.get("Features", "")).split()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor(),
        "family": "/".join(cpu.get(key, "?") for key in ("cpu family", "model", "stepping")),
        "cores": available_cores(),
        "instructions": [name for name in INSTRUCTIONS if name in flags],
        "memory_gb": round(_memory_bytes() / 1e9),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "busy": busy_share(),
    }


def busy_share(seconds: float = 1.0) -> float | None:
    """Share of all cores' time that anyone used while we slept; None where the system does not say."""
    before = _cpu_times()
    time.sleep(seconds)
    after = _cpu_times()
    if before is None or after is None:
        return None
    idle, total = (b - a for a, b in zip(before, after, strict=True))
    return round(1 - idle / max(total, 1), 3)


def _cpu_times() -> tuple[int, int] | None:
    """Ticks of all cores since boot: idle (waiting for a disk included), and in all."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return None
    ticks = [int(word) for word in first.split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def _memory_bytes() -> int:
    try:
        words = Path("/proc/meminfo").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return int(words[words.index("MemTotal:") + 1]) * 1024


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
