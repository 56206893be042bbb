"""Reading the files of a task: settings, and the known form of a named task's files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from minidistil.errors import DataError
from minidistil.settings import ANY_TEXT
from minidistil.text.labels import label_name, plain_name
from minidistil.text.readers import IDS, LABELS, PAIRS, TEXTS, Examples, read_examples
from minidistil.text.sources import lines_of, shown_name
from minidistil.text.tables import FORMATS, Column, format_of, read_rows, suffix_of

log = logging.getLogger("minidistil")

TABLE = ("text", "label", "format", "header", "skip_broken", "skip_label")  # settings of one, see below


@dataclass(frozen=True)
class DataSettings:
    """Settings of reading files. A named task knows most of them.

    Attributes
    ----------
    text : str, int or None
        Column of the text, by name or by number from 0; None: one with a usual name, such as sentence.
    pair : str, int or None
        Column of the second text; None: one with a usual name beside that of the text, if there is one.
    label : str, int or None
        Column of the label; None: one with a usual name, such as label or score.
    label_columns : tuple of str
        Of several labels, if each has a column of its own, 0 or 1: those columns.
    format : str or None
        "csv", "tsv", "jsonl", "parquet" or "text"; None: what the file's name says.
    header : bool or None
        Whether the first line of a csv or tsv names the columns; None: as the task's files have it, else yes.
    skip_broken : bool or None
        Whether lines of a csv or tsv with too few or too many cells, and rows without a text, are left out,
        and counted, instead of refused; None: as the task's files need it, else no.
    skip_label : str, int or None
        Examples with this label are left out, and counted; with "" those without a label.
    separator : str
        Between the labels of an example that may have several.
    max_length : int or None
        Most tokens of an example; longer ones are cut. None: to learn, what is usual for the kind of task;
        afterwards what the model learnt with, which its directory keeps.
    scheme : str or None
        Of tags: how they mark entities, see `token_classification.schemes`; None: as they look, IOB2 for
        a new model.
    """

    text: Column | None = field(default=None, metadata=ANY_TEXT)
    pair: Column | None = field(default=None, metadata=ANY_TEXT)
    label: Column | None = field(default=None, metadata=ANY_TEXT)
    label_columns: tuple[str, ...] = ()
    format: str | None = None
    header: bool | None = None
    skip_broken: bool | None = None
    skip_label: Column | None = field(default=None, metadata=ANY_TEXT)
    separator: str = ","
    max_length: int | None = None
    scheme: str | None = None

    @property
    def named_columns(self) -> bool:
        """True if the first line of a csv or tsv names the columns."""
        return self.header is not False

    def read(
        self, path: str | Path, *, usual_labels: Sequence[str] = LABELS, empty: bool = False
    ) -> Examples:
        """The examples of a table, but for those to be left out, which a warning counts.

        Parameters
        ----------
        path : str or Path
        usual_labels : sequence of str
            Usual columns of the label, if none is named.
        empty : bool
            Whether an empty text is an example: where something is said of every row.

        Raises
        ------
        DataError
            As of `read_examples`; or nothing is left.
        """
        return self._without_skipped(self._read(path, usual_labels=usual_labels, empty=empty))

    def read_unlabelled(self, path: str | Path) -> Examples:
        """The texts of a table, or the lines of plain text; labels are not looked at. Errors as of `read`."""
        if self._is_plain(path):
            return read_examples(path, format="text", usual_labels=())
        bare = replace(self, label=None, label_columns=(), skip_label=None)
        return replace(bare.read(path, usual_labels=()), labels=None)

    def _is_plain(self, path: str | Path) -> bool:
        """True if a file has a text a line, and no columns."""
        return format_of(path, self.format) == "text"

    def _read(self, path: str | Path, **more: Any) -> Examples:
        return read_examples(
            path, text=self.text, pair=self.pair, label=self.label, label_columns=self.label_columns,
            format=self.format, header=self.named_columns, skip_broken=bool(self.skip_broken),
            usual_ids=IDS, **more,
        )  # fmt: skip

    def _without_skipped(self, examples: Examples, *also: str) -> Examples:
        """Examples but for those with `skip_label`, or one of these names."""
        if self.skip_label is None or examples.labels is None:
            return examples
        skipped = {plain_name(label_name(self.skip_label)), *also}
        kept = [i for i, label in enumerate(examples.labels) if plain_name(label_name(label)) not in skipped]
        if not kept:
            raise DataError(f"every example in it is labelled {self.skip_label!r}", path=examples.path)
        if left_out := len(examples) - len(kept):
            log.warning("%s: left out %d examples labelled %r", examples.path, left_out, self.skip_label)
        return examples.subset(kept)

    def format_of(self, path: str | Path) -> str | None:
        """Format that is set for a file; None: its name tells."""
        return self.format


# Cells by which a line of names is told from an example, in any case of the letters.
HEADINGS = {*TEXTS, *LABELS, *IDS, "title", "description", "class", "class index", "category", "message"}


@dataclass(frozen=True)
class NamedData(DataSettings):
    """Settings of a named task: defaults are the columns and format of its authors' files.

    A table whose name tells another format is not the authors' file, but has the same examples, as the
    `datasets` library hands them out. There the authors' columns are looked for before the usual ones, and
    examples without a label are left out where the authors have a word for them. A copy that has a line of
    names where the authors' file has none is read with it.

    Attributes
    ----------
    known : tuple of str
        The settings that are the authors'.
    first : mapping of str to str
        By role, where to look first for a column that nobody named: those that a model learnt from.
    keep_rows : bool
        Whether examples have all columns of their rows, see `read_examples`.
    """

    known: tuple[str, ...] = ()
    first: Mapping[str, str] = field(default_factory=dict)
    keep_rows: bool = False

    def _other_format(self, path: str | Path) -> bool:
        told = FORMATS.get(suffix_of(path), "text")  # .txt tells nothing: authors name tables so
        return "format" in self.known and told not in ("text", self.format)

    def format_of(self, path: str | Path) -> str | None:
        return None if self._other_format(path) else self.format

    def _is_plain(self, path: str | Path) -> bool:
        if self.format_of(path) != "tsv" or suffix_of(path) != ".txt":
            return format_of(path, self.format_of(path)) == "text"
        return not any("\t" in line for _, line in islice(lines_of(path, shown_name(path)), 1))

    def _columns_named(self, path: str | Path) -> tuple[str, ...]:
        """The names in the first line of a file, if it has them where the authors' file has none."""
        if not ("header" in self.known and self.header is False and Path(path).is_file()):
            return ()
        _, row = next(read_rows(path, format=self.format, header=False), (0, {}))
        cells = tuple(str(cell).strip() for cell in row.values())
        return cells if sum(cell.casefold() in HEADINGS for cell in cells) > 1 else ()

    def _read(self, path: str | Path, **more: Any) -> Examples:
        first = {role: column for role, column in self.first.items() if getattr(self, role, None) is None}
        usual: dict[str, Any] = {
            "usual_texts": TEXTS, "usual_pairs": PAIRS, "keep_rows": self.keep_rows, **more,
        }  # fmt: skip
        return super()._read(path, **usual_first(first, usual))

    def read(
        self, path: str | Path, *, usual_labels: Sequence[str] = LABELS, empty: bool = False
    ) -> Examples:
        if not self._other_format(path):
            heading = self._columns_named(path)
            if not heading:
                return super().read(path, usual_labels=usual_labels, empty=empty)
            numbers = [column for column in (self.text, self.pair, self.label) if isinstance(column, int)]
            if max(numbers, default=0) < len(heading):
                return replace(self, header=True).read(path, usual_labels=usual_labels, empty=empty)
        roles = [role for role in ("text", "pair", "label") if role in self.known]
        names = {role: str(getattr(self, role)) for role in roles}
        layout: dict[str, Any] = dict.fromkeys((*roles, "format", "header"))
        free = replace(self, **{key: value for key, value in layout.items() if key in self.known})
        examples = free._read(
            path,
            empty=empty,
            usual_texts=(*(names[role] for role in roles if role == "text"), *TEXTS),
            usual_pairs=(*((names["text"], names["pair"]) for role in roles if role == "pair"), *PAIRS),
            usual_labels=(*(names[role] for role in roles if role == "label"), *usual_labels),
        )
        if "pair" in roles and examples.pairs is None:
            raise DataError(
                "which column holds the second text?", path=examples.path, remedy=(("pair", "NAME"),)
            )
        return free._without_skipped(examples, *([""] if "skip_label" in self.known else []))


def usual_first(first: Mapping[str, str], usual: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by which `read_examples` looks for the columns `first`, by role, before the usual names."""
    found = dict(usual)
    if "text" in first:
        found["usual_texts"] = (first["text"], *usual["usual_texts"])
    if "text" in first and "pair" in first:
        found["usual_pairs"] = ((first["text"], first["pair"]), *usual["usual_pairs"])
    if "label" in first and usual.get("usual_labels"):
        found["usual_labels"] = (first["label"], *usual["usual_labels"])
    return found
