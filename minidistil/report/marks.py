"""Texts cut into pieces, so that a template can mark some of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def pieces(
    text: str, marks: Iterable[Mapping[str, Any]] = (), colour_by: str | None = None
) -> Iterator[tuple[str, Mapping[str, Any] | None, int]]:
    """Cut a text at its marks. Of two that overlap the one that begins first is kept.

    Parameters
    ----------
    text : str
    marks : iterable of mappings
        Each with "start" and "end" in characters, from and up to; empty ones are left out.
    colour_by : str, optional
        Key of the marks: each of its values has a colour of its own.

    Yields
    ------
    piece : str
        All of them together are the text.
    mark : mapping or None
        The mark of the piece.
    hue : int
        Number of its colour, from 0.
    """
    marks, at = list(marks), 0
    values = sorted({mark[colour_by] for mark in marks}) if colour_by else []
    for mark in sorted(marks, key=lambda mark: (mark["start"], mark["end"])):
        if at <= mark["start"] < mark["end"]:
            yield text[at : mark["start"]], None, 0
            yield text[mark["start"] : mark["end"]], mark, values.index(mark[colour_by]) if colour_by else 0
            at = mark["end"]
    yield text[at:], None, 0
