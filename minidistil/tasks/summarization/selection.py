"""Choose the sentences of a summary, given a number or a vector for each.

All of it is greedy: the best sentence first, then the best given that one, as long as the limits allow. Of
equally good ones the earlier is taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Float64, as_vectors
from minidistil.embeddings.similarity import cosines, directions
from minidistil.errors import InputError, UsageError

ALIKE = 0.95  # the cosine from which Rossiello et al. 2017 hold one of two sentences for superfluous
SAME = 1 - 1e-6  # all but rounding
LAST = 4.0  # taken from a cosine it puts a sentence behind all others


class Limits(NamedTuple):
    """Limits on the length of a summary. A sentence that does not fit any more is passed over.

    Attributes
    ----------
    sentences, words : int or None
        At most so many; None: no limit.
    """

    sentences: int | None = 3
    words: int | None = None


THREE = Limits()


class Picks(NamedTuple):
    """Chosen sentences, in the document's order.

    Attributes
    ----------
    indices : int64 [k]
    scores : float64 [k]
        Value for which each was picked.
    """

    indices: npt.NDArray[np.int64]
    scores: Float64


def best(
    scores: npt.ArrayLike,
    lengths: npt.ArrayLike,
    limits: Limits = THREE,
    *,
    words: Sequence[Sequence[str]] | None = None,
) -> Picks:
    """Sentences with the highest scores.

    Parameters
    ----------
    scores : float [N]
        Minus infinity: never.
    lengths : int [N]
        Words of each sentence.
    limits : Limits
    words : sequence of N sequences of str, optional
        With them no two sentences are picked that have three words in a row in common (trigram blocking,
        Paulus et al. 2017, arXiv:1705.04304, section 2.5).

    Raises
    ------
    InputError
        Unequal numbers of scores, lengths and words, or a NaN.
    """
    values, lengths = np.asarray(scores, np.float64), np.asarray(lengths)
    if words is None:
        return _pick(values, lengths, limits, lambda _, values: values)
    if len(words) != len(values):
        raise InputError(f"{len(values)} scores but words of {len(words)} sentences")
    trigrams = [set(zip(w, w[1:], w[2:], strict=False)) for w in words]
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, some in enumerate(trigrams):
        for trigram in some:
            holders[trigram].append(i)

    def without_repeats(i: int, values: Float64) -> Float64:
        values = values.copy()
        for trigram in trigrams[i]:
            values[holders.pop(trigram, [])] = -np.inf
        return values

    return _pick(values, lengths, limits, without_repeats)


def centroid(vectors: npt.ArrayLike, lengths: npt.ArrayLike, limits: Limits = THREE) -> Picks:
    """Sentences nearest to the mean of all: Radev et al. 2004, with vectors as in Rossiello et al. 2017.

    Parameters
    ----------
    vectors : float [N, H]
        Of any length; directions count. A vector of zeros is not picked, nor one that is the same as one
        that is picked; one that is alike (a cosine of 0.95 or more) only where nothing else is left, since
        to some encoders all sentences are alike.
    lengths : int [N]
    limits : Limits

    Raises
    ------
    InputError
        Other shapes, a NaN, an Inf.
    """
    x, relevance = _relevance(vectors)

    def behind_others(nearest: Float64) -> Float64:
        return np.where(nearest >= ALIKE, relevance - LAST, relevance)

    picks = _pick_apart(x, relevance, lengths, limits, behind_others)
    return Picks(picks.indices, relevance[picks.indices])


def mmr(
    vectors: npt.ArrayLike, lengths: npt.ArrayLike, limits: Limits = THREE, *, weight: float = 0.7
) -> Picks:
    """Sentences near to the mean of all and far from each other.

    Parameters
    ----------
    vectors, lengths, limits
        As for `centroid`.
    weight : float
        lambda, from 0 to 1: how much being near to the mean counts.

    Raises
    ------
    InputError
        Other shapes, a NaN, an Inf.
    UsageError
        A weight outside 0 to 1.

    Notes
    -----
    Maximal marginal relevance (Carbonell and Goldstein 1998): next comes the sentence with the largest

        lambda cos(s, mean) - (1 - lambda) max_{t picked} cos(s, t)

    where the mean stands for the query, as there is none. No two that are the same are picked.
    """
    if not 0 <= weight <= 1:
        raise UsageError(f"the weight of relevance is from 0 to 1, not {weight}")
    x, relevance = _relevance(vectors)

    def marginal(nearest: Float64) -> Float64:
        return weight * relevance - (1 - weight) * nearest

    return _pick_apart(x, weight * relevance, lengths, limits, marginal)


def _relevance(vectors: npt.ArrayLike) -> tuple[Float64, Float64]:
    """Directions [N, H], and their cosines with their mean [N]."""
    x = directions(as_vectors("vectors", vectors))
    return x, _cosines(x, directions(x.mean(0, keepdims=True))[0]) if len(x) else np.zeros(0)


def _pick_apart(
    x: Float64, first: Float64, lengths: npt.ArrayLike, limits: Limits, after: Callable[[Float64], Float64]
) -> Picks:
    """The greedy choice among directions [N, H], of none that is zero or the same as one that is picked.

    Values are `first` for the first, then `after(nearest)`, given the largest cosine [N] with one picked.
    """
    nearest = np.full(len(x), -1.0)

    def without_repeats(i: int, values: Float64) -> Float64:
        np.maximum(nearest, _cosines(x, x[i]), out=nearest)
        return np.where(np.isneginf(values) | (nearest >= SAME), -np.inf, after(nearest))

    return _pick(np.where(x.any(1), first, -np.inf), np.asarray(lengths), limits, without_repeats)


def _cosines(x: Float64, y: Float64) -> Float64:
    return cosines(x, y[None])[:, 0]


def _pick(
    values: Float64,
    lengths: npt.NDArray[Any],
    limits: Limits,
    after: Callable[[int, Float64], Float64],
) -> Picks:
    """The greedy choice. `after(i, values)` are the values once i is picked; minus infinity: never."""
    if len(values) != len(lengths) or np.isnan(values).any():
        raise InputError(f"{len(values)} numbers, and lengths of {len(lengths)} sentences; none may be a NaN")
    chosen: list[int] = []
    scores: list[float] = []
    room = np.inf if limits.words is None else limits.words
    most = len(values) if limits.sentences is None else min(limits.sentences, len(values))
    while len(chosen) < most:
        values = np.where(lengths <= room, values, -np.inf)
        i = int(values.argmax())
        if np.isneginf(values[i]):
            break
        chosen.append(i)
        scores.append(float(values[i]))
        room -= int(lengths[i])
        values = after(i, values)
        values[i] = -np.inf
    order = np.argsort(np.array(chosen, np.int64))
    return Picks(np.array(chosen, np.int64)[order], np.array(scores, np.float64)[order])
