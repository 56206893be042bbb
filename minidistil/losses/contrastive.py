"""Contrastive loss: an example is nearer to those of its own class than to all others of the batch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minidistil.arrays import floats
from minidistil.errors import UsageError
from minidistil.losses.base import (
    Loss,
    integer_labels,
    log_softmax,
    times_log,
    unit_rows,
    unit_rows_backward,
)
from minidistil.losses.cross_entropy import IGNORE_INDEX

EPS = 1e-12  # added to squared lengths, as in `cosine`


@np.errstate(invalid="ignore", over="ignore")  # a NaN or an Inf goes through; the trainer names it
def contrastive(
    embeddings: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    temperature: float = 0.05,
    ignore_index: int = IGNORE_INDEX,
) -> Loss:
    """Cross-entropy of the softmax over all others of the batch, with those of the own class as targets.

    Parameters
    ----------
    embeddings : float [N, H]
        Pooled sentence representations.
    labels : int [N]
        The class of each. Positives of an anchor are the others of its class; negatives have another. A
        class may be two texts that belong together, such as a question and its answer.
    temperature : float
        Divides the cosines, above 0. 0.05 is a scale of 20.
    ignore_index : int
        Rows with this label take no part; their gradient is zero, even if they are NaN.

    Returns
    -------
    Loss
        `count` is the number of anchors that have a positive. `grad` is [N, H].

    Raises
    ------
    UsageError
        A temperature that is not positive and finite.

    Notes
    -----
    With the cosines s_ij, the temperature T, and the positives P(i) of anchor i,

        L_i = - 1/|P(i)| sum_{p in P(i)} log q_ip,    q_ij = exp(s_ij / T) / sum_{k != i} exp(s_ik / T)

    which is the supervised contrastive loss (Khosla et al. 2020, arXiv:2004.11362, equation 2). If every
    class has two members, it is NT-Xent (Chen et al. 2020, arXiv:2002.05709), and nearly what
    sentence-transformers calls multiple negatives ranking, which takes the rows of the other side alone as
    negatives (InfoNCE: van den Oord, Li, Vinyals 2018, arXiv:1807.03748).

    It is a cross-entropy with the target 1/|P(i)| for each positive, so dL_i/ds_ij = (q_ij - target_ij) / T
    for j != i. These make a matrix G, and s_ij depends on u_i = x_i / |x_i| and on u_j, so

        dL/du = (G + G^T) u,    and on to x through `unit_rows_backward`

    As in `triplet_margin` rows are compared with one another: two micro-batches are not one batch of twice
    the size, and more rows are more negatives.
    """
    if not (temperature > 0 and np.isfinite(temperature)):
        raise UsageError(f"temperature must be positive and finite, not {temperature!r}")
    embedded = floats("embeddings", embeddings, "N H")
    y = integer_labels(labels, len(embedded))
    keep = y != ignore_index
    x, y = embedded[keep], y[keep]  # [M, H], [M]
    grad = np.zeros_like(embedded)
    u, lengths = unit_rows(x, EPS)
    others = ~np.eye(len(x), dtype=bool)
    positive = (y[:, None] == y) & others  # [M, M]
    anchors = positive.any(1)
    count = int(anchors.sum())
    if not count:
        return Loss(0.0, 0, grad)
    scores = np.where(others, u @ u.T / temperature, -np.inf)[anchors]  # [anchors, M]
    target = (positive / np.maximum(positive.sum(1, keepdims=True), 1))[anchors].astype(x.dtype)
    log_q = log_softmax(scores)
    total = -float(times_log(target, log_q).sum(dtype=np.float64))
    slopes = np.zeros((len(x), len(x)), x.dtype)  # G
    slopes[anchors] = (np.exp(log_q) - target) / temperature
    grad[keep] = unit_rows_backward((slopes + slopes.T) @ u, u, lengths)
    return Loss(total, count, grad)
