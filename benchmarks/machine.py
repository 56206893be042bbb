"""The machine and the versions that numbers belong to; the time that its cores spent."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import time
from collections.abc import Collection
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from minidistil import __version__
from minidistil.jobs.provenance import cpuinfo, processor
from minidistil.threads import available_cores

PACKAGES = ("numpy", "numba", "torch", "transformers", "onnxruntime")
INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "avx512_fp16", "amx_tile", "asimd")
BUSY = 0.1  # share of the machine's time that others may take before we warn


class CpuTimes(NamedTuple):
    """Time of the cores that this process may use, in core-seconds since boot.

    Attributes
    ----------
    at : float
        When it was read, in seconds of a clock that only differences are taken of.
    cores : int
    idle : float
        Waiting for a disk included.
    busy : float
        Everything that ran, the kernel and its interrupts included.
    steal : float
        What a hypervisor gave to other machines while something here wanted to run.
    """

    at: float
    cores: int
    idle: float
    busy: float
    steal: float


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
        "versions": {"minidistil": __version__, **{name: _version(name) for name in PACKAGES}},
        "busy": busy_share(),
    }


def commit(root: Path) -> str:
    """Commit of a checkout, marked where files are changed; empty where git cannot say."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def busy_share(seconds: float = 1.0) -> float | None:
    """Share of all cores' time that anyone used while we slept; None where the system does not say."""
    before = cpu_times()
    time.sleep(seconds)
    after = cpu_times()
    if before is None or after is None:
        return None
    idle, total = after.idle - before.idle, after.cores * (after.at - before.at)
    return round(min(max(1 - idle / total, 0.0), 1.0), 3)


def cpu_times(stat: Path = Path("/proc/stat")) -> CpuTimes | None:
    """A reading of /proc/stat; None where there is none, or a quota hides which cores are ours."""
    try:
        ours, text = os.sched_getaffinity(0), stat.read_text(encoding="ascii")
    except (AttributeError, OSError):
        return None
    if available_cores() < len(ours):
        return None
    return read_cpu_times(text, ours, os.sysconf("SC_CLK_TCK"), time.perf_counter())


def read_cpu_times(text: str, cores: Collection[int], ticks: int, at: float) -> CpuTimes:
    """Sums over the lines of these cores, which count user, nice, system, idle, iowait, irq, softirq, steal.

    `ticks` is how many of them make a second. proc_pid_stat(5) and proc_stat(5) describe the fields.
    """
    names = {f"cpu{core}" for core in cores}
    rows = [line.split()[1:9] for line in text.splitlines() if line.split(" ", 1)[0] in names]
    user, nice, system, idle, iowait, irq, softirq, steal = (
        sum(map(int, column)) / ticks for column in zip(*rows, strict=True)
    )
    return CpuTimes(at, len(rows), idle + iowait, user + nice + system + irq + softirq, steal)


def process_seconds(pid: int) -> float:
    """Core-seconds of a process, its threads, and those children that have ended; NaN where unknown."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return math.nan
    return read_process_seconds(text, os.sysconf("SC_CLK_TCK"))


def read_process_seconds(text: str, ticks: int) -> float:
    """Sum of utime, stime, cutime and cstime, fields 14 to 17; the second is a name that may hold spaces."""
    fields = text.rpartition(")")[2].split()  # from the third on
    return sum(map(int, fields[11:15])) / ticks


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
