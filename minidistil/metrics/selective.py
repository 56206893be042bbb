"""Selective classification: answers with a score below a threshold are rejected.

Inputs of other shapes or entries, and NaN, are an InputError.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array, Bool, Float64, Int64
from minidistil.errors import InputError
from minidistil.metrics.base import numbers, same_length, zeros_and_ones
from minidistil.metrics.classification import precision_recall_f1
from minidistil.metrics.ranking import auroc, ranking_scores, row_blocks

OUT_OF_SCOPE = -1  # in place of a class number


class Threshold(NamedTuple):
    """Threshold of a score.

    Attributes
    ----------
    value : float
        An answer is given at this score or above.
    accuracy : float
        See `rejection_accuracy`.
    """

    value: float
    accuracy: float


def rejection_accuracy(
    correct: npt.ArrayLike, out_of_scope: npt.ArrayLike, scores: npt.ArrayLike, threshold: float
) -> float:
    """Accuracy when "none" counts as a class (Larson et al. 2019, arXiv:1909.02027).

    Parameters
    ----------
    correct : 0 or 1 [N]
        1 if the best answer is the right one.
    out_of_scope : 0 or 1 [N]
        1 if no answer is right: then "none" is, whatever `correct` says.
    scores : real [N]
        Of the best answers.
    threshold : float
        An answer is given at this score or above.
    """
    hits, none, s = _samples(correct, out_of_scope, scores)
    return float(np.where(none, s < threshold, hits & (s >= threshold)).mean())


def best_threshold(correct: npt.ArrayLike, out_of_scope: npt.ArrayLike, scores: npt.ArrayLike) -> Threshold:
    """Threshold with the highest `rejection_accuracy`, whose parameters it shares.

    Of several equally good ones it has the widest margin to the scores on either side, halfway between them;
    below the lowest and above the highest score the margin is 0.

    Notes
    -----
    Larson et al. (2019) choose theirs so on validation data. Only the scores of examples that can become
    right count: with u_0 < u_1 < ... the distinct scores of examples that are out of scope or correct, a
    threshold in (u_{i-1}, u_i] makes right

        #{correct: s >= u_i} + #{out of scope: s < u_i}

    so there is one candidate for each i, and one above them all.
    """
    hits, none, s = _samples(correct, out_of_scope, scores)
    relevant = hits | none
    if not relevant.any():
        return Threshold(float(s.min()), 0.0)
    values, which = np.unique(s[relevant], return_inverse=True)
    answered = np.bincount(which, (hits & ~none)[relevant], len(values))
    rejected = np.bincount(which, none[relevant], len(values))
    right = answered.sum() - np.append(0, np.cumsum(answered)) + np.append(0, np.cumsum(rejected))
    margin = np.concatenate([[0], np.diff(values), [0]])
    best = int(np.lexsort((-margin, -right))[0])
    return Threshold(_between(values, best), float(right[best] / len(s)))


def selective_scores(labels: Int64, scores: Array, threshold: float | None) -> dict[str, float]:
    """Ranking of the right classes, detection of out-of-scope examples, and accuracy with a threshold.

    Parameters
    ----------
    labels : int64 [N]
        Right classes, `OUT_OF_SCOPE` if no class is right; at least one is another.
    scores : float [N, C]
        The answer is the class with the highest score, or "none" if that is below the threshold.
    threshold : float or None

    Returns
    -------
    dict
        Over examples in scope, of more than two classes: "recall_at_3", "recall_at_5", "mrr_at_10".

        If some are out of scope: "auroc" of the highest scores; and "best_threshold" with its
        "best_accuracy_with_none", which are optimistic: chosen on the examples they are measured on.

        With a threshold, over all examples: "accuracy_with_none", see `rejection_accuracy`; if some are out
        of scope "none_precision" and "none_recall".
    """
    outside, best = labels == OUT_OF_SCOPE, scores.max(1).astype(np.float64)
    correct = scores.argmax(1) == labels
    found: dict[str, float] = {}
    classes = scores.shape[1]
    if classes > 2:
        inside = np.flatnonzero(~outside)
        blocks = (
            (labels[inside[rows], None] == np.arange(classes), scores[inside[rows]])
            for rows in row_blocks(len(inside), classes)
        )
        ranking = ranking_scores(blocks, (3, 5))
        found |= {name: ranking[name] for name in ("recall_at_3", "recall_at_5", "mrr_at_10")}
    if outside.any():
        found["auroc"] = auroc(~outside, best)
    if threshold is not None:
        rejected = precision_recall_f1(outside.astype(np.int64), (best < threshold).astype(np.int64), 2)
        found["threshold"] = threshold
        found["accuracy_with_none"] = rejection_accuracy(correct, outside, best, threshold)
        if outside.any():
            found["none_precision"] = float(rejected.precision[1])
            found["none_recall"] = float(rejected.recall[1])
    if outside.any():
        chosen = best_threshold(correct, outside, best)
        found |= {"best_threshold": chosen.value, "best_accuracy_with_none": chosen.accuracy}
    return found


def _between(values: Float64, i: int) -> float:
    """Threshold that rejects the first i of some rising scores."""
    if i == 0:
        return float(values[0])
    if i == len(values):
        return float(np.nextafter(values[-1], np.inf))
    middle = float((values[i - 1] + values[i]) / 2)
    return middle if middle > values[i - 1] else float(values[i])  # neighbours have nothing between them


def _samples(
    correct: npt.ArrayLike, out_of_scope: npt.ArrayLike, scores: npt.ArrayLike
) -> tuple[Bool, Bool, Float64]:
    hits, none = zeros_and_ones("correct", correct, 1), zeros_and_ones("out_of_scope", out_of_scope, 1)
    s = numbers("scores", scores, 1)
    same_length(("correct", "out_of_scope"), hits, none)
    same_length(("correct", "scores"), hits, s)
    if np.isinf(s).any():
        raise InputError("scores must be finite")
    return hits, none, s
