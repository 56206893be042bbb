"""Files of predictions: csv, tsv, or lines of JSON, each with all that its text came with."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from minidistil.cli.streams import ESCAPE
from minidistil.errors import UsageError
from minidistil.files import atomic_write
from minidistil.tasks.inputs import Input, Shown
from minidistil.text.sources import STDIN
from minidistil.text.tables import is_missing

Writer = Callable[[Input, Shown], None]
FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl"}
TEXTS = ("text", "pair", "question", "context", "start", "choices")  # of an answer's facts: what was asked


def format_of(path: str) -> str:
    """Format of a file by its name; of standard output, "-", csv.

    Raises
    ------
    UsageError
        A name with another suffix.
    """
    suffix = Path(path).suffix.lower()
    if path != STDIN and suffix not in FORMATS:
        raise UsageError(f"{path}: predictions are kept in files that end in {', '.join(FORMATS)}")
    return FORMATS.get(suffix, "csv")


@contextmanager
def prediction_file(path: str, columns: Sequence[str]) -> Iterator[Writer]:
    """Open a file of predictions; it is there when all of them are.

    Parameters
    ----------
    path : str
        "-" is standard output, which gets each prediction at once.
    columns : sequence of str
        Names of all cells of the rows that texts come from, if they come from rows.

    Raises
    ------
    StorageError
        The disk is full, or the file cannot be written; its old content is untouched.
    """
    kind = format_of(path)
    if path == STDIN:
        yield _writer(sys.stdout, kind, columns)
        return
    options: dict[str, Any] = {"encoding": "utf-8", "errors": ESCAPE, "newline": ""}
    with atomic_write(path) as temporary, open(temporary, "w", **options) as file:
        yield _writer(file, kind, columns)


def _writer(file: IO[str], kind: str, columns: Sequence[str]) -> Writer:
    if kind == "jsonl":

        def write_json(given: Input, shown: Shown) -> None:
            row = {"row": {key: _plain(value) for key, value in given.row.items()}} if given.row else {}
            facts = {**given.origin, **row, **shown.facts}
            file.write(json.dumps(facts, ensure_ascii=False, default=str) + "\n")

        return write_json
    rows: Any = csv.writer(file, lineterminator="\n") if kind == "csv" else _TsvWriter(file)
    header: list[str] = []

    def write(given: Input, shown: Shown) -> None:
        about = _about(given, shown, columns)
        for cells in shown.table:
            if not header:
                header.extend([*about, *(_new_name(name, about) for name in cells)])
                rows.writerow(header)
            rows.writerow([_text(value) for value in (*about.values(), *cells.values())])

    return write


def _about(given: Input, shown: Shown, columns: Sequence[str]) -> dict[str, Any]:
    """Cells of a text: those of its row, else its origin and itself."""
    if given.row:
        return {column: given.row.get(column) for column in columns}
    return {**given.origin, **{key: shown.facts[key] for key in TEXTS if key in shown.facts}}


def _new_name(name: str, taken: Mapping[str, Any]) -> str:
    """Name of a predicted cell, other than those that the file has."""
    while name in taken:
        name = f"predicted_{name}"
    return name


def _plain(value: Any) -> Any:
    """A cell as JSON can have it."""
    if is_missing(value):
        return None
    return value if isinstance(value, (str, int, float, list, dict)) else str(value)


def _text(value: Any) -> str:
    """A cell as text: nothing is empty, lists and objects are JSON."""
    if is_missing(value):
        return ""
    if isinstance(value, (bool, list, tuple, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


class _TsvWriter:
    """Writer of a tsv, whose cells hold neither tabs nor line breaks, and whose quotes mean nothing."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def writerow(self, cells: Sequence[str]) -> None:
        """Write a line."""
        self._file.write("\t".join(re.sub(r"[\t\r\n]+", " ", cell) for cell in cells) + "\n")
