"""The hyperbolic tangent: the activation of BERT's pooler."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]


def tanh_forward(x: Array) -> tuple[Array, Array]:
    """tanh of every element.

    Returns
    -------
    out : like x
    cache : `out` itself, all that the backward pass needs
    """
    out = np.tanh(x)
    return out, out


def tanh_backward(dout: Array, cache: Array) -> Array:
    """Gradient of tanh.

    Notes
    -----
    y = tanh x gives dy/dx = 1 - tanh(x)^2 = 1 - y^2.
    """
    return dout * (1 - cache * cache)
