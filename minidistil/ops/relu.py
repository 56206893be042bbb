"""The rectifier: the activation of DistilBERT's sequence classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]


def relu_forward(x: Array) -> tuple[Array, Array]:
    """max(x, 0) of every element. NaN stays NaN."""
    return np.maximum(x, 0), x


def relu_backward(dout: Array, cache: Array) -> Array:
    """Gradient of the rectifier.

    Notes
    -----
    The slope is 1 where x > 0 and 0 elsewhere, at 0 itself as in PyTorch.
    """
    return dout * (cache > 0)
