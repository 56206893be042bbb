"""Texts, pairs and labels out of CSV, TSV, JSON, Parquet and plain text, from files, .gz or stdin.

Every error names the file and the line.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minidistil.errors import DataError, UsageError
from minidistil.text.sources import shown_name
from minidistil.text.tables import (
    Column,
    cell_of,
    column_among,
    format_of,
    is_missing,
    listed,
    nearest_column,
    read_rows,
)

log = logging.getLogger("minidistil")

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
# What files call a row, in any case of the letters.
IDS = ("id", "_id", "idx", "index", "guid", "uid", "uuid", "qid", "pairid", "doc_id", "example_id")
FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


@dataclass(frozen=True)
class Examples:
    """Contents of a file, one entry an example.

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
    columns : dict of str to str
        The columns that were read, by what they were read for: "text", "pair", "label".
    ids : list of dict
        Of each row what it is called, by the column that says so; empty where none does.
    rows : list of mapping
        Of each row all that stands in it, where that is asked for.
    """

    texts: list[str]
    pairs: list[str] | None
    labels: list[Any] | None
    lines: list[int]
    path: str
    columns: Mapping[str, str] = field(default_factory=dict)
    ids: list[dict[str, Any]] = field(default_factory=list)
    rows: list[Mapping[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.texts)

    def subset(self, rows: Iterable[int]) -> Examples:
        """Some of them, in that order."""
        rows = list(rows)
        texts, lines = [self.texts[i] for i in rows], [self.lines[i] for i in rows]
        pairs = None if self.pairs is None else [self.pairs[i] for i in rows]
        labels = None if self.labels is None else [self.labels[i] for i in rows]
        ids = [self.ids[i] for i in rows] if self.ids else []
        whole = [self.rows[i] for i in rows] if self.rows else []
        return Examples(texts, pairs, labels, lines, self.path, self.columns, ids, whole)


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
    empty: bool = False,
    usual_texts: Sequence[str] = TEXTS,
    usual_pairs: Sequence[tuple[str, str]] = PAIRS,
    usual_labels: Sequence[str] = LABELS,
    usual_ids: Sequence[str] = (),
    keep_rows: bool = False,
) -> Examples:
    """Read examples from a file.

    Parameters
    ----------
    path : str or Path
        "-" is standard input. A name that ends in .gz is unpacked on the way, and so is what is piped in.
    text, pair, label : str or int, optional
        Columns, by name or by number from 0. Left out, they are looked for under usual names; a file
        need have no pair and no label. Every row must have those that the first has, and no others of these.
    label_columns : sequence of str or int
        Of a file in which each label has a column, 0 or 1: those columns. A label is called as it is here.
    format : "csv", "tsv", "jsonl", "parquet" or "text", optional
        Default: what the file's name says; plain text for standard input. A csv follows the usual quoting; in
        a tsv, as in GLUE, quotes mean nothing; JSON is an object a line, or one array of objects; plain text
        has one example a line. Parquet needs pyarrow.
    header : bool
        Whether the first line of a csv or tsv names the columns. If not, they are "0", "1", ..., and lines of
        a tsv may have more cells than the first.
    skip_broken : bool
        Leave out lines of a csv or tsv with too few or too many cells, and rows without a text; one warning
        says how many.
    empty : bool
        Whether an empty text is an example, as it is where something is predicted for every line. Otherwise
        it is an error, and a blank line is nothing.
    usual_texts, usual_labels : sequence of str
        Usual columns of the text and the label, if none is named. Without the latter there are none.
    usual_pairs : sequence of (str, str)
        Texts under these names have their pairs beside them under those.
    usual_ids : sequence of str
        Columns, in any case of their letters, to keep as `ids`.
    keep_rows : bool
        Whether to keep all columns of each row, as `rows`.

    Raises
    ------
    DataError
        No such file, an empty one, a bad line, a missing column.
    """
    name, kind = shown_name(path), format_of(path, format)
    wanted = {"text": text, "pair": pair, "label": label}
    usual = usual_texts, usual_pairs, usual_labels
    roles = _Roles(wanted, label_columns, usual, name, kind, header)
    texts: list[str] = []
    pairs: list[str] = []
    labels: list[Any] = []
    lines: list[int] = []
    ids: list[dict[str, Any]] = []
    rows: list[Mapping[str, Any]] = []
    broken: list[int] | None = [] if skip_broken else None
    for line, row in read_rows(path, format=kind, header=header, broken=broken, blank=empty):
        columns = roles.of(row, line)
        first = _text(row, columns["text"], name, line)
        second = _text(row, columns["pair"], name, line) if "pair" in columns else ""
        label = cell_of(row, columns["label"], name, line) if "label" in columns else None
        if not (empty or first.strip() or second.strip()):
            if broken is None:
                raise DataError("the text is empty", path=name, line=line)
            broken.append(line)
            continue
        lines.append(line)
        texts.append(first)
        pairs.append(second)
        labels.append(label)
        if roles.flags:
            labels[-1] = [label for label, column in roles.flags.items() if _flag(row, column, name, line)]
        if usual_ids:
            ids.append(ids_of(row, usual_ids))
        if keep_rows:
            rows.append(row)
    if broken and len(broken) > len(texts):
        what = f"{len(broken)} of {len(broken) + len(texts)} lines have cells missing or to spare, or no text"
        raise DataError(f"{what}: these are not the columns", path=name, line=min(broken))
    if not texts:
        raise DataError("there are no examples in it", path=name)
    if broken:
        log.warning(
            "%s: left out %d broken lines, with cells missing or to spare, or no text; the first is line %d",
            name, len(broken), min(broken),
        )  # fmt: skip
    return Examples(
        texts=texts,
        pairs=pairs if "pair" in roles.columns else None,
        labels=labels if "label" in roles.columns or roles.flags else None,
        lines=lines,
        path=name,
        columns={} if kind == "text" else roles.columns,  # a line has no name for others to go by
        ids=ids,
        rows=rows,
    )


class _Roles:
    """Columns of a file by role: the text, its pair, the label.

    They are chosen by the first row. Objects may have other keys from row to row; one whose keys would have
    been chosen otherwise is an error, so that nothing is dropped in silence.

    Attributes
    ----------
    columns : dict of str to str
        By role.
    flags : dict of str to str
        Columns that say yes or no, by their labels.
    """

    def __init__(
        self, wanted: Mapping[str, Column | None], flags: Sequence[Column],
        usual: tuple[Sequence[str], Sequence[tuple[str, str]], Sequence[str]],
        name: str, kind: str, header: bool,
    ) -> None:  # fmt: skip
        self._wanted = {role: column for role, column in wanted.items() if column is not None}
        self._flags, self._name = flags, name
        self._texts, self._pairs, self._labels = usual
        self._kind, self._header, self._first, self._tabs = kind, header, 0, False
        self._known: set[tuple[str, ...]] = set()
        self.columns: dict[str, str] = {}
        self.flags: dict[str, str] = {}

    def of(self, row: Mapping[str, Any], line: int) -> dict[str, str]:
        """The columns of a row, by role."""
        keys = tuple(row)
        if keys not in self._known:
            if not self._known:
                self._tabs = any("\t" in str(part) for part in (*row, *row.values()))
                self._first, self.columns = line, self._choose(keys)
                self.flags = {str(c): self._find("label", c, keys) for c in self._flags}
            self._check(keys, line)
            self._known.add(keys)
        return self.columns

    def _choose(self, columns: Sequence[str]) -> dict[str, str]:
        """Columns asked for, else those with a usual name."""
        chosen = {role: self._find(role, column, columns) for role, column in self._wanted.items()}
        chosen |= self._usual(columns)
        if "text" not in chosen:
            lines = (("header", "false"),) if self._kind in ("csv", "tsv") else ()
            ways = self._ways() or (("text", "NAME"), *lines)
            what = f"which column holds the text? There are: {listed(columns)}{_between(self._kind, columns)}"
            raise DataError(what, path=self._name, remedy=ways)
        return chosen

    def _find(self, role: str, column: Column, columns: Sequence[str]) -> str:
        found = column_among(column, columns)
        if found is None:
            unlabelled = " So this file has no labels, unless by another name." if role == "label" else ""
            raise DataError(
                f"no column {str(column)!r}. There are: {listed(columns)}."
                f"{nearest_column(column, columns) or unlabelled}{_between(self._kind, columns)}",
                path=self._name, remedy=self._ways(column),
            )  # fmt: skip
        return found

    def _usual(self, keys: Sequence[str]) -> dict[str, str]:
        """Columns under usual names, for the roles that none was asked for."""
        found: dict[str, str | None] = {"label": next((c for c in self._labels if c in keys), None)}
        if "text" not in self._wanted:
            text = found["text"] = next((c for c in self._texts if c in keys), None)
            found["pair"] = next((b for a, b in self._pairs if a == text and b in keys), None)
        return {role: c for role, c in found.items() if c is not None and role not in self._wanted}

    def _check(self, keys: Sequence[str], line: int) -> None:
        """Raise a DataError for a row that would choose other columns, were it the first."""
        for role, column in self._usual(keys).items():
            before = self.columns.get(role)
            if column != before and (
                before is None or before in keys
            ):  # one that is not there `cell_of` tells
                what = f"has no {role}" if before is None else f"has {before!r} for the {role}"
                raise DataError(
                    f"the key {column!r} is here, and line {self._first}, by which columns are chosen, "
                    f"{what}: every line needs the same keys",
                    path=self._name, line=line, remedy=((role, "NAME"),),
                )  # fmt: skip

    def _ways(self, asked: Column | None = None) -> tuple[tuple[str, str], ...]:
        """Hint where a column is not found because the file is something else than it was read as."""
        if self._kind == "text" or (self._kind == "csv" and self._tabs):
            return (("format", "tsv"),)
        if not self._header and asked is not None and not str(asked).isdecimal():
            return (("header", "true"),)
        return ()


def _between(kind: str, columns: Sequence[str]) -> str:
    """A word on cells that are not between commas."""
    if kind == "text":
        return " This was read as plain text, a text a line"
    if kind == "csv" and len(columns) == 1 and ";" in columns[0]:
        return " Cells are expected between commas, not semicolons"
    return ""


def _text(row: Mapping[str, Any], column: str, name: str, line: int) -> str:
    """A cell that holds a text; nothing is an empty one."""
    value = cell_of(row, column, name, line)
    if isinstance(value, str):
        return value
    if is_missing(value):
        return ""
    raise DataError(f"column {column!r} should hold text, not {value!r:.60}", path=name, line=line)


def read_translations(
    paths: Sequence[str | Path], *, source: Column | None = None, translation: Column | None = None
) -> tuple[list[str], list[str]]:
    """Read pairs: sentences, and their translations in the same order.

    Parameters
    ----------
    paths : one or two paths
        Two: plain text, line i of the one translated in line i of the other; a line may be empty in both.
        One: a csv, tsv or jsonl with two columns. `.gz` too.
    source, translation : str or int, optional
        Columns; by default `text` and `text_pair`, or others that `read_examples` knows.

    Raises
    ------
    DataError
        A line without counterpart, a missing column, no pairs at all.
    UsageError
        Neither one path nor two.
    """
    if len(paths) == 2:
        ours, theirs = (read_examples(path, format="text") for path in paths)
        lone = set(ours.lines) ^ set(theirs.lines)
        if lone:
            where = ours if min(lone) in ours.lines else theirs
            other = theirs if where is ours else ours
            raise DataError(
                f"this line has no counterpart in {other.path}: line by line they must be translations",
                path=where.path,
                line=min(lone),
            )
        return ours.texts, theirs.texts
    if len(paths) != 1:
        raise UsageError(f"pairs are in one file or in two, line by line; {len(paths)} were given")
    examples = read_examples(paths[0], text=source, pair=translation)
    if examples.pairs is None:
        raise DataError("there is no second column to find translations in", path=examples.path)
    return examples.texts, examples.pairs


def ids_of(row: Mapping[str, Any], usual: Sequence[str] = IDS) -> dict[str, Any]:
    """Id of a row, by the columns that hold one, as JSON can have it."""
    found = {column: row[column] for column in row if column.lower() in usual}
    return {
        column: None if is_missing(value) else value if isinstance(value, (str, int, float)) else str(value)
        for column, value in found.items()
    }


def _flag(row: Mapping[str, Any], column: str, name: str, line: int) -> bool:
    """A cell that says yes or no."""
    value = cell_of(row, column, name, line)
    flag = FLAGS.get(str(value).strip().lower())
    if flag is None:
        raise DataError(f"column {column!r} should hold 0 or 1, not {value!r}", path=name, line=line)
    return flag
