"""Comparison of what the engines compute, before anything is timed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks.workloads import Array

# Largest difference over the largest value of the tensor. Sums in another order give a tenth of this at most;
# the tanh approximation of GELU, a wrong eps or an ignored mask give far more. PyTorch sums the norm that it
# clips gradients by in float32: of a large table it can be off by 3e-4.
TOLERANCES = {"gradient": 1e-3, "losses": 1e-5, "score": 1e-3}
OUTPUT_TOLERANCE = 3e-5


class DisagreementError(Exception):
    """Two engines computed different things."""


def difference(ours: Array, reference: Array) -> float:
    """Largest absolute difference, over the largest absolute value of the reference."""
    return float(np.abs(ours - reference).max() / np.abs(reference).max())


def tolerance(tensor: str) -> float:
    return TOLERANCES.get(tensor.split()[0], OUTPUT_TOLERANCE)


def compare(outputs: Mapping[str, Mapping[str, Array]]) -> dict[str, dict[str, float]]:
    """Difference of every tensor of every engine from the first one's, by tensor and engine.

    Raises
    ------
    DisagreementError
        Naming engine and tensor.
    """
    (first, reference), *others = outputs.items()
    found: dict[str, dict[str, float]] = {tensor: {} for tensor in reference}
    for engine, tensors in others:
        for tensor, expected in reference.items():
            if tensor not in tensors or tensors[tensor].shape != expected.shape:
                shape = list(tensors[tensor].shape) if tensor in tensors else "nothing"
                raise DisagreementError(f"{tensor}: {engine} gives {shape}, {first} {list(expected.shape)}")
            value = difference(tensors[tensor], expected)
            if not value <= tolerance(tensor):  # so that NaN disagrees
                raise DisagreementError(
                    f"{tensor}: {engine} differs from {first} by {value:.2g} of its largest value, "
                    f"more than {tolerance(tensor):.2g}"
                )
            found[tensor][engine] = value
    return found
