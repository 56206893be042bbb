"""Documents with summaries that people wrote of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidistil.errors import DataError
from minidistil.text.readers import Column, cell_of, find_column, read_rows, shown_name

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
        Those of each document; none at all where the file has no column for them.
    lines : list of int
        The line each begins on, from 1.
    path : str
    """

    texts: list[str]
    summaries: list[list[str]]
    lines: list[int]
    path: str

    def __len__(self) -> int:
        return len(self.texts)


def read_documents(
    path: str | Path,
    *,
    text: Column | None = None,
    summary: Column | None = None,
    format: str | None = None,
    header: bool = True,
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
    format, header
        As for `read_examples`.

    Raises
    ------
    DataError
        No such file, an empty one, a bad line, a missing column, an empty document or summary.
    """
    name = shown_name(path)
    found = Documents([], [], [], name)
    columns: tuple[str, list[str]] | None = None
    for line, row in read_rows(path, format=format, header=header):
        if columns is None:
            columns = _columns(list(row), text, summary, name)
        document = cell_of(row, columns[0], name, line)
        if not isinstance(document, str) or not document.strip():
            raise DataError(
                f"{columns[0]!r} should hold a document, not {document!r:.60}", path=name, line=line
            )
        found.texts.append(document)
        found.summaries.append([s for column in columns[1] for s in _summaries(row, column, name, line)])
        found.lines.append(line)
    if not found.texts:
        raise DataError("there are no documents in it", path=name)
    return found


def _columns(
    columns: Sequence[str], text: Column | None, summary: Column | None, name: str
) -> tuple[str, list[str]]:
    """The column of the document, and those of its summaries."""
    usual = next((column for column in DOCUMENT if column in columns), None)
    if text is None and usual is None:
        raise DataError(f"which column holds the document? There are: {', '.join(columns)}", path=name)
    document = str(usual) if text is None else find_column(text, columns, name)
    if summary is not None:
        return document, [find_column(summary, columns, name)]
    return document, [c for c in columns if c != document and SUMMARY.fullmatch(c)]


def _summaries(row: Mapping[str, Any], column: str, name: str, line: int) -> list[str]:
    value = cell_of(row, column, name, line)
    several = value if isinstance(value, list) else [value]
    for summary in several:
        if not isinstance(summary, str) or not summary.strip():
            raise DataError(f"{column!r} should hold a summary, not {value!r:.60}", path=name, line=line)
    return several
