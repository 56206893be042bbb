"""Answers that may be withheld: whether a score below a threshold is the right reason for saying nothing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.errors import InputError
from minidistil.metrics.base import BoolArray, FloatArray, array, no_nan, same_length, zeros_and_ones


class Cut(NamedTuple):
    """A threshold, and how good answers are with it.

    Attributes
    ----------
    threshold : float
        An answer is given at this score or above.
    accuracy : float
        See `rejection_accuracy`.
    """

    threshold: float
    accuracy: float


def rejection_accuracy(
    right: npt.ArrayLike, outside: npt.ArrayLike, scores: npt.ArrayLike, threshold: float
) -> float:
    """Share of examples that are rightly answered, or rightly not.

    Parameters
    ----------
    right : 0 or 1 [N]
        Whether the best answer is the right one.
    outside : 0 or 1 [N]
        Whether there is no answer to the example: to give none is then right, whatever `right` says.
    scores : real [N]
        Of the best answers.
    threshold : float
        An answer is given at this score or above.

    Raises
    ------
    InputError
        Other shapes or entries, or NaN.

    Notes
    -----
    The accuracy when "none" counts as a class of its own (Larson et al. 2019, arXiv:1909.02027).
    """
    hits, none, s = _samples(right, outside, scores)
    return float(np.where(none, s < threshold, hits & (s >= threshold)).mean())


def best_rejection(right: npt.ArrayLike, outside: npt.ArrayLike, scores: npt.ArrayLike) -> Cut:
    """The threshold with the highest `rejection_accuracy`.

    Of several equally good ones it is that with most room to the scores on either side, halfway between them;
    below the lowest and above the highest score there is no room.

    Parameters and errors as for `rejection_accuracy`.

    Notes
    -----
    As Larson et al. (2019) choose theirs on validation data. Only the scores of what can become right matter:
    with u_0 < u_1 < ... the distinct scores of examples that are outside or rightly answered, a threshold in
    (u_{i-1}, u_i] makes right

        #{rightly answered: s >= u_i} + #{outside: s < u_i}

    so there is one candidate for each i, and one above them all.
    """
    hits, none, s = _samples(right, outside, scores)
    matter = hits | none
    if not matter.any():
        return Cut(float(s.min()), 0.0)
    values, which = np.unique(s[matter], return_inverse=True)
    answered = np.bincount(which, (hits & ~none)[matter], len(values))
    withheld = np.bincount(which, none[matter], len(values))
    good = answered.sum() - np.append(0, np.cumsum(answered)) + np.append(0, np.cumsum(withheld))
    room = np.concatenate([[0], np.diff(values), [0]])
    best = int(np.lexsort((-room, -good))[0])
    return Cut(_between(values, best), float(good[best] / len(s)))


def _between(values: FloatArray, i: int) -> float:
    """A threshold that withholds the first i of some rising scores."""
    if i == 0:
        return float(values[0])
    if i == len(values):
        return float(np.nextafter(values[-1], np.inf))
    middle = float((values[i - 1] + values[i]) / 2)
    return middle if middle > values[i - 1] else float(values[i])  # neighbours have nothing between them


def _samples(
    right: npt.ArrayLike, outside: npt.ArrayLike, scores: npt.ArrayLike
) -> tuple[BoolArray, BoolArray, FloatArray]:
    hits, none = zeros_and_ones("right", right, 1), zeros_and_ones("outside", outside, 1)
    s = no_nan("scores", array("scores", scores, 1, "biuf"))
    same_length(("right", "outside"), hits, none)
    same_length(("right", "scores"), hits, s)
    if np.isinf(s).any():
        raise InputError("scores must be finite")
    return hits, none, s
