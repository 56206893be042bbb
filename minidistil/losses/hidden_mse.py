"""Squared error of hidden states of unequal widths, through a projection that is learnt along."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array, floats
from minidistil.errors import InputError
from minidistil.losses.base import kept_rows
from minidistil.losses.mse import mean_squared_error


class ProjectedLoss(NamedTuple):
    """A `Loss` that also has a gradient by its projection.

    Attributes
    ----------
    sum, count, grad
        As in `Loss`; `grad` is by the student's hidden states.
    dprojection : [H_t, H_s], or None without a projection
        Gradient of `sum` by the projection.
    """

    sum: float
    count: int | float  # type: ignore[assignment]  # hides tuple.count, as in Loss
    grad: Array
    dprojection: Array | None

    @property
    def mean(self) -> float:
        return self.sum / self.count if self.count else 0.0


@np.errstate(invalid="ignore", over="ignore")  # a NaN or an Inf goes through; the trainer names it
def hidden_mse(
    student: npt.ArrayLike,
    teacher: npt.ArrayLike,
    projection: npt.ArrayLike | None = None,
    *,
    mask: npt.ArrayLike | None = None,
) -> ProjectedLoss:
    """The mean over features of (W student - teacher)^2, summed over rows.

    Parameters
    ----------
    student : float [N, H_s]
        Hidden states.
    teacher : float [N, H_t]
    projection : float [H_t, H_s], optional
        W, one row a feature of the teacher, as in every linear layer here. Without it the widths must be
        equal, and this is `mean_squared_error`.
    mask : bool [N], optional
        Only rows where it is true count.

    Returns
    -------
    ProjectedLoss
        `count` is the number of rows that count; `grad` is [N, H_s], `dprojection` is [H_t, H_s] or None.

    Notes
    -----
    For one row, p = W s and L = 1/H_t sum_j (p_j - t_j)^2, so dL/dp = 2/H_t (p - t). s_i reaches every p_j
    with slope W_ji, and W_ji reaches p_j with slope s_i:

        dL/ds = W^T dL/dp
        dL/dW = dL/dp s^T        summed over rows

    The projection is thrown away after training: only the student's states go on.

    TinyBERT's L_hidn and L_embd are this, for each pair of layers and for the embeddings (Jiao et al. 2020,
    arXiv:1909.10351, equations 8 and 9); its W_h multiplies from the right and is our W transposed. The
    idea is FitNets' regressor, which gives a thin student a hint from the middle of a wide teacher (Romero
    et al. 2015, arXiv:1412.6550, equation 3; there half the sum of squares).
    """
    s = floats("student", student, "N H_s")
    t = floats("teacher", teacher, "N H_t")
    if projection is None:
        if s.shape[1] != t.shape[1]:
            raise InputError(
                f"student has width {s.shape[1]}, teacher {t.shape[1]}: "
                f"give a projection of shape [{t.shape[1]}, {s.shape[1]}]"
            )
        return ProjectedLoss(*mean_squared_error(s, t, mask=mask), None)
    w = floats("projection", projection, "H_t H_s").astype(s.dtype, copy=False)
    if len(t) != len(s) or w.shape != (t.shape[1], s.shape[1]):
        raise InputError(
            f"student {list(s.shape)}, teacher {list(t.shape)} and projection {list(w.shape)} do not fit: "
            f"expected [N, H_s], [N, H_t] and [H_t, H_s]"
        )
    keep = kept_rows(mask, len(s))
    s_kept = s[keep]  # [M, H_s]
    projected = s_kept @ w.T  # [M, H_s] @ [H_s, H_t] -> [M, H_t]
    loss = mean_squared_error(projected, t[keep])
    grad = np.zeros_like(s)
    grad[keep] = loss.grad @ w  # [M, H_t] @ [H_t, H_s] -> [M, H_s]
    dprojection = loss.grad.T @ s_kept  # [H_t, M] @ [M, H_s] -> [H_t, H_s]
    return ProjectedLoss(loss.sum, loss.count, grad, dprojection)
