"""Where `minidistil predict` takes texts from: arguments, files, documents, standard input, a terminal."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from minidistil.streams import is_terminal, say

if TYPE_CHECKING:
    from minidistil.text.readers import Examples

TEXTS_AT_ONCE = 4096  # enough to sort by length, few enough that long input is answered as it comes


class Input(NamedTuple):
    """A text, its second text if there is one, and for programs where it is from."""

    text: str
    pair: str | None = None
    origin: dict[str, Any] = {}  # noqa: RUF012 (never changed)


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
    """A UsageError for texts from two places."""
    from minidistil.errors import UsageError

    if sum(map(bool, (args.texts, args.document, args.data))) > 1:
        raise UsageError("texts come as arguments, or from --document, or from --data: take one of them")
    if args.data is None and (args.text_column or args.pair_column or args.format or args.no_header):
        raise UsageError("--text-column, --pair-column, --format and --no-header say how --data is read")
    if args.pair is not None and args.pair_column is not None:
        raise UsageError("the second text is --pair or in --pair-column, not both")


def are_typed(args: argparse.Namespace, *, whole: bool) -> bool:
    """Whether texts are lines typed at a terminal."""
    given = args.document or args.data is not None or args.texts
    return not (given or whole) and is_terminal(sys.stdin)


def inputs(
    args: argparse.Namespace,
    *,
    whole: bool,
    read: Callable[[argparse.Namespace], list[Input]],
    columns: bool = False,
) -> Iterator[list[Input]]:
    """Texts, some at a time; an empty one is a text, and so is a blank line.

    Parameters
    ----------
    whole : bool
        Whether standard input is one text, not one a line.
    read : callable
        Reads --data.
    columns : bool
        Whether words in columns would be a mistake on standard input.
    """
    if args.document:
        for path in args.document:  # one at a time: they may be long
            yield [Input(_whole_file(path), args.pair, {"document": path})]
    elif are_typed(args, whole=whole):
        yield from _typed(args)
    else:
        found = iter(read(args)) if args.data is not None else _of_arguments(args, whole)
        first = True
        while some := list(islice(found, TEXTS_AT_ONCE)):
            if columns and first and args.data is None:
                _refuse_columns(some)
            first = False
            yield some


def _refuse_columns(some: Sequence[Input]) -> None:
    """A UsageError for lines that are words with their tags in columns."""
    from minidistil.errors import UsageError
    from minidistil.tasks.token_classification.conll import are_columns

    if are_columns(given.text for given in some if "line" in given.origin):
        raise UsageError("these lines are words and tags in columns: say --data FILE --format columns")


def _of_arguments(args: argparse.Namespace, whole: bool) -> Iterator[Input]:
    """Texts of the command line, and lines of standard input as they come."""
    from minidistil.errors import DataError
    from minidistil.text.sources import STDIN, shown_name
    from minidistil.text.tables import read_rows

    for text in args.texts or [STDIN]:
        if text != STDIN:
            yield Input(text, args.pair)
        elif whole:
            if is_terminal(sys.stdin) and not args.quiet:
                say("One document; Ctrl-D ends.")
            yield Input(_whole_file(STDIN), args.pair)
        else:
            line = 0
            for line, row in read_rows(STDIN, format="text", blank=True):
                yield Input(row["text"], args.pair, {"line": line})
            if not line:
                raise DataError("there is no text in it", path=shown_name(STDIN))


def _with_origins(found: Any, texts: Sequence[str], pairs: Sequence[str | None]) -> list[Input]:
    """Texts with the lines and ids of examples."""
    ids = found.ids or [{}] * len(texts)
    return [
        Input(text, pair, {"line": line, **called})
        for text, pair, line, called in zip(texts, pairs, found.lines, ids, strict=True)
    ]


def _examples(args: argparse.Namespace, **more: Any) -> Examples:
    """Rows of a table, as the options say that it is read."""
    from minidistil.tasks.data import usual_first
    from minidistil.text.readers import IDS, PAIRS, TEXTS, read_examples

    usual: dict[str, Any] = {"usual_texts": TEXTS, "usual_pairs": PAIRS, **more}
    return read_examples(
        args.data, text=args.text_column, format=args.format, header=not args.no_header,
        empty=True, usual_labels=(), usual_ids=IDS, **usual_first(args.learnt_columns, usual),
    )  # fmt: skip


def _of_task(args: argparse.Namespace) -> Any:
    """Inputs from the task's own reader of --data; None where its files are read as any others are."""
    from minidistil.tasks.base import Task
    from minidistil.tasks.data import DataSettings
    from minidistil.tasks.registry import TASKS, named_task, task_name
    from minidistil.text.sources import STDIN, lines_of
    from minidistil.text.tables import suffix_of

    if args.task is None or (args.format is None and args.data == STDIN):
        return None
    data = DataSettings(
        text=args.text_column, pair=args.pair_column, format=args.format,
        header=False if args.no_header else None,
    )  # fmt: skip
    task = named_task(args.task, data)
    known = TASKS[task_name(args.task)].data
    if not isinstance(task, Task) or not (known or args.task.startswith("trec")):
        return None
    if args.format is None and "format" in known and suffix_of(args.data) == ".txt":
        first = next((line for _, line in lines_of(args.data, args.data) if line.strip()), "")
        if "\t" not in first:  # authors name tables so, and people lines of text
            return None
    return task.to_predict().read(args.data)


def read_texts(args: argparse.Namespace) -> list[Input]:
    """Texts of a table; a second one beside each is one too many."""
    found = _examples(args, pair=args.pair_column)
    if args.pair is None and found.pairs is not None:
        from minidistil.errors import UsageError

        raise UsageError(f"{args.data} has pairs of texts: say which one is meant with --text-column")
    return _with_origins(found, found.texts, [args.pair] * len(found))


def read_pairs(args: argparse.Namespace) -> list[Input]:
    """Texts of a table, or pairs of them."""
    from minidistil.errors import UsageError

    found = _of_task(args) or _examples(args, pair=args.pair_column)
    if found.pairs is not None and args.pair is not None:
        raise UsageError(f"{args.data} has second texts of its own: leave out --pair, or say --text-column")
    return _with_origins(found, found.texts, found.pairs or [args.pair] * len(found))


def read_sentences(args: argparse.Namespace) -> list[Input]:
    """Texts to find entities in: of a table, running text, or words in columns or lists."""
    from minidistil.tasks.token_classification.conll import WORDS, are_columns, read_tagged
    from minidistil.text.sources import STDIN, lines_of
    from minidistil.text.tables import FORMATS, format_of, read_rows, suffix_of

    kind, words = args.format or FORMATS.get(suffix_of(args.data)), args.format == "columns"
    if not words and args.data != STDIN and not Path(args.data).is_fifo():  # which are read once
        if args.format is None and kind in (None, "text", "tsv"):
            words = are_columns(line for _, line in lines_of(args.data, args.data))
        elif kind in ("jsonl", "json", "parquet") and args.text_column is None:
            _, first = next(read_rows(args.data, format=kind), (0, {}))
            words = any(isinstance(first.get(key), list) for key in WORDS)
    if not words:
        if kind is None and args.data != STDIN:
            format_of(args.data, None, also="columns")  # says that the name does not tell
        return read_texts(args)
    rows = kind if kind in ("jsonl", "json", "parquet") else "columns"
    found = read_tagged(args.data, format=rows, labelled=False)
    return _with_origins(found, found.texts, [None] * len(found))


def read_documents(args: argparse.Namespace) -> list[Input]:
    """Documents of a table, or a line each."""
    from minidistil.tasks.summarization import documents

    found = documents.read_documents(
        args.data, text=args.text_column, format=args.format, header=not args.no_header, empty=True
    )
    return _with_origins(found, found.texts, [None] * len(found))


def read_contexts(args: argparse.Namespace) -> list[Input]:
    """Contexts of a table, or of SQuAD's file, with a question each unless --question says one for all."""
    from minidistil.tasks.question_answering.squad import is_squad, read_squad

    if args.format is None and is_squad(args.data):
        squad = read_squad(args.data, labelled=False, empty=True)
        if args.question is not None:
            return [Input(context) for context in dict.fromkeys(squad.contexts)]
        return [
            Input(context, question, {"id": key})
            for context, question, key in zip(squad.contexts, squad.questions, squad.ids, strict=True)
        ]
    found = _examples(
        args,
        pair="question" if args.question is None else None,
        usual_texts=("context", "text", "document"),
        usual_pairs=(),
    )
    return _with_origins(found, found.texts, found.pairs or [None] * len(found))


def read_choices(args: argparse.Namespace) -> list[Input]:
    """Texts that --choices go with; or without them examples as of the task, each as a JSON object."""
    from minidistil.tasks.multiple_choice import swag

    if args.choices is not None:
        return read_texts(args)
    found = swag.read_choices(
        args.data, text=args.text_column, format=args.format, header=not args.no_header, empty=True
    )
    texts = [
        json.dumps({"context": context, "question": start, "choices": choices})
        for context, start, choices in zip(found.contexts, found.starts, found.choices, strict=True)
    ]
    return _with_origins(found, texts, [None] * len(found))


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
