"""Texts as callers give them: lists, arrays, columns of a table, iterators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from minidistil.errors import InputError


def as_texts(name: str, texts: str | Iterable[str], *, one: bool = False) -> list[str]:
    """A list of the texts.

    Parameters
    ----------
    name : str
        Name for messages.
    texts : iterable of str
        Anything that has an order: a list, an array, a column of a table, an iterator.
    one : bool
        Whether a text by itself is taken too, for a list of it.

    Raises
    ------
    InputError
        Something else, such as a table, whose texts would be the names of its columns; or, with its index,
        an item that is not text.
    """
    found = [texts] if one and isinstance(texts, str) else as_items(name, texts)
    for i, text in enumerate(found):
        if not isinstance(text, str):
            raise InputError(f"{name}[{i}] is not a string but {type(text).__name__}{_shown(text)}")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InputError(f"{name}[{i}] holds half of a surrogate pair, which is not text") from None
    return found


def as_items(name: str, items: Any) -> list[Any]:
    """A list of what has an order.

    Raises
    ------
    InputError
        One string, a table, a mapping, a set, bytes, an array of several dimensions, or nothing to iterate
        over.
    """
    if isinstance(items, list):
        return items
    if isinstance(items, str):
        raise InputError(f"{name} must be a list of strings; put the one string in a list")
    kind = type(items).__name__
    if isinstance(items, Mapping) or hasattr(items, "columns") or hasattr(items, "column_names"):
        raise InputError(f'{name} are a {kind}: give one of its columns, such as table["text"]')
    dimensions = getattr(items, "ndim", 1)
    if (
        isinstance(items, (set, frozenset, bytes, bytearray))
        or dimensions != 1
        or not isinstance(items, Iterable)
    ):
        more = f" of {dimensions} dimensions" if dimensions != 1 else _shown(items)
        raise InputError(f"{name} must be a list, an array or an iterator of strings, not {kind}{more}")
    return list(items)


def _shown(value: object) -> str:
    return "" if value is None else f": {value!r:.40}"
