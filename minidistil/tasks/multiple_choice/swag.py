"""Contexts with choices, from SWAG's csv and from other tables.

SWAG (Zellers et al. 2018, arXiv:1808.05326) has the columns sent1, sent2, ending0 to ending3 and label: sent2
is the beginning of a sentence, which each ending goes on with. HellaSwag (Zellers et al. 2019,
arXiv:1905.07830) calls them ctx_a, ctx_b and endings, a list, as do other data sets by other names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from minidistil.errors import DataError
from minidistil.text.readers import ids_of
from minidistil.text.sources import shown_name
from minidistil.text.tables import Column, find_column, is_missing, listed, read_rows

# Where to look when no column is named.
STARTS = {"sent1": "sent2", "ctx_a": "ctx_b", "context": "question", "article": "question"}
TEXTS = ("context", "text", "article", "sent1", "ctx_a", "ctx", "premise", "goal", "question")
CHOICES = ("choices", "endings", "options")
NUMBERED = re.compile(r"(?:ending|choice|option|answer|sol)[ _]?(\d+)")
LABELS = ("label", "labels", "answer", "answerKey")


class ChoiceRow(NamedTuple):
    """One example: a context with its choices.

    Attributes
    ----------
    context : str
    start : str
        Beginning that every choice continues; may be empty.
    choices : list of str
        At least two.
    label : int or None
        The right one, from 0, if it is known.
    """

    context: str
    start: str
    choices: list[str]
    label: int | None


@dataclass(frozen=True)
class Choices:
    """Contents of a file, one entry an example; see `ChoiceRow`."""

    contexts: list[str]
    starts: list[str]
    choices: list[list[str]]
    labels: list[int | None]
    lines: list[int]
    path: str
    ids: list[dict[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.contexts)


def read_choices(
    path: str | Path,
    *,
    text: Column | None = None,
    start: Column | None = None,
    label: Column | None = None,
    format: str | None = None,
    header: bool = True,
    empty: bool = False,
    labelled: bool = True,
) -> Choices:
    """Read examples from csv, tsv, jsonl or parquet.

    Parameters
    ----------
    text, start, label : str or int, optional
        Columns of the context, of what the choices go on with, and of the right one. Left out, they are
        looked for under usual names; neither of the last two need be there. Choices are a list under one of
        `CHOICES`, or columns such as ending0, ending1, ... in the order of their numbers.
    path, format, header
        As for `minidistil.text.readers.read_examples`.
    empty : bool
        Whether a context may be empty, and labels do not count.
    labelled : bool
        Whether labels count.

    Raises
    ------
    DataError
        As there; or fewer than two choices, an empty one, a label that is none of them.
    """
    name = shown_name(path)
    found = Choices([], [], [], [], [], name)
    for line, row in read_rows(path, format=format, header=header):
        example = choice_row(
            row, text=text, start=start, label=label, path=name, line=line, empty=empty, labelled=labelled
        )
        found.contexts.append(example.context)
        found.starts.append(example.start)
        found.choices.append(example.choices)
        found.labels.append(example.label)
        found.lines.append(line)
        found.ids.append(ids_of(row))
    if not found.contexts:
        raise DataError("there are no examples in it", path=name)
    return found


def choice_row(
    row: Mapping[str, Any],
    *,
    text: Column | None = None,
    start: Column | None = None,
    label: Column | None = None,
    path: str,
    line: int,
    empty: bool = False,
    labelled: bool = True,
) -> ChoiceRow:
    """One example from a row; see `read_choices`. `path` and `line` are for messages."""

    def bad(message: str) -> DataError:
        return DataError(message, path=path, line=line)

    def column(asked: Column | None, *usual: str) -> str | None:
        if asked is None:
            return next((c for c in usual if c in row), None)
        return find_column(asked, list(row), path, line)

    text_column = column(text, *TEXTS)
    if text_column is None:
        raise bad(f"which column holds the context? There are: {listed(list(row))}")
    start_column = column(start, *([STARTS[text_column]] if text_column in STARTS else []))
    values = {c: row[c] for c in (text_column, start_column) if c is not None}
    for name, value in values.items():
        if empty and is_missing(value):
            values[name] = ""
        elif not isinstance(value, str):
            raise bad(f"column {name!r} should hold text, not {value!r:.60}")
    if not empty and not values[text_column].strip():
        raise bad("the context is empty")
    choices = _choices(row)
    if choices is None:
        raise bad(
            f"where are the choices? A list under one of {', '.join(CHOICES)}, or columns such as ending0, "
            f"ending1 are expected; there are: {listed(list(row))}"
        )
    if not all(isinstance(choice, str) for choice in choices):
        raise bad(f"choices are texts, not {choices!r:.60}")
    for i, choice in enumerate(choices):
        if not choice.strip():
            raise bad(f"choice {i} is empty")
    if len(choices) < 2:
        raise bad(f"{len(choices) or 'no'} choice: there is nothing to choose from")
    label_column = None if empty or not labelled else column(label, *LABELS)
    right = None if label_column is None else _label(row[label_column])
    if isinstance(right, str) or (right is not None and not 0 <= right < len(choices)):
        raise bad(f"label {right!r}: the choices are 0 to {len(choices) - 1}")
    begun = "" if start_column is None else values[start_column].strip()
    return ChoiceRow(values[text_column], begun, choices, right)


def _choices(row: Mapping[str, Any]) -> list[Any] | None:
    for name in CHOICES:
        if name in row:
            return list(row[name]) if isinstance(row[name], (list, tuple)) else [row[name]]
    numbered = {c: int(m[1]) for c in row if (m := NUMBERED.fullmatch(c))}
    return [row[c] for c in sorted(numbered, key=numbered.__getitem__)] or None


def _label(value: Any) -> int | str | None:
    """A number from 0, or of A, B, ...; None for an empty cell, the value as text if it is neither."""
    name = "" if value is None else str(value).strip()
    if re.fullmatch(r"-?[0-9]+(\.0)?", name):  # a table whose column has gaps may hold 1.0 for 1
        return int(name.removesuffix(".0")[:20])
    if re.fullmatch("[A-Z]", name):
        return ord(name) - ord("A")
    return name or None
