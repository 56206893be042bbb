"""Squared error of raw logits: the student copies the teacher's scores, not only what the softmax leaves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minidistil.arrays import floats, floats_like
from minidistil.losses.base import Loss, kept_rows


@np.errstate(invalid="ignore", over="ignore")  # a NaN or an Inf goes through; the trainer names it
def logits_mse(
    student_logits: npt.ArrayLike, teacher_logits: npt.ArrayLike, *, mask: npt.ArrayLike | None = None
) -> Loss:
    """|z_s - z_t|^2: summed over classes, and over rows.

    Parameters
    ----------
    student_logits, teacher_logits : float [N, C]
        z_s and z_t.
    mask : bool [N], optional
        Only rows where it is true count.

    Returns
    -------
    Loss
        `count` is the number of rows that count; `grad` is [N, C], zero in the others.

    Notes
    -----
    For one row, L = sum_k (z_sk - z_tk)^2, so

        dL/dz_s = 2 (z_s - z_t)

    Ba and Caruana 2014 (arXiv:1312.6184) train on logits so: a softmax forgets what is added
    to all logits alike, and hides differences between classes that are both nearly impossible.

    This is DistilBERT's optional L_mse, weight 0 in the released recipe: its authors' code sums over the
    vocabulary and divides by rows. `mean_squared_error` divides by C as well. Over 30,522 words the two are
    far apart, and so are the weights that suit them.
    """
    z_s = floats("student_logits", student_logits, "N C")
    z_t = floats_like("teacher_logits", teacher_logits, "student_logits", z_s)
    keep = kept_rows(mask, len(z_s))
    difference = z_s[keep] - z_t[keep]  # [M, C]
    grad = np.zeros_like(z_s)
    grad[keep] = 2 * difference
    return Loss(float((difference * difference).sum(dtype=np.float64)), len(difference), grad)
