"""Cause of a NaN, an Inf or a divergence, as far as arrays show it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minidistil.parameters import Parameters
from minidistil.train.state import TrainState


def trouble(what: str, state: TrainState, params: Parameters, grads: Parameters, saved: Path | None) -> str:
    """Error message for a step that went wrong: where it was, and what helps to find the cause."""
    batch = state.batch + state.micro + 1
    clues = [
        f"the first {kind} that is not finite: {name}"
        for kind, parameters in (("parameter", params), ("gradient", grads))
        if (name := first_not_finite(parameters)) is not None
    ]
    last = f"The last good checkpoint is {saved}" if saved else "No checkpoint had been saved yet"
    return (
        f"step {state.step + 1} (epoch {state.epoch + 1}, micro-batch {batch}): "
        f"{'; '.join([what, *clues])}. {last}; try a smaller learning rate, or clipping"
    )


def first_not_finite(parameters: Parameters) -> str | None:
    """Name of the first array with a NaN or an Inf; None if there is none."""
    return next((name for name, values in parameters.items() if not np.isfinite(values).all()), None)
