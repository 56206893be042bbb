"""What a run was made with."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
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
        "processor": _processor(),
        "cores": available_cores(),
        "threads": get_num_threads(),
    }


def _processor() -> str:
    """Its name, where Linux tells; else what Python knows."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or os.uname().machine
