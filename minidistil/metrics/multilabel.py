"""Metrics of multi-label classification.

Labels and predictions are matrices [N, C] of 0 and 1 in any dtype, 1 for each class of an example; others are
an InputError.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Bool
from minidistil.metrics.base import Average, ClassScores, Counts, same_shape, zeros_and_ones


def subset_accuracy(labels: npt.ArrayLike, predictions: npt.ArrayLike) -> float:
    """Share of examples all of whose classes were predicted, and no others.

    Parameters
    ----------
    labels, predictions : 0 or 1 [N, C]

    Notes
    -----
    scikit-learn's `accuracy_score` of such matrices. An example without classes counts like any other.
    """
    y, p = _matrices(labels, predictions)
    return float((y == p).all(1).mean())


def multilabel_precision_recall_f1(labels: npt.ArrayLike, predictions: npt.ArrayLike) -> ClassScores:
    """Precision, recall, F1 and support of each class, [C] each.

    Parameters
    ----------
    labels, predictions : 0 or 1 [N, C]

    Notes
    -----
    Formulas: `Counts.scores`. A quotient with denominator 0 is 0, as scikit-learn's with `zero_division=0`.
    """
    return _counts(labels, predictions).scores()


def multilabel_f1(labels: npt.ArrayLike, predictions: npt.ArrayLike, average: Average = "micro") -> float:
    """F1 of all classes as one number.

    Parameters
    ----------
    labels, predictions : 0 or 1 [N, C]
    average : {"macro", "micro", "weighted"}
        macro: mean over the classes. weighted: mean weighted by support. micro: F1 of the summed counts.

    Raises
    ------
    UsageError
        An unknown average.

    Notes
    -----
    scikit-learn's `f1_score` of such matrices, with `zero_division=0`. Unlike with one class an example, the
    mean goes over all C columns: a class that occurs nowhere has F1 0 and does lower it.
    """
    return _counts(labels, predictions).f1(average)


def _matrices(labels: npt.ArrayLike, predictions: npt.ArrayLike) -> tuple[Bool, Bool]:
    y, p = zeros_and_ones("labels", labels, 2), zeros_and_ones("predictions", predictions, 2)
    same_shape(("labels", "predictions"), y, p)
    return y, p


def _counts(labels: npt.ArrayLike, predictions: npt.ArrayLike) -> Counts:
    y, p = _matrices(labels, predictions)
    return Counts(*(x.sum(0, dtype=np.int64) for x in (y & p, p, y)))
