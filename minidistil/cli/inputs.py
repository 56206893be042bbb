"""Where `minidistil predict` takes texts from: arguments, files, documents, standard input, a terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from minidistil.streams import is_terminal, say

if TYPE_CHECKING:
    from minidistil.tasks.base import PredictingTask
    from minidistil.tasks.inputs import Input

TEXTS_AT_ONCE = 4096  # enough to sort by length, few enough that long input is answered as it comes


def add_input_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "texts", nargs="*", metavar="TEXT", help="a text; '-', or none, reads one a line from standard input"
    )
    parser.add_argument("--pair", metavar="TEXT", help="the second text of each, for a classifier of pairs")
    parser.add_argument(
        "--document",
        action="append",
        metavar="FILE",
        help="a whole file as one text, '-' standard input; may be repeated",
    )
    parser.add_argument(
        "--data", metavar="FILE", help="texts in place of TEXT: csv, tsv, jsonl, json, parquet, txt"
    )
    for name in ("text", "pair"):
        parser.add_argument(f"--{name}-column", metavar="NAME", help=f"in --data, the column of the {name}")
    parser.add_argument(
        "--format",
        metavar="NAME",
        help="of --data, if not as it is named: csv, tsv, jsonl, parquet, text; columns of words and tags",
    )
    parser.add_argument(
        "--no-header", action="store_true", help="the first line of --data, csv or tsv, names no columns"
    )


def check_inputs(args: argparse.Namespace) -> None:
    """A UsageError for texts from two places, or options that contradict each other."""
    from minidistil.errors import UsageError

    if sum(map(bool, (args.texts, args.document, args.data))) > 1:
        raise UsageError("texts come as arguments, or from --document, or from --data: take one of them")
    if args.data is None and (args.text_column or args.pair_column or args.format or args.no_header):
        raise UsageError("--text-column, --pair-column, --format and --no-header say how --data is read")
    if args.pair is not None and args.pair_column is not None:
        raise UsageError("the second text is --pair or in --pair-column, not both")
    if args.top_k is not None and args.top_k < 1:
        raise UsageError(f"--top-k must be at least 1, not {args.top_k}")
    for name in ("attention", "templates"):
        if getattr(args, name) is not None and args.html is None:
            raise UsageError(f"--{name} is part of a page: say --html FILE")


def are_typed(args: argparse.Namespace, task: PredictingTask) -> bool:
    """Whether texts are lines typed at a terminal."""
    given = args.document or args.data is not None or args.texts
    return not (given or task.whole_documents) and is_terminal(sys.stdin)


def inputs(args: argparse.Namespace, task: PredictingTask) -> Iterator[list[Input]]:
    """Texts for a task, some at a time; an empty one is a text, and so is a blank line."""
    from minidistil.tasks.inputs import Input

    if args.document:
        for path in args.document:  # one at a time: they may be long
            yield [Input(_whole_file(path), args.pair, {"document": path})]
    elif are_typed(args, task):
        yield from _typed(args)
    else:
        found = iter(task.read_inputs(args) if args.data is not None else _of_arguments(args, task))
        first = True
        while some := list(islice(found, TEXTS_AT_ONCE)):
            if first and args.data is None and task.kind == "token-classification":
                _refuse_columns(some)
            first = False
            yield some


def _refuse_columns(some: Sequence[Input]) -> None:
    """A UsageError for lines that are words with their tags in columns."""
    from minidistil.errors import UsageError
    from minidistil.tasks.token_classification.conll import are_columns

    if are_columns(given.text for given in some if "line" in given.origin):
        raise UsageError("these lines are words and tags in columns: say --data FILE --format columns")


def _of_arguments(args: argparse.Namespace, task: PredictingTask) -> Iterator[Input]:
    """Texts of the command line, and lines of standard input as they come."""
    from minidistil.errors import DataError
    from minidistil.tasks.inputs import Input
    from minidistil.text.sources import STDIN, shown_name
    from minidistil.text.tables import read_rows

    for text in args.texts or [STDIN]:
        if text != STDIN:
            yield Input(text, args.pair)
        elif task.whole_documents:
            if is_terminal(sys.stdin) and not args.quiet:
                say("One document; Ctrl-D ends.")
            yield Input(_whole_file(STDIN), args.pair)
        else:
            line = 0
            for line, row in read_rows(STDIN, format="text", blank=True):
                yield Input(row["text"], args.pair, {"line": line})
            if not line:
                raise DataError("there is no text in it", path=shown_name(STDIN))


def _whole_file(path: str) -> str:
    """A file that is one text."""
    from minidistil.errors import DataError
    from minidistil.text.sources import read_text, shown_name

    text = read_text(path)
    if not text.strip():
        raise DataError("there is no text in it", path=shown_name(path))
    return text


def _typed(args: argparse.Namespace) -> Iterator[list[Input]]:
    """Lines from a terminal, until it ends."""
    from minidistil.tasks.inputs import Input

    if not args.quiet:
        say("One text a line; Ctrl-D ends.")
    while True:
        if not args.quiet:
            say("> ", end="")  # what is answered may go to a file
        try:
            line = input()
        except EOFError:
            if not args.quiet:
                say("")
            return
        if line.strip():
            yield [Input(line, args.pair)]
