"""Texts, and pairs of texts, of the file that `minidistil predict --data` names."""

from __future__ import annotations

import argparse

from minidistil.errors import UsageError
from minidistil.tasks.base import TrainableTask
from minidistil.tasks.data import DataSettings
from minidistil.tasks.inputs import Input, read_table, with_origins
from minidistil.text.readers import Examples
from minidistil.text.sources import STDIN, lines_of
from minidistil.text.tables import suffix_of


def read_pairs(args: argparse.Namespace) -> list[Input]:
    """Texts of a table, or pairs of them; of a task by its name as its authors' files have them."""
    found = _authors_examples(args) or read_table(args, pair=args.pair_column)
    if found.pairs is not None and args.pair is not None:
        raise UsageError(f"{args.data} has second texts of its own: leave out --pair, or say --text-column")
    return with_origins(found, found.texts, found.pairs or [args.pair] * len(found))


def _authors_examples(args: argparse.Namespace) -> Examples | None:
    """Rows of `--data` as the files of the task `--task` are read; None where they are read as any others."""
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
    found: Examples = task.for_prediction().read(args.data)
    return found
