"""Cross-entropy: how surprised the model is by the truth, in nats."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minidistil.errors import InputError
from minidistil.losses.base import (
    Loss,
    float_array,
    float_array_like,
    integer_labels,
    log_softmax,
    times_log,
)

IGNORE_INDEX = -100  # the label PyTorch and transformers skip


@np.errstate(invalid="ignore", over="ignore")  # a NaN or an Inf goes through; the trainer names it
def cross_entropy(logits: npt.ArrayLike, labels: npt.ArrayLike, *, ignore_index: int = IGNORE_INDEX) -> Loss:
    """Minus the log-probability of the right class, summed over the rows that have a label.

    Parameters
    ----------
    logits : float [N, C]
    labels : int [N]
        The right class of each row, from 0 to C - 1, or `ignore_index`.
    ignore_index : int
        Rows with this label count for nothing, even if their logits are NaN.

    Returns
    -------
    Loss
        `count` is the number of rows with a label; `grad` is [N, C], zero where there is none.

    Raises
    ------
    InputError
        A label out of range (the first one is named), or shapes or dtypes that do not fit.

    Notes
    -----
    With p = softmax(z) and y the label, one row costs

        L = -log p_y = log(sum_k exp z_k) - z_y

    The first term has the derivative exp z_j / sum_k exp z_k = p_j, the second -1 at j = y:

        dL/dz_j = p_j - [j = y]
    """
    z = float_array("logits", logits, 2)
    n, classes = z.shape
    y = integer_labels(labels, n)
    keep = y != ignore_index
    bad = np.flatnonzero(keep & ((y < 0) | (y >= classes)))
    if len(bad):
        raise InputError(
            f"label {int(y[bad[0]])} at index {int(bad[0])} is out of range: expected 0 to {classes - 1}, "
            f"or {ignore_index} for a row without a label"
        )
    y = y[keep].astype(np.intp)  # [M], the rows that count
    rows = np.arange(len(y))
    log_p = log_softmax(z[keep])  # [M, C]
    dz = np.exp(log_p)
    dz[rows, y] -= 1
    grad = np.zeros_like(z)
    grad[keep] = dz
    return Loss(-float(log_p[rows, y].sum(dtype=np.float64)), len(y), grad)


@np.errstate(invalid="ignore", over="ignore")
def soft_cross_entropy(logits: npt.ArrayLike, targets: npt.ArrayLike) -> Loss:
    """Cross-entropy against a distribution instead of one class.

    Parameters
    ----------
    logits : float [N, C]
    targets : float [N, C]
        Weights of the classes, >= 0: usually probabilities, though a row need not sum to 1.

    Returns
    -------
    Loss
        `count` is N.

    Raises
    ------
    InputError
        Shapes or dtypes that do not fit.

    Notes
    -----
    L = -sum_k t_k log p_k = (sum_k t_k) log(sum_k exp z_k) - sum_k t_k z_k for one row, so

        dL/dz_j = (sum_k t_k) p_j - t_j

    A one-hot row gives `cross_entropy`. With teacher probabilities it differs from the KL divergence
    only by the teacher's entropy, and not at all in the gradient: see `soft_label_kl`.
    """
    z = float_array("logits", logits, 2)
    t = float_array_like("targets", targets, "logits", z)
    log_p = log_softmax(z)  # [N, C]
    grad = np.exp(log_p) * t.sum(-1, keepdims=True) - t
    return Loss(-float(times_log(t, log_p).sum(dtype=np.float64)), len(z), grad)
