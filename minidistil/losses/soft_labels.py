"""Soft labels: the student learns the teacher's whole distribution (Hinton, Vinyals, Dean 2015,
"Distilling the Knowledge in a Neural Network", arXiv:1503.02531)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minidistil.arrays import floats, floats_like
from minidistil.errors import UsageError
from minidistil.losses.base import Loss, kept_rows, log_softmax, times_log


@np.errstate(invalid="ignore", over="ignore")  # a NaN or an Inf goes through; the trainer names it
def soft_label_kl(
    student_logits: npt.ArrayLike,
    teacher_logits: npt.ArrayLike,
    *,
    temperature: float = 2.0,
    mask: npt.ArrayLike | None = None,
) -> Loss:
    """T^2 KL(softmax(z_t / T) || softmax(z_s / T)), summed over rows.

    Parameters
    ----------
    student_logits, teacher_logits : float [N, C]
        z_s and z_t.
    temperature : float
        T > 0. Above 1 it flattens both distributions, so that the teacher's small probabilities
        ("this 2 looks a bit like a 7") carry weight. DistilBERT trains with 2.
    mask : bool [N], optional
        Only rows where it is true count.

    Returns
    -------
    Loss
        `count` is the number of rows that count; `grad` is [N, C], zero in the others.

    Raises
    ------
    UsageError
        A temperature that is not positive and finite.

    Notes
    -----
    With p_s = softmax(z_s / T) and p_t = softmax(z_t / T), one row costs

        L = T^2 sum_k p_tk (log p_tk - log p_sk)

    Only -sum_k p_tk log p_sk moves with the student. As in `soft_cross_entropy`, its derivative by
    z_s / T is p_s - p_t; the chain rule divides by T, and T^2 multiplies:

        dL/dz_s = T (p_s - p_t)

    *Why T^2.* At high temperature softmax(z / T) is nearly (1 + z / T) / C for logits of mean zero, so
    p_s - p_t is nearly (z_s - z_t) / (C T), and without the factor the gradient would be
    (z_s - z_t) / (C T^2). T^2 undoes that: the gradient then tends to (z_s - z_t) / C whatever T is, and
    changing T does not change the weight of this loss beside the others (Hinton et al. 2015, section 2).

    *Why KL, when the paper says cross-entropy.* The two differ by the teacher's entropy, which is
    constant for the student: same gradient, same training. KL is 0 when the student equals its teacher,
    so its value says how far there is to go; a cross-entropy stops at an unknown floor.

    DistilBERT's L_ce is this one (Sanh et al. 2019, arXiv:1910.01108), over all tokens.
    """
    check_temperature(temperature)
    z_s = floats("student_logits", student_logits, "N C")
    z_t = floats_like("teacher_logits", teacher_logits, "student_logits", z_s)
    keep = kept_rows(mask, len(z_s))
    log_p_s = log_softmax(z_s[keep] / temperature)  # [M, C]
    log_p_t = log_softmax(z_t[keep] / temperature)  # [M, C]
    p_t = np.exp(log_p_t)
    divergence = times_log(p_t, log_p_t - log_p_s).sum(dtype=np.float64)
    grad = np.zeros_like(z_s)
    grad[keep] = temperature * (np.exp(log_p_s) - p_t)
    return Loss(temperature**2 * float(divergence), len(p_t), grad)


def soft_binary_kl(
    student_logits: npt.ArrayLike, teacher_logits: npt.ArrayLike, *, temperature: float = 2.0
) -> Loss:
    """Soft labels of which any number may hold: each a distribution over two, (1 - p, p).

        T^2 KL((1 - p_t, p_t) || (1 - p_s, p_s)),    p = sigmoid(z / T)

    summed over entries. As softmax((0, z) / T) = (1 - p, p), it is `soft_label_kl` of the scores (0, z), and
    dL/dz_s = T (p_s - p_t).

    Parameters
    ----------
    student_logits, teacher_logits : float [N, C]
        z_s and z_t, a score for each label.
    temperature : float
        T > 0.

    Returns
    -------
    Loss
        `count` is N C, as of `binary_cross_entropy`; `grad` is [N, C].

    Raises
    ------
    UsageError
        A temperature that is not positive and finite.
    """
    z_s = floats("student_logits", student_logits, "N C")
    z_t = floats_like("teacher_logits", teacher_logits, "student_logits", z_s)
    pairs = (np.stack([np.zeros_like(z), z], axis=-1).reshape(-1, 2) for z in (z_s, z_t))
    loss = soft_label_kl(*pairs, temperature=temperature)
    return Loss(loss.sum, loss.count, loss.grad[:, 1].reshape(z_s.shape))


def check_temperature(temperature: float) -> None:
    """Raise a UsageError unless the temperature is positive and finite."""
    if not (temperature > 0 and np.isfinite(temperature)):
        raise UsageError(f"temperature must be positive and finite, not {temperature!r}")
