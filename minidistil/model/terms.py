"""Terms of a loss: sums, counts and gradients of what heads and objectives give, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minidistil.arguments import Named, check_names, did_you_mean
from minidistil.arrays import Array
from minidistil.batch import Batch
from minidistil.errors import InputError, UsageError
from minidistil.model.context import Context

if TYPE_CHECKING:
    from minidistil.model.heads import Head


NUMBER = (int, float, np.integer, np.floating)


class Terms(Named):
    """Numbers by the name of a term: counts, or factors."""

    what = "term of the loss"


class Losses(NamedTuple):
    """The terms of a loss.

    Attributes
    ----------
    sums : dict of str to float
        Sum of each term over its items, by its name.
    douts : dict of str to array
        Gradient by each output: of `loss`, or of sum_k scale_k sums_k where `scales` were given.
    counts : mapping of str to number
        Items that each term averages over, or their weight. A model adds them to what its heads give.
    """

    sums: dict[str, float]
    douts: dict[str, Array]
    counts: Mapping[str, float] = {}

    @property
    def means(self) -> dict[str, float]:
        """Mean of each term; 0 of a term without items."""
        return {term: value / (self.counts[term] or 1) for term, value in self.sums.items()}

    @property
    def loss(self) -> float:
        """Sum of the means."""
        return sum(self.means.values())


def counts_of(heads: Sequence[Head], batch: Batch) -> dict[str, float]:
    """Items that each term of the heads' losses averages over."""
    counts = [checked_counts(type(head).__name__, head.counts(batch)) for head in heads]
    return {term: count for some in counts for term, count in some.items()}


def losses_of(
    heads: Sequence[Head],
    outputs: dict[str, Any],
    ctx: Context,
    scales: Mapping[str, float] | None,
    model: str,
) -> Losses:
    """The terms of a model's own loss; see `PackedModel.losses`. `model` is its name, for messages."""
    counts = counts_of(heads, ctx.batch)
    check_names(f"the loss of {model}", "term", scales or {}, counts)
    means = {term: 1 / (count or 1) for term, count in counts.items()}
    factors = Terms(means if scales is None else {**dict.fromkeys(counts, 1.0), **scales})
    sums: dict[str, float] = {}
    douts: dict[str, Any] = {}
    for head in heads:
        terms, name = head.losses(outputs, ctx, factors), type(head).__name__
        if not isinstance(terms, Losses):
            raise UsageError(f"{name}.losses must give Losses(sums, douts), not {described(terms)}")
        check_sums(name, terms.sums, counts)
        sums |= terms.sums
        douts |= terms.douts
    if not sums:
        raise UsageError(f"{model} has no loss of its own; use a class with a task head")
    check_all_given(f"the loss of {model}", sums, counts)
    return Losses(sums, douts, counts)


def checked_counts(taker: str, found: Any) -> Mapping[str, float]:
    """Numbers of items by term.

    Raises
    ------
    UsageError
        No mapping, or a count that is no number of at least 0.
    """
    if not isinstance(found, Mapping):
        raise UsageError(
            f"{taker}.counts must give the number of items of each term, such as {{'mine': 8}}, not "
            f"{described(found)}"
        )
    for term, count in found.items():
        if not (isinstance(count, NUMBER) and 0 <= count < np.inf):
            raise UsageError(
                f"{taker}.counts: the term {term!r} must be a number of at least 0, not {described(count)}"
            )
    return found


def check_sums(taker: str, found: Any, counts: Mapping[str, float]) -> None:
    """Refuse sums that are no mapping of terms to numbers, or of a term that is not counted.

    Raises
    ------
    UsageError
        With the nearest term.
    InputError
        A sum that is no single number.
    """
    if not isinstance(found, Mapping):
        raise UsageError(f"{taker} must give the sum of each term by its name, not {described(found)}")
    for term, value in found.items():
        if term not in counts:
            raise UsageError(
                f"{taker} gives a term {term!r}, which its counts lack{did_you_mean(term, counts)}"
            )
        if np.shape(value) or not isinstance(value, (*NUMBER, np.ndarray)):
            raise InputError(
                f"{taker}: the term {term!r} must be one number, the sum over its items, not "
                f"{described(value)}"
            )


def check_all_given(taker: str, sums: Mapping[str, float], counts: Mapping[str, float]) -> None:
    """Raise a UsageError if a term has items, and no sum was given of it."""
    for term, count in counts.items():
        if count and term not in sums:
            raise UsageError(
                f"{taker} gives no sum of the term {term!r}, which its counts have; it gives: "
                f"{', '.join(map(str, sums)) or 'none'}"
            )


def described(value: Any) -> str:
    """Dtype and shape of an array; the type and the beginning of anything else."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    return "None" if value is None else f"{type(value).__name__} {value!r:.60}"
