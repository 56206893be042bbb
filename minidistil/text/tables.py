"""Rows out of CSV, TSV, JSON, Parquet and plain text, and their columns.

Every error names the file and the line.
"""

from __future__ import annotations

import csv
import difflib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from minidistil.errors import DataError, UsageError
from minidistil.text.json_text import json_rows
from minidistil.text.sources import LONGEST_LINE, STDIN, decoded, opened, shown_name

log = logging.getLogger("minidistil")

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".txt": "text",
}
SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
NAMES = {**{name: name for name in FORMATS.values()}, "json": "jsonl", "txt": "text"}  # as people say them
LISTED = 20  # names that a message lists

Column = str | int
Row = tuple[int, Mapping[str, Any]]  # line number from 1, and the row


def read_rows(
    path: str | Path,
    *,
    format: str | None = None,
    header: bool = True,
    broken: list[int] | None = None,
    blank: bool = False,
) -> Iterator[Row]:
    """Rows of a file as they stand in it, with their lines.

    Parameters
    ----------
    path, format, header
        As of `minidistil.text.readers.read_examples`.
    broken : list of int, optional
        Lines of a table with cells missing or to spare are left out, and their numbers put there.
    blank : bool
        Whether a blank line is a row with an empty cell, in plain text and in a table of one column, which
        write it so. Otherwise it is none; nor is it ever one in other tables and between JSON objects.

    Raises
    ------
    DataError
        No such file, or a bad line.
    UsageError
        No such format, or a name that does not tell it.
    """
    kind, name = format_of(path, format), shown_name(path)
    if kind == "parquet":
        from minidistil.text.parquet import parquet_rows  # needs pyarrow

        yield from parquet_rows(path, name)
        return
    with opened(path, name) as file:
        yield from _rows(kind, file, name, header, broken, blank)


def format_of(path: str | Path, format: str | None, also: str = "") -> str:
    """Format of a file: the given one, or that of its name; `also` are other words to suggest."""
    if format is not None:
        if format not in NAMES:
            raise UsageError(f"format {format!r} is none of {', '.join(dict.fromkeys(NAMES.values()))}")
        return NAMES[format]
    if str(path) == STDIN:
        return "text"
    suffix = suffix_of(path)
    if suffix in SPREADSHEETS:
        raise UsageError(
            f"{path} is a spreadsheet, which is not read: save it as CSV in UTF-8 (of pandas: "
            "read_excel(...).to_csv(..., index=False))"
        )
    kind = FORMATS.get(suffix)
    if kind is None:
        known = "|".join((*dict.fromkeys(FORMATS.values()), *also.split()))
        raise UsageError(f"{path}: the name does not tell the format", remedy=(("format", known),))
    return kind


def suffix_of(path: str | Path) -> str:
    """The end of a name that tells the format, in lower case: that before .gz."""
    suffixes = [s.lower() for s in Path(path).suffixes]
    return next((s for s in reversed(suffixes) if s != ".gz"), "")


def _rows(
    kind: str, file: IO[bytes], name: str, header: bool, broken: list[int] | None, blank: bool
) -> Iterator[Row]:
    """Rows of a file of lines; numbers of lines with other numbers of cells are put into `broken`."""
    lines = decoded(file, name)
    if kind == "jsonl":
        return json_rows(lines, name)
    if kind == "text":
        return (
            (number, {"text": line.rstrip("\r\n")}) for number, line in lines if blank or not line.isspace()
        )
    cells = _csv_cells(lines, name) if kind == "csv" else _tsv_cells(lines)
    if kind == "tsv" and not header:
        return _numbered(cells, name, blank)
    return _table(cells, name, header, broken, blank)


def _tsv_cells(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    for number, line in lines:
        plain = line.rstrip("\r\n")
        yield number, plain.split("\t") if plain else []


def _csv_cells(lines: Iterator[tuple[int, str]], name: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(LONGEST_LINE)  # a whole document may stand in a cell; the default is 128 KB
    reader = csv.reader((line for _, line in lines), strict=True)
    while True:
        begins = reader.line_num + 1  # a quoted cell may hold line breaks
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(f"not valid CSV: {error}", path=name, line=begins) from error
        if cells is None:
            return
        yield begins, cells


def _filled(rows: Iterator[tuple[int, list[str]]], blank: bool) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank; with `blank` those too, after the first, that stand for empty cells."""
    width = 0
    for line, cells in rows:
        if any(cell.strip() for cell in cells) or (blank and width and (cells or width == 1)):
            width = width or len(cells)
            yield line, cells or [""]


def _table(
    rows: Iterator[tuple[int, list[str]]], name: str, header: bool, broken: list[int] | None, blank: bool
) -> Iterator[Row]:
    """Rows with as many cells as there are columns."""
    columns: list[str] = []
    for line, cells in _filled(rows, blank):
        if not columns:
            columns = [cell.strip() for cell in cells] if header else [str(i) for i in range(len(cells))]
            if header:
                check_names(columns, name, line)
                continue
        if len(cells) != len(columns):
            if broken is not None:
                broken.append(line)
                continue
            raise DataError(
                f"{len(cells)} cells where there should be {len(columns)} ({listed(columns)})",
                path=name,
                line=line,
            )
        yield line, dict(zip(columns, cells, strict=True))


def _numbered(rows: Iterator[tuple[int, list[str]]], name: str, blank: bool) -> Iterator[Row]:
    """Rows of a table without names, in which some lines have more cells than others.

    So it is in the STS benchmark. A cell is found by its number, whatever stands behind it.
    """
    width, more = 0, []
    for line, cells in _filled(rows, blank):
        width = width or len(cells)
        if len(cells) > width:
            more.append(line)
        yield line, {str(i): cell for i, cell in enumerate(cells)}
    if more:
        log.warning(
            "%s: the first line has %d cells; so many lines have more: %d, the first of them line %d",
            name, width, len(more), more[0],
        )  # fmt: skip


def check_names(columns: Sequence[str], name: str, line: int | None = None) -> None:
    """Raise a DataError if two columns have one name."""
    seen: set[str] = set()
    for column in columns:
        if column and column in seen:
            raise DataError(f"two columns are called {column!r:.60}", path=name, line=line)
        seen.add(column)


def listed(names: Sequence[str]) -> str:
    """Names as messages list them."""
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(f"{name:.60}" for name in names[:LISTED]) + more


def find_column(column: Column, columns: Sequence[str], name: str, line: int | None = None) -> str:
    """A column that was named, or numbered from 0.

    Raises
    ------
    DataError
        There is none.
    """
    found = column_among(column, columns)
    if found is None:
        near = nearest_column(column, columns)
        raise DataError(
            f"no column {str(column)!r}. There are: {listed(columns)}.{near}", path=name, line=line
        )
    return found


def column_among(column: Column, columns: Sequence[str]) -> str | None:
    """The name of a column that was named, or numbered from 0; None if there is none."""
    if str(column) in columns:
        return str(column)
    if str(column).isdecimal() and len(str(column)) < 10 and int(column) < len(columns):
        return columns[int(column)]
    return None


def nearest_column(column: Column, columns: Sequence[str]) -> str:
    """A suggestion for a message, if a name is much alike."""
    near = difflib.get_close_matches(str(column), columns[:1000], 1, 0.7)
    return f" Did you mean {near[0]!r}?" if near else ""


def cell_of(row: Mapping[str, Any], column: str, name: str, line: int) -> Any:
    """Cell of a row in a column; a DataError where it lacks it."""
    if column not in row:
        raise DataError(f"no key {column!r}; this line has: {listed(list(row))}", path=name, line=line)
    return row[column]


def is_missing(value: Any) -> bool:
    """True if nothing is there: null, or the NaN that tables of numbers have for it."""
    return value is None or (isinstance(value, float) and math.isnan(value))
