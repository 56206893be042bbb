"""Cosine distance between hidden states: point the same way, at any length."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minidistil.arrays import floats, floats_like
from minidistil.losses.base import Loss, kept_rows


@np.errstate(invalid="ignore", over="ignore")  # a NaN or an Inf goes through; the trainer names it
def cosine(
    student: npt.ArrayLike, teacher: npt.ArrayLike, *, mask: npt.ArrayLike | None = None, eps: float = 1e-12
) -> Loss:
    """One minus the cosine of the angle between student and teacher, summed over rows.

    Parameters
    ----------
    student, teacher : float [N, H]
        Hidden states.
    mask : bool [N], optional
        Only rows where it is true count.
    eps : float
        Added to both squared lengths, so that a zero vector gives 1 and not NaN.

    Returns
    -------
    Loss
        `sum` lies between 0 and 2 a row; `count` is the number of rows that count; `grad` is [N, H].

    Notes
    -----
    For one row, with a = |s|^2 + eps and b = |t|^2 + eps,

        L = 1 - c,    c = s.t / sqrt(a b)

    s occurs in the product and in a. d(s.t)/ds = t, and d(a^(-1/2))/ds = -a^(-3/2) s, so

        dL/ds = c s / a - t / sqrt(a b)

    Without eps this is orthogonal to s: only the direction can improve, never the length.

    This is the third term of DistilBERT's objective (Sanh et al. 2019, arXiv:1910.01108, section 3), on
    the last hidden states of all tokens, there by way of PyTorch's `CosineEmbeddingLoss`, whose eps is
    the default here.
    """
    s = floats("student", student, "N H")
    t = floats_like("teacher", teacher, "student", s)
    keep = kept_rows(mask, len(s))
    s_kept, t_kept = s[keep], t[keep]  # [M, H]
    s_squared = (s_kept * s_kept).sum(-1, keepdims=True) + eps  # [M, 1]
    t_squared = (t_kept * t_kept).sum(-1, keepdims=True) + eps  # [M, 1]
    lengths = np.sqrt(s_squared) * np.sqrt(t_squared)  # [M, 1]; a root of the product could overflow
    cosines = (s_kept * t_kept).sum(-1, keepdims=True) / lengths  # [M, 1]
    grad = np.zeros_like(s)
    grad[keep] = cosines * s_kept / s_squared - t_kept / lengths  # [M, H]
    return Loss(float((1 - cosines).sum(dtype=np.float64)), len(s_kept), grad)
