"""Which module computes."""

from __future__ import annotations

from types import ModuleType

from minidistil.errors import UsageError


def get_backend(name: str) -> ModuleType:
    """The module that computes: "numpy" (the textbook) or "numba" (the kernels)."""
    if name == "numpy":
        import minidistil.ops as backend
    elif name == "numba":
        import minidistil.kernels as backend  # type: ignore[no-redef]  # same names, by design
    else:
        raise UsageError(f"backend must be 'numpy' or 'numba', not {name!r}")
    return backend
