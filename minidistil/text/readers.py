"""Texts, pairs and labels out of CSV, TSV, JSONL, Parquet and plain text, from files, .gz or stdin.

Every complaint names the file and the line.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import json
import logging
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from minidistil.errors import DataError, UsageError

log = logging.getLogger("minidistil")

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "text",
}
STDIN = "-"

# Where to look when no column is named: GLUE's words, and what people write.
PAIRS = (
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("premise", "hypothesis"),
    ("question", "sentence"),
    ("text", "text_pair"),
)
TEXTS = ("text", "sentence1", "question1", "premise", "question", "sentence")  # QNLI has the last two
CLASSES = ("label", "labels", "intent")
LABELS = (*CLASSES, "score")
FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}

Column = str | int
Row = tuple[int, Mapping[str, Any]]  # line number from 1, and the row


@dataclass(frozen=True)
class Examples:
    """What a file holds, one entry an example.

    Attributes
    ----------
    texts : list of str
    pairs : list of str or None
        Second sentences, if the file has them.
    labels : list or None
        As they stand in the file: strings, or whatever JSON gave; where each label has a column of its own,
        lists of those that are 1.
    lines : list of int
        The line each example begins on, from 1.
    path : str
        For messages.
    """

    texts: list[str]
    pairs: list[str] | None
    labels: list[Any] | None
    lines: list[int]
    path: str

    def __len__(self) -> int:
        return len(self.texts)

    def subset(self, rows: Iterable[int]) -> Examples:
        """Some of them, in that order."""
        rows = list(rows)
        texts, lines = [self.texts[i] for i in rows], [self.lines[i] for i in rows]
        pairs = None if self.pairs is None else [self.pairs[i] for i in rows]
        labels = None if self.labels is None else [self.labels[i] for i in rows]
        return Examples(texts, pairs, labels, lines, self.path)


def read_examples(
    path: str | Path,
    *,
    text: Column | None = None,
    pair: Column | None = None,
    label: Column | None = None,
    label_columns: Sequence[Column] = (),
    format: str | None = None,
    header: bool = True,
    skip_broken: bool = False,
    usual_texts: Sequence[str] = TEXTS,
    usual_labels: Sequence[str] = LABELS,
) -> Examples:
    """Read examples from a file.

    Parameters
    ----------
    path : str or Path
        "-" is standard input. A name that ends in .gz is unpacked on the way, and so is what is piped in.
    text, pair, label : str or int, optional
        Columns, by name or by number from 0. Left out, they are looked for under usual names; a file
        need have no pair and no label.
    label_columns : sequence of str or int
        Of a file in which each label has a column, 0 or 1: those columns. A label is called as it is here.
    format : "csv", "tsv", "jsonl", "parquet" or "text", optional
        Default: what the file's name says; plain text for standard input. A csv follows the usual quoting; in
        a tsv, as in GLUE, quotes mean nothing; plain text has one example a line. Parquet needs pyarrow.
    header : bool
        Whether the first line of a csv or tsv names the columns. If not, they are "0", "1", ...
    skip_broken : bool
        Leave out lines of a csv or tsv with too few or too many cells; one warning says how many.
    usual_texts, usual_labels : sequence of str
        Where to look for the text and the label when no column is named. Without the latter there are none.

    Raises
    ------
    DataError
        No such file, an empty one, a bad line, a missing column.
    """
    name = shown_name(path)
    wanted = {"text": text, "pair": pair, "label": label}
    found = Examples([], None, None, [], name)
    columns: dict[str, str] | None = None
    broken: list[int] | None = [] if skip_broken else None
    flags: dict[str, str] = {}
    for line, row in read_rows(path, format=format, header=header, broken=broken):
        if columns is None:
            columns = _choose(wanted, list(row), name, usual_texts, usual_labels)
            flags = {str(column): find_column(column, list(row), name) for column in label_columns}
            labelled = "label" in columns or bool(flags)
            found = Examples([], [] if "pair" in columns else None, [] if labelled else None, [], name)
        values = {role: cell_of(row, column, name, line) for role, column in columns.items()}
        for role in values.keys() - {"label"}:
            if not isinstance(values[role], str):
                raise DataError(
                    f"column {columns[role]!r} should hold text, not {values[role]!r}", path=name, line=line
                )
        if not values["text"].strip() and not values.get("pair", "").strip():
            raise DataError("the text is empty", path=name, line=line)
        found.lines.append(line)
        found.texts.append(values["text"])
        if found.pairs is not None:
            found.pairs.append(values["pair"])
        if flags:
            values["label"] = [label for label, column in flags.items() if _flag(row, column, name, line)]
        if found.labels is not None:
            found.labels.append(values["label"])
    if broken and len(broken) > len(found):
        what = f"{len(broken)} of {len(broken) + len(found)} lines have cells missing or to spare"
        raise DataError(f"{what}: these are not the columns", path=name, line=broken[0])
    if not found.texts:
        raise DataError("there are no examples in it", path=name)
    if broken:
        log.warning(
            "%s: left out %d broken lines, with cells missing or to spare; the first is line %d",
            name, len(broken), broken[0],
        )  # fmt: skip
    return found


def read_rows(
    path: str | Path, *, format: str | None = None, header: bool = True, broken: list[int] | None = None
) -> Iterator[Row]:
    """Rows of a file as they stand in it, with their lines. Parameters and errors as of `read_examples`.

    With `broken` lines of a table with cells missing or to spare are left out, and their numbers put there.
    """
    kind, name = _format_of(path, format), shown_name(path)
    with opened(path, name) as file:
        yield from _rows(kind, file, name, header, broken)


def read_text(path: str | Path) -> str:
    """A whole file as one text, every character as it stands but a byte order mark.

    Raises
    ------
    DataError
        No such file, not UTF-8.
    """
    return "".join(line for _, line in lines_of(path, shown_name(path)))


def shown_name(path: str | Path) -> str:
    """What messages call a file."""
    return "standard input" if str(path) == STDIN else str(path)


def _format_of(path: str | Path, format: str | None) -> str:
    if format is not None:
        if format not in FORMATS.values():
            raise UsageError(f"format {format!r} is none of {', '.join(dict.fromkeys(FORMATS.values()))}")
        return format
    if str(path) == STDIN:
        return "text"
    suffixes = [s.lower() for s in Path(path).suffixes]
    suffix = next((s for s in reversed(suffixes) if s != ".gz"), "")
    if suffix not in FORMATS:
        raise UsageError(f"{path}: the name does not tell the format; say csv, tsv, jsonl, parquet or text")
    return FORMATS[suffix]


@contextmanager
def opened(path: str | Path, name: str) -> Iterator[IO[bytes]]:
    """The bytes of a file, with everything that can go wrong beneath turned into a DataError."""
    try:
        if name != str(path):
            with _unpacked(sys.stdin.buffer) as piped:
                yield piped
        elif name.lower().endswith(".gz"):
            with gzip.open(path) as unpacked:
                yield cast(IO[bytes], unpacked)
        else:
            with open(path, "rb") as file:
                yield file
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"not a whole gzip file: {error}", path=name) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path=name) from error


def _unpacked(file: Any) -> Any:
    """What is piped in, unpacked if it begins as a gzip file does."""
    packed = hasattr(file, "peek") and file.peek(2)[:2] == b"\x1f\x8b"
    return gzip.open(file) if packed else nullcontext(file)


def lines_of(path: str | Path, name: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers from 1; `name` is for messages. Errors as of `read_examples`."""
    with opened(path, name) as file:
        yield from _lines(file, name)


def _lines(file: IO[bytes], name: str) -> Iterator[tuple[int, str]]:
    """Decoded lines with their endings, numbered from 1."""
    for number, raw in enumerate(file, 1):
        if number == 1:
            if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise DataError("this is UTF-16; save it as UTF-8", path=name, line=1)
            raw = raw.removeprefix(b"\xef\xbb\xbf")  # a byte order mark
        if b"\0" in raw:
            raise DataError(
                "there is a NUL byte in it: this is no text, or UTF-16; save it as UTF-8",
                path=name,
                line=number,
            )
        try:
            yield number, raw.decode()
        except UnicodeDecodeError as error:
            raise DataError(
                f"byte {error.start} of the line is not UTF-8 ({error.reason}); save the file as UTF-8",
                path=name,
                line=number,
            ) from error


def _rows(kind: str, file: IO[bytes], name: str, header: bool, broken: list[int] | None) -> Iterator[Row]:
    """Rows of a file; numbers of lines with other numbers of cells are put into `broken`, if there is one."""
    if kind == "parquet":
        return _parquet(file, name)
    lines = _lines(file, name)
    if kind == "csv":
        return _table(_csv_cells(lines, name), name, header, broken)
    plain = ((number, line.rstrip("\r\n")) for number, line in lines if line.strip())
    if kind == "tsv":
        return _table(((number, line.split("\t")) for number, line in plain), name, header, broken)
    if kind == "jsonl":
        return ((number, json_object(line, name, number)) for number, line in plain)
    return ((number, {"text": line}) for number, line in plain)


def _parquet(file: IO[bytes], name: str) -> Iterator[Row]:
    """Rows, numbered from 1."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(
            "reading parquet needs pyarrow: pip install 'minidistil[parquet]', or save the table as jsonl"
        ) from error
    try:
        number = 0
        # Its end says where everything is, so it is read whole; standard input cannot be sought in.
        for batch in parquet.ParquetFile(pyarrow.BufferReader(file.read())).iter_batches():
            columns = [_parquet_cells(column, pyarrow.string()) for column in batch.columns]
            for cells in zip(*columns, strict=True):
                number += 1
                yield number, dict(zip(batch.schema.names, cells, strict=True))
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"not a parquet file: {error}", path=name) from error


def _parquet_cells(column: Any, text: Any) -> list[Any]:
    """What a column holds, as Python has it; times that Python has no type for as text."""
    try:
        cells: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        raise
    except (ValueError, OverflowError):
        cells = column.cast(text).to_pylist()
    return cells


def _csv_cells(lines: Iterator[tuple[int, str]], name: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(2**31 - 1)  # a whole document may stand in a cell; the default is 128 KB
    reader = csv.reader((line for _, line in lines), strict=True)
    while True:
        begins = reader.line_num + 1  # a quoted cell may hold line breaks
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(f"not valid CSV: {error}", path=name, line=begins) from error
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield begins, cells


def _table(
    rows: Iterator[tuple[int, list[str]]], name: str, header: bool, broken: list[int] | None
) -> Iterator[Row]:
    columns: list[str] | None = None
    for line, cells in rows:
        if columns is None:
            columns = [cell.strip() for cell in cells] if header else [str(i) for i in range(len(cells))]
            if header:
                twice = next((name for name in columns if name and columns.count(name) > 1), None)
                if twice is not None:
                    raise DataError(f"two columns are called {twice!r}", path=name, line=line)
                continue
        if len(cells) != len(columns):
            if broken is not None:
                broken.append(line)
                continue
            raise DataError(
                f"{len(cells)} cells where there should be {len(columns)} ({', '.join(columns)})",
                path=name,
                line=line,
            )
        yield line, dict(zip(columns, cells, strict=True))


def parse_json(text: str, name: str, number: int = 1) -> Any:
    """JSON that begins on line `number` of a file, or a DataError that names the line."""
    try:
        value = json.loads(text)
        if "\\u" in text:  # only so can half of a surrogate pair be written
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        line = number + error.lineno - 1
        raise DataError(
            f"not valid JSON: {error.msg} at column {error.colno}", path=name, line=line
        ) from error
    except UnicodeEncodeError as error:
        raise DataError(
            "it holds half of a surrogate pair, which is not text", path=name, line=number
        ) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets without end
        raise DataError(f"JSON that cannot be read: {error}", path=name, line=number) from error
    return value


def json_object(line: str, name: str, number: int) -> dict[str, Any]:
    value = parse_json(line, name, number)
    if not isinstance(value, dict):
        raise DataError(
            f"a JSON object a line is expected, not a {type(value).__name__}", path=name, line=number
        )
    return value


def _choose(
    wanted: Mapping[str, Column | None], columns: Sequence[str], name: str,
    texts: Sequence[str], labels: Sequence[str],
) -> dict[str, str]:  # fmt: skip
    """Which column plays which role: those asked for, else those with a usual name."""
    chosen = {role: find_column(c, columns, name) for role, c in wanted.items() if c is not None}
    if "text" not in chosen:
        usual = next((c for c in texts if c in columns), None)
        if usual is None:
            raise DataError(f"which column holds the text? There are: {', '.join(columns)}", path=name)
        chosen["text"] = usual
        second = next((b for a, b in PAIRS if a == usual and b in columns), None)
        if second is not None:
            chosen.setdefault("pair", second)
    label = next((c for c in labels if c in columns), None)
    if label is not None:
        chosen.setdefault("label", label)
    return chosen


def find_column(column: Column, columns: Sequence[str], name: str) -> str:
    """A column that was named, or numbered from 0.

    Raises
    ------
    DataError
        There is none.
    """
    if str(column) in columns:
        return str(column)
    if str(column).isdecimal() and int(column) < len(columns):
        return columns[int(column)]
    near = difflib.get_close_matches(str(column), columns, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise DataError(f"no column {str(column)!r}. There are: {', '.join(columns)}.{hint}", path=name)


def cell_of(row: Mapping[str, Any], column: str, name: str, line: int) -> Any:
    """What a row has in a column; a DataError where it lacks it."""
    if column not in row:
        raise DataError(f"no key {column!r}; this line has: {', '.join(row)}", path=name, line=line)
    return row[column]


def _flag(row: Mapping[str, Any], column: str, name: str, line: int) -> bool:
    """A cell that says yes or no."""
    value = cell_of(row, column, name, line)
    flag = FLAGS.get(str(value).strip().lower())
    if flag is None:
        raise DataError(f"column {column!r} should hold 0 or 1, not {value!r}", path=name, line=line)
    return flag
