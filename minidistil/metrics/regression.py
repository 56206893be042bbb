"""Metrics of predicted numbers: errors and correlations.

Inputs are finite numbers of one length N > 0; others are an InputError.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Float64
from minidistil.errors import InputError
from minidistil.metrics.base import array, average_ranks, same_length


def mean_squared_error(targets: npt.ArrayLike, predictions: npt.ArrayLike) -> float:
    """Mean of (prediction - target)^2.

    Parameters
    ----------
    targets, predictions : real [N]
    """
    t, p = _samples(("targets", "predictions"), targets, predictions)
    return float(((p - t) ** 2).mean())


def mean_absolute_error(targets: npt.ArrayLike, predictions: npt.ArrayLike) -> float:
    """Mean of |prediction - target|; parameters as of `mean_squared_error`."""
    t, p = _samples(("targets", "predictions"), targets, predictions)
    return float(np.abs(p - t).mean())


def pearson(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Pearson's correlation, from -1 to 1: how nearly y is a linear function of x.

    Parameters
    ----------
    x, y : real [N], N >= 1

    Returns
    -------
    float
        NaN if x or y is constant, as scipy's `pearsonr`: the correlation is then 0 / 0. A single pair is.

    Notes
    -----
    With u and v the deviations of x and y from their means (Pearson 1895, Proc. R. Soc. 58):

        r = u.v / (|u| |v|)
    """
    return _correlation(*_samples(("x", "y"), x, y))


def spearman(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Spearman's rank correlation, from -1 to 1: how nearly y rises or falls whenever x rises.

    The metric of semantic textual similarity (Reimers and Gurevych 2019, arXiv:1908.10084, section 4.1).

    Parameters
    ----------
    x, y : real [N], N >= 1

    Returns
    -------
    float
        NaN if x or y is constant, as scipy's `spearmanr`. A single pair is.

    Notes
    -----
    Pearson's correlation of the ranks (Spearman 1904, American Journal of Psychology 15); equal values share
    the mean of the ranks they take up.
    """
    a, b = _samples(("x", "y"), x, y)
    return _correlation(average_ranks(a), average_ranks(b))


def _finite(name: str, x: npt.ArrayLike) -> Float64:
    out = array(name, x, 1, "biuf").astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(out))
    if len(bad):
        raise InputError(f"{name} has {out[bad[0]]} at index {int(bad[0])}: expected finite numbers")
    return out


def _samples(names: tuple[str, str], x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Float64, Float64]:
    a, b = _finite(names[0], x), _finite(names[1], y)
    same_length(names, a, b)
    return a, b


def _correlation(x: Float64, y: Float64) -> float:
    if (x == x[0]).all() or (y == y[0]).all():  # deviations from a rounded mean need not be 0
        return math.nan
    u, v = _deviations(x), _deviations(y)
    return float(np.clip(u @ v / math.sqrt((u @ u) * (v @ v)), -1, 1))


def _deviations(x: Float64) -> Float64:
    """Deviations from the mean, over a power of two: that rounds nothing, and no square overflows."""
    scaled = np.ldexp(x, -int(np.frexp(np.abs(x).max())[1]))
    u: Float64 = scaled - scaled.mean()
    return u
