"""What every loss returns."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]


class Loss(NamedTuple):
    """A loss as a sum, so that it adds up exactly over micro-batches and ranks.

    Attributes
    ----------
    sum : float
        Sum over whatever is counted, accumulated in float64.
    count : int
        How many terms: tokens, masked tokens, or sequences. May be 0.
    grad : array, shaped like the first input
        Gradient of `sum`, not of the mean. Whoever knows the count of the whole optimiser step divides.
    """

    sum: float
    count: int
    grad: Array

    @property
    def mean(self) -> float:
        return self.sum / self.count if self.count else 0.0
