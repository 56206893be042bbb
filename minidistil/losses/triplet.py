"""Triplet margin: an example is nearer to those of its own class than to any other, by a margin."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array, floats
from minidistil.errors import UsageError
from minidistil.losses.base import Loss, integer_labels, unit_rows, unit_rows_backward
from minidistil.losses.cross_entropy import IGNORE_INDEX

Distance = Literal["euclidean", "squared_euclidean", "cosine"]
Mining = Literal["batch_hard", "all"]
EPS = 1e-12  # added to squared lengths, as in `cosine`


@np.errstate(invalid="ignore", over="ignore")  # a NaN or an Inf goes through; the trainer names it
def triplet_margin(
    embeddings: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    margin: float,
    distance: Distance = "euclidean",
    mining: Mining = "batch_hard",
    ignore_index: int = IGNORE_INDEX,
) -> Loss:
    """max(0, margin + d(anchor, positive) - d(anchor, negative)), summed over triplets of the batch.

    Parameters
    ----------
    embeddings : float [N, H]
        Pooled sentence representations.
    labels : int [N]
        The class of each. Positives of an anchor are the others of its class; negatives have another.
    margin : float
        At least 0, in units of the distance.
    distance : "euclidean", "squared_euclidean" or "cosine"
        |x - y|, its square, or 1 - cosine, which is `cosine` between rows of the batch.
    mining : "batch_hard" or "all"
        For each anchor one triplet, of its farthest positive and its nearest negative; or every triplet.
    ignore_index : int
        Rows with this label have no class: they are neither anchor nor positive nor negative, and their
        gradient is zero, even if they are NaN.

    Returns
    -------
    Loss
        `count` is the number of anchors that have a positive and a negative (batch_hard), or of triplets
        (all), whether they cost something or not. It may be 0: a batch of one class, or of classes with
        one member each. `grad` is [N, H]; anchors, positives and negatives all have a part in it.

    Raises
    ------
    UsageError
        A margin that is negative or not finite, or an unknown distance or mining.

    Notes
    -----
    One triplet of anchor a, positive p and negative n costs

        L = max(0, m + d_ap - d_an),    dL/dd_ap = 1 and dL/dd_an = -1 where L > 0, else 0

    These add up to a matrix G_ij = dL/dd_ij. An embedding x_i is in row i as anchor and in column i as
    what anchors are compared with, so its gradient is that of sum_j (G_ij + G_ji) d_ij, by x_i:

        euclidean            dd_ij/dx_i = (x_i - x_j) / d_ij
        squared_euclidean    dd_ij/dx_i = 2 (x_i - x_j)
        cosine               dd_ij/du_i = -u_j, through u = x / |x| (`unit_rows_backward`)

    *Where there is no slope.* |x - y| has a tip at x = y: any vector of length up to 1 would do for its
    slope, and 0 is taken. Two equal embeddings do not move each other. The same at the hinge (L just 0),
    and of several equally far positives the first in the batch is the farthest.

    *Which mining.* Most triplets are soon satisfied, and their mean says little. Hard ones keep teaching,
    but the hardest of a whole data set are its mislabelled ones; the hardest of a batch are a middle way
    (Hermans, Beyer, Leibe 2017, arXiv:1703.07737, equation 5; every triplet is their "batch all"). Margin
    and squared distance are FaceNet's (Schroff, Kalenichenko, Philbin 2015, arXiv:1503.03832, equation 3).

    Unlike other losses this one compares rows with one another, so two micro-batches are not one batch of
    twice the size: their sums and counts add up, but triplets across them are never seen.
    """
    if not (margin >= 0 and np.isfinite(margin)):
        raise UsageError(f"margin must be finite and at least 0, not {margin!r}")
    for name, value, known in (("distance", distance, Distance), ("mining", mining, Mining)):
        if value not in get_args(known):
            raise UsageError(f"{name} must be one of {', '.join(get_args(known))}, not {value!r}")
    embedded = floats("embeddings", embeddings, "N H")
    y = integer_labels(labels, len(embedded))
    keep = y != ignore_index
    x, y = embedded[keep], y[keep]  # [M, H], [M]
    d, cache = distances_forward(x, distance)  # [M, M]
    dd = np.zeros_like(d)
    total, count = 0.0, 0
    for a in range(len(x)):
        positives = np.flatnonzero(y == y[a])
        positives = positives[positives != a]
        negatives = np.flatnonzero(y != y[a])
        if not (len(positives) and len(negatives)):
            continue
        if mining == "batch_hard":
            positives = positives[[d[a, positives].argmax()]]
            negatives = negatives[[d[a, negatives].argmin()]]
        costs = margin + d[a, positives][:, None] - d[a, negatives]  # [P, 1] - [Q] -> [P, Q]
        active = ~(costs <= 0)  # NaN too
        total += float(costs[active].sum(dtype=np.float64))
        count += costs.size
        dd[a, positives] += active.sum(1)
        dd[a, negatives] -= active.sum(0)
    grad = np.zeros_like(embedded)
    grad[keep] = distances_backward(dd, d, cache, distance)
    return Loss(total, count, grad)


def distances_forward(x: Array, distance: Distance) -> tuple[Array, Any]:
    """Distance of every row to every row.

    Returns
    -------
    d : [N, N]
    cache : for `distances_backward`

    Notes
    -----
    |x - y|^2 = |x|^2 - 2 x.y + |y|^2 would be one product of matrices, and would lose the digits of small
    distances, of which hard positives and negatives are made. So the differences are taken, row by row.
    """
    if distance == "cosine":
        u, lengths = unit_rows(x, EPS)
        return 1 - u @ u.T, (u, lengths)
    d = np.empty((len(x), len(x)), x.dtype)
    for i, row in enumerate(x):
        difference = row - x  # [H] - [N, H]
        d[i] = (difference * difference).sum(-1)
    return d if distance == "squared_euclidean" else np.sqrt(d), x


def distances_backward(dd: Array, d: Array, cache: Any, distance: Distance) -> Array:
    """Gradient of `distances_forward`: dd [N, N] -> dx [N, H]."""
    both = dd + dd.T  # d_ij and d_ji are the same distance
    if distance == "cosine":
        u, lengths = cache
        return unit_rows_backward(-both @ u, u, lengths)
    x: Array = cache
    slopes = 2 * both
    if distance == "euclidean":
        slopes = np.divide(both, d, out=np.zeros_like(d), where=d != 0)
    dx = np.empty_like(x)
    for i, row in enumerate(x):
        dx[i] = slopes[i] @ (row - x)  # [N] @ [N, H]
    return dx
