"""Learning rate schedules."""

from __future__ import annotations

import math
from typing import get_args

from minidistil.errors import ConfigError
from minidistil.train.settings import ScheduleName


def schedule(name: ScheduleName, step: int, total: int, warmup: int) -> float:
    """Factor on the learning rate for one update.

    Parameters
    ----------
    name : {"linear", "constant", "cosine"}
        Form after the warm-up: a straight line down to 0, nothing, or half a cosine down to 0.
    step : int
        Updates already done: 0 for the first.
    total, warmup : int
        Updates in the whole run, and how many of them the factor rises over.

    Returns
    -------
    float in [0, 1]

    Raises
    ------
    ConfigError
        Unknown name.

    Notes
    -----
    The convention is that of transformers' schedules under torch's LambdaLR, so that learning curves agree:
    the first update of a run with warm-up has factor 0 / warmup = 0, and no update has factor 0 at the
    end, because the last one is number total - 1.
    """
    if name not in get_args(ScheduleName):
        raise ConfigError(f"unknown schedule {name!r}: expected one of {', '.join(get_args(ScheduleName))}")
    if step < warmup:
        return step / warmup
    if name == "constant":
        return 1.0
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return 1 - progress if name == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
