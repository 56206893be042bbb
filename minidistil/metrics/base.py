"""Precision, recall and F1 from counts; checks of the inputs of metrics."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_choice
from minidistil.arrays import Bool, Float64, Int64
from minidistil.errors import InputError

Average = Literal["macro", "micro", "weighted"]


class ClassScores(NamedTuple):
    """Scores of each of C classes, all [C].

    Attributes
    ----------
    precision : float64
        Correct predictions of the class / predictions of it.
    recall : float64
        Correct predictions of the class / examples of it.
    f1 : float64
        Harmonic mean of the two.
    support : int64
        Examples that have the class.
    """

    precision: Float64
    recall: Float64
    f1: Float64
    support: Int64


class Counts(NamedTuple):
    """Counts behind precision and recall, for each of C classes: int64, all [C].

    Attributes
    ----------
    hits : predicted and true
    predicted : predicted, true or not
    actual : true, predicted or not
    """

    hits: Int64
    predicted: Int64
    actual: Int64

    def scores(self) -> ClassScores:
        """Precision, recall and F1, 0 where the division would be by 0.

        Notes
        -----
        With t hits, p predicted and a actual ones, P = t / p, R = t / a (van Rijsbergen 1979, "Information
        Retrieval", chapter 7) and

            F1 = 2 P R / (P + R) = 2 t / (p + a)

        which is 0 / 0 only for a class without examples and predictions.
        """
        return ClassScores(
            divide(self.hits, self.predicted),
            divide(self.hits, self.actual),
            divide(2 * self.hits, self.predicted + self.actual),
            self.actual,
        )

    def total(self) -> Counts:
        """Sums over all classes, [1], for a micro average."""
        return Counts(*(x.sum(keepdims=True) for x in self))

    def f1(self, average: Average) -> float:
        """F1 of all classes, see `minidistil.metrics.f1`.

        Raises
        ------
        UsageError
            An unknown average.
        """
        check_choice("average", average, get_args(Average))
        if average == "micro":
            return float(self.total().scores().f1[0])
        f1 = self.scores().f1
        if average == "macro":
            return float(f1.mean())
        return float(divide((f1 * self.actual).sum(), self.actual.sum()))


def divide(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Float64:
    """Quotients in float64, 0 where the denominator is 0."""
    above, below = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(above, below, out=np.zeros(below.shape), where=below != 0)


def average_ranks(x: Float64) -> Float64:
    """Ranks from 1, the smallest first; equal entries share the mean of the ranks they take up. [N] -> [N]

    Notes
    -----
    c equal entries of which the last has rank r take up r - c + 1 to r, with the mean r - (c - 1) / 2.
    """
    _, which, counts = np.unique(x, return_inverse=True, return_counts=True)
    ranks: Float64 = (np.cumsum(counts) - (counts - 1) / 2)[which]
    return ranks


def array(name: str, x: npt.ArrayLike, ndim: int, kinds: str) -> npt.NDArray[Any]:
    """Check the number of dimensions, the size and the kind of dtype of an array.

    Parameters
    ----------
    kinds : str
        Letters of `numpy.dtype.kind`: b for bool, iu for integers, f for floats.

    Raises
    ------
    InputError
        An empty array, or another one than expected; the argument is named.
    """
    try:
        out = np.asarray(x)
    except ValueError as error:
        raise InputError(f"{name} is no array: its rows have different lengths") from error
    if not out.size:
        raise InputError(f"{name} is empty: there is nothing to score")
    if out.ndim != ndim or out.dtype.kind not in kinds:
        wanted = "numbers" if "f" in kinds else "integers"
        raise InputError(f"{name} must be a {ndim}-d array of {wanted}, not {out.dtype} {list(out.shape)}")
    return out


def same_shape(names: tuple[str, str], a: npt.NDArray[Any], b: npt.NDArray[Any]) -> None:
    """Raise an InputError unless the two have one shape."""
    if a.shape != b.shape:
        raise InputError(f"{names[0]} has shape {list(a.shape)}, {names[1]} has {list(b.shape)}")


def same_length(names: tuple[str, str], a: Sized, b: Sized) -> None:
    """Raise an InputError unless the two are equally long and not empty."""
    if len(a) != len(b):
        raise InputError(f"{names[0]} has {len(a)} entries, {names[1]} has {len(b)}")
    if not len(a):
        raise InputError(f"{names[0]} is empty: there is nothing to score")


def numbers(name: str, x: npt.ArrayLike, ndim: int) -> Float64:
    """Convert numbers to float64.

    Raises
    ------
    InputError
        As of `array`, or a NaN, whose index is named.
    """
    out = array(name, x, ndim, "biuf").astype(np.float64)
    if np.isnan(out).any():
        raise InputError(f"{name} is NaN at index {np.argwhere(np.isnan(out))[0].tolist()}")
    return out


def class_labels(name: str, x: npt.ArrayLike, num_labels: int | None = None) -> Int64:
    """Check class numbers [N], from 0 to `num_labels` - 1 (None: any from 0), as int64.

    Raises
    ------
    InputError
        Other entries; the first label out of range is named.
    """
    y = array(name, x, 1, "biu")
    bad = np.flatnonzero((y < 0) | (y >= num_labels) if num_labels is not None else y < 0)
    if len(bad):
        wanted = "0 or more" if num_labels is None else f"0 to {num_labels - 1}"
        raise InputError(f"{name} has {int(y[bad[0]])} at index {int(bad[0])}: expected {wanted}")
    return y.astype(np.int64)


def zeros_and_ones(name: str, x: npt.ArrayLike, ndim: int) -> Bool:
    """Convert an array of 0 and 1, of any dtype, to bool.

    Raises
    ------
    InputError
        Another number of dimensions; the first entry that is neither 0 nor 1 is named.
    """
    out = array(name, x, ndim, "biuf")
    bad = np.argwhere((out != 0) & (out != 1))
    if len(bad):
        raise InputError(
            f"{name} has {out[tuple(bad[0])].item()} at index {bad[0].tolist()}: expected 0 or 1"
        )
    return out.astype(np.bool_)


def retained(student: float, teacher: float) -> float | None:
    """Share of a teacher's score that its student retains.

    Parameters
    ----------
    student, teacher : float
        Their scores; higher is better.

    Returns
    -------
    float or None
        None if there is no such share: of scores below 0 or not defined, or of 0.
    """
    return student / teacher if student >= 0 and teacher > 0 else None
