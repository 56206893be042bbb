"""Checks of what a caller hands over: names, arrays of integers, masks.

NumPy converts almost anything to an array, and an array to almost any dtype, without a word. Here a value is
taken if it says the same afterwards, and refused otherwise.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.errors import InputError, UsageError

INT32 = np.dtype(np.int32)
MANY = 24  # names that a message lists


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known one, or all of them."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, 1, 0.5)
    if near:
        return f" (did you mean {near[0]}?)"
    some = names if len(names) <= MANY else [*names[:MANY], f"and {len(names) - MANY} more"]
    return f"; there are: {', '.join(some)}" if names else "; there are none"


def check_names(taker: str, what: str, names: Iterable[str], known: Collection[str], more: str = "") -> None:
    """A UsageError for the first name that is not known: `taker` takes no `what` of this name."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1, 0.5)
            hint = f" (did you mean {near[0]}?)" if near else ""
            those = ", ".join(known) or "none"
            raise UsageError(f"{taker} takes no {what} {name!r}{hint}; it takes: {those}{more}")


def check_type(what: str, value: object, kind: type | tuple[type, ...]) -> None:
    """A UsageError unless `value` is of a type, or of one of several."""
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join("None" if k is type(None) else k.__name__ for k in kinds)
        raise UsageError(f"{what} must be {names}, not {type(value).__name__}: {value!r:.60}")


def check_integer(what: str, value: object, least: int) -> None:
    """A UsageError unless `value` is an integer of at least `least`."""
    if not (isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= least):
        raise UsageError(f"{what} must be an integer of at least {least}, not {value!r}")


def check_number(what: str, value: object, least: float, most: float) -> None:
    """A UsageError unless `value` is a number from `least` to `most`."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not (number and least <= value <= most):  # type: ignore[operator]
        raise UsageError(f"{what} must be a number from {least:g} to {most:g}, not {value!r}")


def as_array(what: str, value: npt.ArrayLike) -> npt.NDArray[Any]:
    """`value` as an array.

    Raises
    ------
    InputError
        Rows of different lengths.
    """
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise InputError(f"{what} is not an array: {error}") from error


def as_int32(what: str, value: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """`value` in int32, if it holds integers that fit.

    Raises
    ------
    InputError
        Another dtype (bool and float too), or integers beyond int32.
    """
    array = as_array(what, value)
    if array.dtype == INT32:
        return array
    if array.size and array.dtype.kind not in "iu":
        raise InputError(f"{what} must hold integers, not {array.dtype}")
    if array.size:
        for extreme in (int(array.min()), int(array.max())):
            if not -(2**31) <= extreme < 2**31:
                raise InputError(f"{what} holds {extreme}, which is outside of any vocabulary")
    return array.astype(np.int32)


def as_mask(what: str, value: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """`value` as bool, if all of it is 0, 1, False or True.

    Raises
    ------
    InputError
        Anything else, such as the additive form, 0 for a token and -1e9 for padding.
    """
    array = as_array(what, value)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{what} must hold 1 (a token) and 0 (padding), not {array.dtype}")
    ones = array == 1
    wrong = ~(ones | (array == 0))
    if np.count_nonzero(wrong):
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise InputError(
            f"{what} must hold 1 (a token) and 0 (padding); it has {array[where]!s} at {list(where)}. "
            "An additive mask, 0 and -1e9, becomes one by `mask == 0`"
        )
    return np.asarray(ones)


def check_field(owner: str, name: str, array: Any, dtype: npt.DTypeLike, length: int | None = None) -> None:
    """An InputError unless `array` is one-dimensional, contiguous, of this dtype and of this length."""
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 1:
        found = (
            f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
        )
        raise InputError(f"{owner}: {name} must be an array {np.dtype(dtype)} [n], not {found}")
    if length is not None and len(array) != length:
        raise InputError(f"{owner}: {name} has {len(array)} entries, {length} are expected")
    if not array.flags.c_contiguous:
        raise InputError(f"{owner}: {name} is not contiguous; numpy.ascontiguousarray makes it so")


def check_bounds(owner: str, name: str, bounds: npt.NDArray[Any], total: int, *, empty: bool = False) -> None:
    """An InputError unless `bounds` rise from 0 to `total`; with `empty` they may also stay."""
    before, after = bounds[:-1], bounds[1:]
    falls = after < before if empty else after <= before  # a difference could overflow
    if not len(bounds) or bounds[0] != 0 or bounds[-1] != total or np.count_nonzero(falls):
        raise InputError(f"{owner}: {name} must rise from 0 to {total}, not {bounds.tolist()[:8]}")
