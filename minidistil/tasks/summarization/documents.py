"""Documents with summaries that people wrote of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from minidistil.errors import DataError
from minidistil.text.readers import ids_of
from minidistil.text.sources import shown_name
from minidistil.text.tables import Column, cell_of, find_column, is_missing, listed, read_rows

# Where to look when no column is named: the words of the data sets that there are.
DOCUMENT = ("document", "dialogue", "article", "text")
SUMMARY = re.compile(r"(summary|highlights|abstract)\d*|summaries")


@dataclass(frozen=True)
class Documents:
    """N documents.

    Attributes
    ----------
    texts : list of str
    summaries : list of list of str
        Summaries of each document; none at all if the file has no column for them.
    lines : list of int
        The line each begins on, from 1.
    path : str
    columns : dict of str to str
        The column that was read, for "text".
    ids : list of dict
        Of each row what it is called, by the column that says so; empty where none does.
    """

    texts: list[str]
    summaries: list[list[str]]
    lines: list[int]
    path: str
    columns: Mapping[str, str] = field(default_factory=dict)
    ids: list[dict[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.texts)


def read_documents(
    path: str | Path,
    *,
    text: Column | None = None,
    summary: Column | None = None,
    format: str | None = None,
    header: bool = True,
    empty: bool = False,
) -> Documents:
    """Read documents and their summaries.

    Parameters
    ----------
    path : str or Path
        A table, such as JSONL, in which a document has a row; "-" is standard input, `.gz` is unpacked.
    text, summary : str or int, optional
        Columns. By default the document is in "document", "dialogue", "article" or "text", and summaries
        are in all of "summary", "highlights" and "abstract", with or without a number after it ("summary1"),
        and "summaries". A value may be one text or a list of them.
    format, header, empty
        As for `read_examples`. Where documents may be empty, summaries do not count.

    Raises
    ------
    DataError
        No such file, an empty one, a bad line, a missing column, an empty document or summary.
    """
    name = shown_name(path)
    found = Documents([], [], [], name)
    column, summed = "", [""]
    seen: set[tuple[str, ...]] = set()
    for line, row in read_rows(path, format=format, header=header, blank=empty):
        if tuple(row) not in seen:
            chosen = _columns(list(row), column or text, summary, name, line)
            if not seen:
                column, summed = chosen
            elif not empty and not set(chosen[1]) <= set(summed):
                before = listed(summed) or "nowhere"
                what = f"summaries are in {listed(chosen[1])}, on line {found.lines[0]} they are in {before}"
                raise DataError(f"{what}: every line needs the same keys", path=name, line=line)
            seen.add(tuple(row))
        document = cell_of(row, column, name, line)
        if empty and is_missing(document):
            document = ""
        if not isinstance(document, str) or not (empty or document.strip()):
            raise DataError(f"{column!r} should hold a document, not {document!r:.60}", path=name, line=line)
        found.texts.append(document)
        found.summaries.append(
            [] if empty else [s for one in summed for s in _summaries(row, one, name, line)]
        )
        found.lines.append(line)
        found.ids.append(ids_of(row))
    if not found.texts:
        raise DataError("there are no documents in it", path=name)
    return replace(found, columns={"text": column})


def _columns(
    columns: Sequence[str], text: Column | None, summary: Column | None, name: str, line: int
) -> tuple[str, list[str]]:
    """The column of the document, and those of its summaries."""
    usual = next((column for column in DOCUMENT if column in columns), None)
    if text is None and usual is None:
        raise DataError(f"which column holds the document? There are: {listed(columns)}", path=name)
    document = str(usual) if text is None else find_column(text, columns, name, line)
    if summary is not None:
        return document, [find_column(summary, columns, name, line)]
    return document, [c for c in columns if c != document and SUMMARY.fullmatch(c)]


def _summaries(row: Mapping[str, Any], column: str, name: str, line: int) -> list[str]:
    value = cell_of(row, column, name, line)
    several = value if isinstance(value, list) else [value]
    for summary in several:
        if not isinstance(summary, str) or not summary.strip():
            raise DataError(f"{column!r} should hold a summary, not {value!r:.60}", path=name, line=line)
    return several
