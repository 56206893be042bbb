"""Input texts of `minidistil predict`, and answers as it prints them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from minidistil.errors import UsageError
from minidistil.tasks.data import DataSettings, usual_first
from minidistil.text.readers import IDS, PAIRS, TEXTS, Examples, read_examples
from minidistil.text.sources import STDIN, lines_of
from minidistil.text.tables import suffix_of


class Input(NamedTuple):
    """A text, its second text if there is one, for programs where it is from, and its row if that is kept."""

    text: str
    pair: str | None = None
    origin: dict[str, Any] = {}  # noqa: RUF012 (never changed)
    row: Mapping[str, Any] = {}


class Shown(NamedTuple):
    """One answer: lines for people, each of cells; the object for programs; rows of named cells for tables.

    An answer of nothing, such as a text without entities, has a row of empty cells, so that no text is lost.
    """

    rows: list[list[object]]
    facts: dict[str, Any]
    table: list[dict[str, object]]


def with_origins(found: Any, texts: Sequence[str], pairs: Sequence[str | None] | None = None) -> list[Input]:
    """Texts with the lines and ids of examples."""
    ids = found.ids or [{}] * len(texts)
    rows = getattr(found, "rows", None) or [{}] * len(texts)
    return [
        Input(text, pair, {"line": line, **called}, row)
        for text, pair, line, called, row in zip(
            texts, pairs or [None] * len(texts), found.lines, ids, rows, strict=True
        )
    ]


def read_table(args: argparse.Namespace, **more: Any) -> Examples:
    """Rows of the table `--data`, as the options say that it is read."""
    usual: dict[str, Any] = {"usual_texts": TEXTS, "usual_pairs": PAIRS, "keep_rows": args.keep_rows, **more}
    return read_examples(
        args.data, text=args.text_column, format=args.format, header=not args.no_header,
        empty=True, usual_labels=(), usual_ids=IDS, **usual_first(args.learnt_columns, usual),
    )  # fmt: skip


def read_texts(args: argparse.Namespace) -> list[Input]:
    """Texts of a table; a second one beside each is one too many."""
    found = read_table(args, pair=args.pair_column)
    if args.pair is None and found.pairs is not None:
        raise UsageError(f"{args.data} has pairs of texts: say which one is meant with --text")
    return with_origins(found, found.texts, [args.pair] * len(found))


def read_pairs(args: argparse.Namespace) -> list[Input]:
    """Texts of a table, or pairs of them; of a task by its name as its authors' files have them."""
    found = _authors_examples(args) or read_table(args, pair=args.pair_column)
    if found.pairs is not None and args.pair is not None:
        raise UsageError(f"{args.data} has second texts of its own: leave out --pair, or say --text")
    return with_origins(found, found.texts, found.pairs or [args.pair] * len(found))


def _authors_examples(args: argparse.Namespace) -> Examples | None:
    """Rows of `--data` as the files of the task `--task` are read; None where they are read as any others."""
    from minidistil.tasks.base import TrainableTask
    from minidistil.tasks.registry import TASKS, named_task, task_name

    if args.task is None or (args.format is None and args.data == STDIN):
        return None
    data = DataSettings(
        text=args.text_column, pair=args.pair_column, format=args.format,
        header=False if args.no_header else None,
    )  # fmt: skip
    task, known = named_task(args.task, data), TASKS[task_name(args.task)].data
    if not isinstance(task, TrainableTask) or not (known or args.task.startswith("trec")):
        return None
    if args.format is None and "format" in known and suffix_of(args.data) == ".txt":
        first = next((line for _, line in lines_of(args.data, args.data) if line.strip()), "")
        if "\t" not in first:  # authors name tables so, and people lines of text
            return None
    found: Examples = task.for_prediction().keeping_rows(args.keep_rows).read(args.data)
    return found
