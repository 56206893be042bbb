"""Comparison of a student's results with those expected: the kind of the difference, and the first number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidistil.arrays import Array, Float64
from minidistil.verify.finite_differences import EPS

STEP = EPS ** (1 / 3)  # see `check_gradient`


class WrongAnswerError(Exception):
    """A wrong answer, and what is wrong with it."""


def named_results(result: Any, names: Sequence[str]) -> dict[str, Float64]:
    """Results of a function by their names.

    Raises
    ------
    WrongAnswerError
        Another number of results, or one that is no array of numbers.
    """
    values: Sequence[Any] = [result]
    if len(names) > 1:
        if not isinstance(result, list | tuple):
            raise WrongAnswerError(
                f"returns {_kind(result)}, expected {len(names)} results: {', '.join(names)}"
            )
        if len(result) != len(names):
            raise WrongAnswerError(
                f"returns {len(result)} results, expected {len(names)}: {', '.join(names)}"
            )
        values = result
    return {name: as_numbers(name, value) for name, value in zip(names, values, strict=True)}


def as_numbers(name: str, value: Any) -> Float64:
    """A result as an array of float64.

    Raises
    ------
    WrongAnswerError
        It is none.
    """
    try:
        array = np.asarray(value)
    except Exception:  # of an object of the student's, any
        array = np.asarray(None)
    if array.dtype.kind not in "fiub":
        raise WrongAnswerError(f"{name} is {_kind(value)}, expected numbers")
    return array.astype(np.float64)


def _kind(value: Any) -> str:
    return "None (is there a return?)" if value is None else type(value).__name__


def difference(name: str, got: Float64, expected: Float64, tolerance: float) -> str:
    """Difference of a result from what is expected, in words; "" for none.

    The largest that passes is the tolerance times the largest number expected, or times 1.
    """
    if got.shape != expected.shape:
        turned = " (transposed?)" if got.ndim > 1 and got.shape == expected.shape[::-1] else ""
        return f"{name} has shape {list(got.shape)}, expected {list(expected.shape)}{turned}"
    if not np.isfinite(got).all():
        first = tuple(int(i) for i in np.argwhere(~np.isfinite(got))[0])
        return f"{name}{_at(first)} is {got[first]}"
    largest = float(np.abs(expected).max(initial=0))
    limit = tolerance * max(1.0, largest)
    wrong = np.abs(got - expected) > limit
    if not wrong.any():
        return ""
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    some = f"; {wrong.sum()} of {wrong.size} differ by more than {limit:.0e}" if wrong.size > 1 else ""
    numbers = f"{got[first]:.6g}, expected {expected[first]:.6g}"
    return f"{name}{_at(first)} is {numbers}{some}{_pattern(got, expected)}"


def _at(index: tuple[int, ...]) -> str:
    return str(list(index)) if index else ""


def _pattern(got: Float64, expected: Float64) -> str:
    """A hint where the whole result is zero, a multiple of what is expected, or its transpose."""
    if not got.any():
        return "; all of it is zero"
    near = 1e-6 * float(np.abs(expected).max())
    if got.ndim == 2 and got.shape[0] == got.shape[1] and np.abs(got.T - expected).max() <= near:
        return "; it is transposed"
    large = np.abs(expected) > 1e-3 * np.abs(expected).max()
    if large.sum() > 1:
        ratios = got[large] / expected[large]
        factor = float(ratios.mean())
        if np.abs(got - factor * expected).max() <= near:
            return f"; all of it is {factor:.6g} times what is expected"
    return ""


def slopes(f: Callable[[Array], Any], x: Array, dout: Any = 1.0) -> Array:
    """Gradient of sum(dout * f(x)) by x in float64, entry by entry, by central differences."""
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += STEP
        down[index] -= STEP
        gradient[index] = np.sum(dout * (f(up) - f(down))) / (2 * STEP)
    return gradient
