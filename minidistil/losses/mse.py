"""Mean squared error: for hidden states, for logits, and for regression."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minidistil.arrays import floats, floats_like
from minidistil.losses.base import Loss, kept_rows


@np.errstate(invalid="ignore", over="ignore")  # a NaN or an Inf goes through; the trainer names it
def mean_squared_error(
    student: npt.ArrayLike, teacher: npt.ArrayLike, *, mask: npt.ArrayLike | None = None
) -> Loss:
    """The mean over features of (student - teacher)^2, summed over rows.

    Parameters
    ----------
    student, teacher : float [N, H] or [N]
        Hidden states, logits, or predictions and targets of a regression ([N] is [N, 1]).
    mask : bool [N], optional
        Only rows where it is true count.

    Returns
    -------
    Loss
        `count` is the number of rows that count, so that `mean` is the mean over all their entries,
        as PyTorch's `MSELoss` has it; `grad` is shaped like `student`.

    Notes
    -----
    For one row, L = 1/H sum_j (s_j - t_j)^2, so dL/ds_j = 2/H (s_j - t_j).

    The convention matters when losses are weighed against each other. The mean over H makes the loss
    comparable between widths; DistilBERT's training code sums over the vocabulary in its (unused)
    `mse` term instead, which is this one times V.

    On logits it is what `soft_label_kl` tends to for high temperatures, up to a factor: the gradient
    there is (z_s - z_t) / C for logits of mean zero, here it is twice that.
    """
    s = floats("student", student, "N", "N H")
    t = floats_like("teacher", teacher, "student", s)
    keep = kept_rows(mask, len(s))
    difference = s[keep] - t[keep]  # [M, H] or [M]
    features = s.shape[1] if s.ndim == 2 else 1
    grad = np.zeros_like(s)
    grad[keep] = difference * (2 / features)
    return Loss(float((difference * difference).sum(dtype=np.float64)) / features, len(difference), grad)
