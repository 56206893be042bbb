"""Versions and machine that a run was made with."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from minidistil import __version__
from minidistil.threads import available_cores, get_num_threads

PACKAGES = ("numpy", "numba", "llvmlite", "safetensors", "tokenizers")


def provenance() -> dict[str, Any]:
    """Versions and the machine, as plain JSON."""
    return {
        "minidistil": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": available_cores(),
        "threads": get_num_threads(),
    }


def cpuinfo() -> dict[str, str]:
    """Facts of the first processor, by the names of Linux; empty elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def processor() -> str:
    """Name of the processor."""
    return cpuinfo().get("model name", platform.processor() or platform.machine())
