"""Metrics of single-label classification.

Labels and predictions are integers [N], N > 0, from 0 up; others are an InputError.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Bool, Float64, Int64
from minidistil.errors import InputError
from minidistil.metrics.base import Average, ClassScores, Counts, class_labels, numbers, same_length

PROBABILITY_TOLERANCE = 1e-3  # rows of float16 add up to 1 within this


def confusion_matrix(labels: npt.ArrayLike, predictions: npt.ArrayLike, num_labels: int) -> Int64:
    """Confusion matrix: how often a true class was predicted as each class.

    Parameters
    ----------
    labels, predictions : int [N]
    num_labels : int
        C, the number of classes, whether they occur or not.

    Returns
    -------
    int64 [C, C]
        The row is the true class, the column the predicted one, as in scikit-learn.
    """
    y, p = _classes(labels, predictions, num_labels)
    counts = np.bincount(y * num_labels + p, minlength=num_labels * num_labels)
    return counts.reshape(num_labels, num_labels).astype(np.int64)


def accuracy(labels: npt.ArrayLike, predictions: npt.ArrayLike) -> float:
    """Share of examples whose class was predicted.

    Parameters
    ----------
    labels, predictions : int [N]
    """
    y, p = _classes(labels, predictions)
    return float((y == p).mean())


def precision_recall_f1(labels: npt.ArrayLike, predictions: npt.ArrayLike, num_labels: int) -> ClassScores:
    """Precision, recall, F1 and support of each class, [C] each.

    Parameters
    ----------
    labels, predictions : int [N]
    num_labels : int
        C, the number of classes, whether they occur or not.

    Notes
    -----
    Formulas: `Counts.scores`. A quotient with denominator 0 is 0, as scikit-learn's with `zero_division=0`:
    precision of a class that is never predicted, recall of one that no example has.
    """
    return _counts(*_classes(labels, predictions, num_labels), num_labels).scores()


def f1(
    labels: npt.ArrayLike,
    predictions: npt.ArrayLike,
    average: Average | Literal["binary"] = "binary",
) -> float:
    """F1 of all classes as one number.

    Parameters
    ----------
    labels, predictions : int [N]
    average : {"binary", "macro", "micro", "weighted"}
        binary: F1 of class 1 of the two classes 0 and 1. macro: mean over the classes. weighted: mean
        weighted by support. micro: F1 of the summed counts, which is the accuracy.

    Raises
    ------
    InputError
        "binary" with other classes than 0 and 1.
    UsageError
        An unknown average.

    Notes
    -----
    The mean goes over the classes that occur, as labels or as predictions: scikit-learn's `f1_score` without
    `labels`, with `zero_division=0`. A class that occurs nowhere does not lower it.
    """
    if average == "binary":
        return float(precision_recall_f1(labels, predictions, 2).f1[1])
    return _counts_of_occurring(*_classes(labels, predictions)).f1(average)


def matthews_correlation(labels: npt.ArrayLike, predictions: npt.ArrayLike) -> float:
    """Correlation of true and predicted classes, from -1 to 1; the metric of CoLA in GLUE.

    Parameters
    ----------
    labels, predictions : int [N]
        Two classes or more.

    Notes
    -----
    Matthews (1975, Biochimica et Biophysica Acta 405) for two classes, for more Gorodkin (2004, "Comparing
    two K-category assignments by a K-category correlation coefficient"). With t_k examples of class k, p_k
    predictions of it, c right ones and n of all:

        MCC = (c n - sum_k t_k p_k) / sqrt((n^2 - sum_k p_k^2) (n^2 - sum_k t_k^2))

    If all labels or all predictions are one class this is 0 / 0, and 0 is returned, as by scikit-learn.
    """
    y, p = _classes(labels, predictions)
    n = len(y)
    hits, predicted, actual = _counts_of_occurring(y, p)
    above = int(hits.sum()) * n - int(actual @ predicted)
    below = (n * n - int(predicted @ predicted)) * (n * n - int(actual @ actual))
    return above / math.sqrt(below) if below else 0.0


def expected_calibration_error(labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = 15) -> float:
    """Mean difference between confidence and accuracy (ECE).

    Parameters
    ----------
    labels : int [N]
        Classes from 0 to C - 1.
    probabilities : float [N, C]
        Of each class; rows add up to 1. The largest (the first of equal ones) is the prediction, its
        probability the confidence.
    bins : int
        Number of intervals of equal width.

    Raises
    ------
    InputError
        NaN, rows that are no probabilities, or no bins.

    Notes
    -----
    Guo et al. (2017), "On Calibration of Modern Neural Networks", equation 3: examples with a confidence in
    ((m - 1) / M, m / M] are bin B_m, and

        ECE = sum_m |B_m| / N  |accuracy(B_m) - confidence(B_m)|
    """
    correct, confidence, which = _binned(labels, probabilities, bins)
    gaps = np.bincount(which, correct - confidence)  # |B_m| (accuracy - confidence)
    return float(np.abs(gaps).sum() / len(correct))


class CalibrationBin(NamedTuple):
    """Examples of which the confidence is in one interval.

    Attributes
    ----------
    low, high : float
        The interval, without its lower end.
    examples : int
    confidence, accuracy : float
        Their mean confidence, and the share of them that is right.
    """

    low: float
    high: float
    examples: int
    confidence: float
    accuracy: float


def calibration_bins(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = 15
) -> list[CalibrationBin]:
    """Bins that `expected_calibration_error` adds up, in order; those without examples are left out.

    Parameters and errors as of `expected_calibration_error`.
    """
    correct, confidence, which = _binned(labels, probabilities, bins)
    counts = np.bincount(which, minlength=bins)
    sums = [np.bincount(which, x, minlength=bins) for x in (confidence, correct)]
    return [
        CalibrationBin(m / bins, (m + 1) / bins, int(n), *(float(total[m] / n) for total in sums))
        for m, n in enumerate(counts)
        if n
    ]


def _binned(labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int) -> tuple[Bool, Float64, Int64]:
    """Correctness, confidence and bin of each example."""
    if bins < 1:
        raise InputError(f"bins must be at least 1, not {bins}")
    p = numbers("probabilities", probabilities, 2)
    y = class_labels("labels", labels, p.shape[1])
    same_length(("labels", "probabilities"), y, p)
    bad = np.flatnonzero((p < 0).any(1) | (np.abs(p.sum(1) - 1) > PROBABILITY_TOLERANCE))
    if len(bad):
        raise InputError(f"row {int(bad[0])} of probabilities must be >= 0 and add up to 1, not {p[bad[0]]}")
    confidence = p.max(1)
    inner_edges = np.linspace(0, 1, bins + 1)[1:-1]
    which = np.searchsorted(inner_edges, confidence)  # an edge belongs to the bin below it
    return p.argmax(1) == y, confidence, which


def _classes(
    labels: npt.ArrayLike, predictions: npt.ArrayLike, num_labels: int | None = None
) -> tuple[Int64, Int64]:
    y, p = class_labels("labels", labels, num_labels), class_labels("predictions", predictions, num_labels)
    same_length(("labels", "predictions"), y, p)
    return y, p


def _counts(y: Int64, p: Int64, num_labels: int) -> Counts:
    return Counts(*(np.bincount(x, minlength=num_labels) for x in (y[y == p], p, y)))


def _counts_of_occurring(y: Int64, p: Int64) -> Counts:
    """Counts of the classes in either array, numbered anew: their own numbers may be large."""
    classes, numbers = np.unique(np.stack([y, p]), return_inverse=True)
    y, p = numbers.reshape(2, -1)
    return _counts(y, p, len(classes))
