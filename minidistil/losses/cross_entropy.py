"""Cross-entropy: minus the log-probability of the right class, in nats."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minidistil.arrays import floats, floats_like
from minidistil.errors import InputError
from minidistil.losses.base import Loss, integer_labels, log_softmax, times_log

IGNORE_INDEX = -100  # the label PyTorch and transformers skip


@np.errstate(invalid="ignore", over="ignore")  # a NaN or an Inf goes through; the trainer names it
def cross_entropy(
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    ignore_index: int = IGNORE_INDEX,
    class_weights: npt.ArrayLike | None = None,
) -> Loss:
    """Minus the log-probability of the right class, summed over the rows that have a label.

    Parameters
    ----------
    logits : float [N, C]
    labels : int [N]
        The right class of each row, from 0 to C - 1, or `ignore_index`.
    ignore_index : int
        Rows with this label count for nothing, even if their logits are NaN.
    class_weights : float [C], optional
        Weight of a row of each class; 1 by default.

    Returns
    -------
    Loss
        `count` is the number of rows with a label, or the sum of their weights; `grad` is [N, C], zero where
        there is no label.

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

    A weight w_y multiplies both.
    """
    z = floats("logits", logits, "N C")
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
    costs, count = -log_p[rows, y], float(len(y))
    if class_weights is not None:
        weights = np.asarray(class_weights, z.dtype)
        if weights.shape != (classes,):
            raise InputError(f"class_weights have shape {list(weights.shape)}, not [{classes}]")
        of_rows = weights[y]
        dz *= of_rows[:, None]
        costs, count = costs * of_rows, float(of_rows.sum(dtype=np.float64))
    grad = np.zeros_like(z)
    grad[keep] = dz
    total = float(costs.sum(dtype=np.float64))
    return Loss(total, int(count) if class_weights is None else count, grad)


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

    Notes
    -----
    L = -sum_k t_k log p_k = (sum_k t_k) log(sum_k exp z_k) - sum_k t_k z_k for one row, so

        dL/dz_j = (sum_k t_k) p_j - t_j

    A one-hot row gives `cross_entropy`. With teacher probabilities it differs from the KL divergence
    only by the teacher's entropy, and not at all in the gradient: see `soft_label_kl`.
    """
    z = floats("logits", logits, "N C")
    t = floats_like("targets", targets, "logits", z)
    log_p = log_softmax(z)  # [N, C]
    grad = np.exp(log_p) * t.sum(-1, keepdims=True) - t
    return Loss(-float(times_log(t, log_p).sum(dtype=np.float64)), len(z), grad)
