"""AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101); the gradient norm."""

from __future__ import annotations

import math

import numpy as np

from minidistil.arrays import Array

CHUNK = 65_536  # elements summed in one go; fixed, so that a sum never depends on who computed it


def adamw_step(
    params: Array,
    grads: Array,
    m: Array,
    v: Array,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    step: int,
    scale: float = 1.0,
) -> None:
    """One AdamW update of `params`, `m` and `v`, in place.

    Parameters
    ----------
    params, grads, m, v : [N]
        Parameters, their gradients, and the running means of the gradient and of its square.
    lr : float
        Learning rate of this update, schedule included.
    beta1, beta2 : float
        Shares of the old running means that are kept.
    eps : float
        Added to the denominator, > 0.
    weight_decay : float
        Share of a parameter taken off, per unit of `lr`. Not part of the gradient: that is the W.
    step : int
        Number of this update, from 1.
    scale : float
        Multiplies the gradient first: the clipping coefficient.

    Notes
    -----
    Both means begin at zero and are too small by 1 - beta^step at first; bc1 and bc2 correct for that
    (Kingma & Ba 2015, arXiv:1412.6980, section 3). Order of operations as in torch.optim.AdamW:

        p <- p (1 - lr wd)
        m <- beta1 m + (1 - beta1) g
        v <- beta2 v + (1 - beta2) g^2
        p <- p - (lr / bc1) m / (sqrt(v) / sqrt(bc2) + eps)
    """
    bc1, bc2 = 1 - beta1**step, 1 - beta2**step
    g = grads * scale  # [N]
    params *= 1 - lr * weight_decay
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * (g * g)
    params -= (lr / bc1) * m / (np.sqrt(v) / math.sqrt(bc2) + eps)


def global_norm(grads: Array) -> float:
    """Euclidean norm of all gradients together: sqrt(sum g^2), in float64.

    Each chunk of 65,536 elements is summed by itself and the sums are added in order, so the result is
    the same, bit for bit, for any number of threads. NaN or Inf in, NaN or Inf out.
    """
    chunks = (grads[start : start + CHUNK].astype(np.float64) for start in range(0, len(grads), CHUNK))
    return math.sqrt(sum(float((chunk * chunk).sum()) for chunk in chunks))
