"""Patient knowledge distillation (PKD): squared distance of the directions of hidden states."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minidistil.arrays import floats, floats_like
from minidistil.losses.base import Loss, kept_rows, unit_rows, unit_rows_backward


@np.errstate(invalid="ignore", over="ignore")  # a NaN or an Inf goes through; the trainer names it
def pkd(
    student: npt.ArrayLike, teacher: npt.ArrayLike, *, mask: npt.ArrayLike | None = None, eps: float = 1e-12
) -> Loss:
    """|s/|s| - t/|t||^2, summed over rows.

    Parameters
    ----------
    student, teacher : float [N, H]
        Hidden states: in the paper those of [CLS], one row for each example and each pair of layers.
    mask : bool [N], optional
        Only rows where it is true count.
    eps : float
        Added to both squared lengths, so that a zero vector stays zero.

    Returns
    -------
    Loss
        `sum` lies between 0 and 4 a row; `count` is the number of rows that count; `grad` is [N, H].

    Notes
    -----
    With u = s / r, r = sqrt(|s|^2 + eps), and v likewise from t, one row costs

        L = |u - v|^2,    dL/du = 2 (u - v)

    and, since du/ds takes out what points along u (`unit_rows_backward`),

        dL/ds = (dL/du - (dL/du.u) u) / r

    For vectors that are not zero, |u - v|^2 = 2 - 2 u.v: twice `cosine`, gradient and all. It is written
    out because it is what the paper says, and because a difference of nearly equal vectors keeps its
    digits where 1 - c has lost them. A zero vector is another matter: here it costs 1 against any unit
    vector and 0 against another zero; for `cosine` it stands at a right angle to everything.

    This is L_PT of Sun et al. 2019 (arXiv:1908.09355, section 3.2), there summed over the [CLS] states of
    each example in chosen layers: PKD-Skip takes every k-th layer of the teacher, PKD-Last the last k, and
    neither takes the very last, whose output the soft labels see to.
    """
    s = floats("student", student, "N H")
    t = floats_like("teacher", teacher, "student", s)
    keep = kept_rows(mask, len(s))
    u, lengths = unit_rows(s[keep], eps)  # [M, H], [M, 1]
    v, _ = unit_rows(t[keep], eps)
    difference = u - v  # [M, H]
    grad = np.zeros_like(s)
    grad[keep] = unit_rows_backward(2 * difference, u, lengths)
    return Loss(float((difference * difference).sum(dtype=np.float64)), len(difference), grad)
