"""Rows of different lengths, as a tokenizer gives them without padding, filled up to rectangles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.errors import InputError, UsageError

ROWS = (list, tuple, np.ndarray)


def rectangles(values: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs of a model as rectangles, with the mask that then says which tokens are real.

    Parameters
    ----------
    values : mapping
        "input_ids": B lists of ids, or B lists of C of them, of examples with C choices; and whatever else
        has a value for each token, in lists of the same lengths. Ids that are a rectangle already, and all
        with them, stay as they are.

    Returns
    -------
    dict
        The same names, and "attention_mask". Padding is 0, also of labels: nobody reads it.

    Raises
    ------
    UsageError
        A mapping in place of ids.
    InputError
        A sequence without tokens, values of other lengths than the ids, unequal numbers of choices, texts.
    """
    ids = values["input_ids"]
    if isinstance(ids, Mapping):
        raise UsageError("a mapping of inputs is unpacked: model(**inputs)")
    if isinstance(ids, str) or (isinstance(ids, (list, tuple)) and ids and isinstance(ids[0], str)):
        raise InputError("input_ids are numbers; texts need a tokenizer, as model(**tokenizer(texts))")
    nested = _nested(ids)
    if nested is None:
        return dict(values)
    shape, rows = nested
    lengths = list(map(len, rows))
    if len(set(lengths)) < 2:
        return dict(values)
    if 0 in lengths:
        raise InputError(f"row {lengths.index(0)} of input_ids has no tokens; drop it or give it [CLS] [SEP]")
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]  # [B, L], or [B * C, L]
    found: dict[str, Any] = {"attention_mask": mask.reshape(*shape, -1)}
    for name, value in values.items():
        if value is None:
            continue
        other = _nested(value)
        if other is None or other[0] != shape or list(map(len, other[1])) != lengths:
            has = type(value).__name__ if other is None else _few(list(map(len, other[1])))
            raise InputError(
                f"input_ids has rows of different lengths, {_few(lengths)}: {name} must have rows of the "
                f"same, not {has}"
            )
        found[name] = _filled(name, other[1], mask).reshape(*shape, -1)
    return found


def _nested(value: Any) -> tuple[tuple[int, ...], list[Any]] | None:
    """(B,) or (B, C), and the sequences, of nested lists; None of anything else, such as an array."""
    if not isinstance(value, ROWS) or (isinstance(value, np.ndarray) and value.dtype != object):
        return None
    rows = list(value)
    if not rows or not all(isinstance(row, ROWS) for row in rows):
        return None
    if not all(len(row) and isinstance(row[0], ROWS) for row in rows):
        return (len(rows),), rows
    counts = list(map(len, rows))
    if len(set(counts)) > 1:
        raise InputError(f"examples must have the same number of choices, not {_few(counts)}")
    return (len(rows), counts[0]), [choice for example in rows for choice in example]


def _filled(name: str, rows: Sequence[Any], mask: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Rows where the mask is true, and 0 elsewhere."""
    try:
        flat = np.concatenate([np.asarray(row) for row in rows])
    except ValueError as error:
        raise InputError(f"{name} has rows that are not numbers: {error}") from error
    if flat.ndim != 1:
        raise InputError(f"{name} must be numbers [B, L], or [B, C, L] of choices; it has more dimensions")
    out = np.zeros(mask.shape, flat.dtype)
    out[mask] = flat
    return out


def _few(lengths: Sequence[int]) -> str:
    return str(list(lengths)) if len(lengths) <= 8 else f"[{', '.join(map(str, lengths[:8]))}, ...]"
