"""Uncertainty of a result: how far it would move with other seeds, or with other examples."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def standard_error(values: Sequence[float]) -> float:
    """Standard error of a mean: the standard deviation (n - 1 below) by the root of n.

    Parameters
    ----------
    values : sequence of float
        Independent results, such as one for each seed; for two models trained with the same seeds, the
        differences of each pair.

    Returns
    -------
    float
        NaN of fewer than two values, and where one of them is not finite.
    """
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return math.nan
    return statistics.stdev(values) / math.sqrt(len(values))


def proportion_standard_error(proportion: float, examples: int) -> float:
    """Standard error of a proportion, such as an accuracy, of independent examples: sqrt(p (1 - p) / n).

    Parameters
    ----------
    proportion : float
        From 0 to 1.
    examples : int
        How many it was counted on.

    Returns
    -------
    float
        NaN where it is not defined.
    """
    if not (0 <= proportion <= 1 and examples > 0):
        return math.nan
    return math.sqrt(proportion * (1 - proportion) / examples)
