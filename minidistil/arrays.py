"""Types of arrays, and checks of those that a caller hands over.

NumPy silently converts almost anything to an array, and an array to almost any dtype. Here a value is
accepted if the conversion does not change it, and refused otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.errors import InputError

Array = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
AnyArray = npt.NDArray[Any]
INT32 = np.dtype(np.int32)


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


def as_vectors(what: str, value: npt.ArrayLike) -> npt.NDArray[Any]:
    """`value` as an array, if it holds finite numbers [N, H].

    Raises
    ------
    InputError
        Another shape or dtype, or a NaN or an Inf, whose row is named.
    """
    array = np.asarray(value)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise InputError(f"{what} must be numbers [N, H], not {array.dtype} {list(array.shape)}")
    bad = np.flatnonzero(~np.isfinite(array).all(1))
    if len(bad):
        raise InputError(f"row {bad[0]} of {what} holds a NaN or an Inf")
    return array


def floats(name: str, x: npt.ArrayLike, *shapes: str) -> Array:
    """`x` as an array, if it holds floats and has the dimensions of one of the shapes, such as "N H".

    Raises
    ------
    InputError
        Otherwise, naming the argument.
    """
    array, ndims = np.asarray(x), [len(shape.split()) for shape in shapes]
    if not np.issubdtype(array.dtype, np.floating) or array.ndim not in ndims:
        wanted = " or ".join(f"{n}-d" for n in ndims)
        raise InputError(f"{name} must be a {wanted} array of floats, not {array.dtype} {list(array.shape)}")
    return array


def floats_like(name: str, x: npt.ArrayLike, model_name: str, model: Array) -> Array:
    """`x` in the dtype of `model`, if it has the shape of `model`.

    Raises
    ------
    InputError
        Otherwise, naming both arguments and both shapes.
    """
    array = np.asarray(x)
    if array.shape != model.shape:
        raise InputError(f"{name} has shape {list(array.shape)}, {model_name} has {list(model.shape)}")
    return array.astype(model.dtype, copy=False)


def finite_matrix(name: str, values: npt.ArrayLike, shape: tuple[int | None, int | None]) -> Array:
    """A finite matrix of a shape, in float64; None stands for any number but 0.

    Raises
    ------
    InputError
        Another shape, a NaN or an Inf.
    """
    array = np.asarray(values, np.float64)
    given = array.shape
    if len(given) != 2 or 0 in given or any(a not in (None, b) for a, b in zip(shape, given, strict=True)):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise InputError(f"{name} has shape {list(given)}, not [{wanted}]")
    if not np.isfinite(array).all():
        raise InputError(f"{name} has values that are not finite")
    return array


def check_field(owner: str, name: str, array: Any, dtype: npt.DTypeLike, length: int | None = None) -> None:
    """Raise an InputError unless `array` is one-dimensional, contiguous, of this dtype and of this length."""
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
    """Raise an InputError unless `bounds` rise from 0 to `total`; with `empty` they may also stay."""
    before, after = bounds[:-1], bounds[1:]
    falls = after < before if empty else after <= before  # a difference could overflow
    if not len(bounds) or bounds[0] != 0 or bounds[-1] != total or np.count_nonzero(falls):
        raise InputError(f"{owner}: {name} must rise from 0 to {total}, not {bounds.tolist()[:8]}")


def described(arrays: Mapping[str, Any]) -> str:
    """Names of arrays with their dtypes and shapes, for `repr`: "labels int64 [32]"."""
    return ", ".join(f"{name} {array.dtype} {list(array.shape)}" for name, array in arrays.items())
