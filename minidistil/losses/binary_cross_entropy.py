"""Binary cross-entropy: every class is its own yes-or-no question (multi-label classification)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minidistil.arrays import floats, floats_like
from minidistil.losses.base import Loss


@np.errstate(invalid="ignore", over="ignore")  # a NaN or an Inf goes through; the trainer names it
def binary_cross_entropy(logits: npt.ArrayLike, targets: npt.ArrayLike) -> Loss:
    """-(y log p + (1 - y) log(1 - p)) with p = sigmoid(z), summed over all entries.

    Parameters
    ----------
    logits : float [N, C]
    targets : [N, C]
        1 where the class applies, 0 where not, or a probability between.

    Returns
    -------
    Loss
        `count` is N * C, so that `mean` is that of PyTorch's `BCEWithLogitsLoss`.

    Notes
    -----
    With p = 1 / (1 + exp(-z)), log p = -log(1 + exp(-z)) and log(1 - p) = -z - log(1 + exp(-z)), so

        L = (1 - y) z + log(1 + exp(-z))

    exp(-z) overflows for very negative z; log(1 + exp(-z)) = max(-z, 0) + log(1 + exp(-|z|)) does not:

        L = max(z, 0) - y z + log(1 + exp(-|z|))

    Since d log(1 + exp(-z))/dz = -exp(-z) / (1 + exp(-z)) = p - 1,

        dL/dz = (1 - y) + (p - 1) = p - y
    """
    z = floats("logits", logits, "N C")
    y = floats_like("targets", targets, "logits", z)
    e = np.exp(-np.abs(z))  # [N, C], in (0, 1]
    entries = np.maximum(z, 0) - y * z + np.log1p(e)
    p = np.where(z >= 0, 1, e) / (1 + e)  # 1 / (1 + e) = e^z / (1 + e^z)
    return Loss(float(entries.sum(dtype=np.float64)), z.size, p - y)
