"""Where `minidistil predict` takes texts from: arguments, files, documents, standard input, a terminal."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

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
        "--data", metavar="FILE", help="texts in place of TEXT: csv, tsv, jsonl, parquet, txt"
    )
    for name in ("text", "pair"):
        parser.add_argument(f"--{name}-column", metavar="NAME", help=f"in --data, the column of the {name}")
    parser.add_argument("--format", metavar="NAME", help="of --data, if not as it is named")
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
    return not (given or whole) and sys.stdin.isatty()


def inputs(
    args: argparse.Namespace, *, whole: bool, read: Callable[[argparse.Namespace], list[Input]]
) -> Iterator[list[Input]]:
    """Texts, some at a time.

    Parameters
    ----------
    whole : bool
        Whether standard input is one text, not one a line.
    read : callable
        Reads --data.
    """
    if args.document:
        for path in args.document:  # one at a time: they may be long
            yield [Input(_whole_file(path), args.pair, {"document": path})]
    elif are_typed(args, whole=whole):
        yield from _typed(args)
    else:
        found = read(args) if args.data is not None else _of_arguments(args, whole)
        for begin in range(0, len(found), TEXTS_AT_ONCE):
            yield found[begin : begin + TEXTS_AT_ONCE]


def _of_arguments(args: argparse.Namespace, whole: bool) -> list[Input]:
    from minidistil.text.readers import read_examples
    from minidistil.text.sources import STDIN

    texts: list[str] = []
    for text in args.texts or [STDIN]:
        if text != STDIN:
            texts.append(text)
        elif whole:
            if sys.stdin.isatty() and not args.quiet:
                print("One document; Ctrl-D ends.", file=sys.stderr)
            texts.append(_whole_file(STDIN))
        else:
            texts += read_examples(STDIN, format="text").texts
    return [Input(text, args.pair) for text in texts]


def read_texts(args: argparse.Namespace) -> list[Input]:
    """Texts of a table; a second one beside each is one too many."""
    found = read_pairs(args)
    if args.pair is None and any(given.pair is not None for given in found):
        from minidistil.errors import UsageError

        raise UsageError(f"{args.data} has pairs of texts: say which one is meant with --text-column")
    return found


def read_pairs(args: argparse.Namespace) -> list[Input]:
    """Texts of a table, or pairs of them."""
    from minidistil.errors import UsageError
    from minidistil.text.readers import read_examples

    found = read_examples(
        args.data, text=args.text_column, pair=args.pair_column, format=args.format,
        header=not args.no_header, usual_labels=(),
    )  # fmt: skip
    if found.pairs is not None and args.pair is not None:
        raise UsageError(f"{args.data} has second texts of its own: leave out --pair, or say --text-column")
    second = found.pairs or [args.pair] * len(found)
    return [
        Input(text, pair, {"line": line})
        for text, pair, line in zip(found.texts, second, found.lines, strict=True)
    ]


def read_documents(args: argparse.Namespace) -> list[Input]:
    """Documents of a table, or a line each."""
    from minidistil.tasks import documents

    found = documents.read_documents(
        args.data, text=args.text_column, format=args.format, header=not args.no_header
    )
    return [Input(text, None, {"line": line}) for text, line in zip(found.texts, found.lines, strict=True)]


def read_contexts(args: argparse.Namespace) -> list[Input]:
    """Contexts of a table, or of SQuAD's file, with a question each unless --question says one for all."""
    from minidistil.tasks.squad import read_squad
    from minidistil.text.readers import read_examples

    if args.format is None and str(args.data).lower().removesuffix(".gz").endswith(".json"):
        squad = read_squad(args.data, labelled=False)
        if args.question is not None:
            return [Input(context) for context in dict.fromkeys(squad.contexts)]
        return [
            Input(context, question, {"id": key})
            for context, question, key in zip(squad.contexts, squad.questions, squad.ids, strict=True)
        ]
    found = read_examples(
        args.data, text=args.text_column, format=args.format, header=not args.no_header,
        pair="question" if args.question is None else None,
        usual_texts=("context", "text", "document"), usual_labels=(),
    )  # fmt: skip
    own = found.pairs if args.question is None else None
    questions: Sequence[str | None] = own or [None] * len(found)
    return [
        Input(text, question, {"line": line})
        for text, question, line in zip(found.texts, questions, found.lines, strict=True)
    ]


def read_choices(args: argparse.Namespace) -> list[Input]:
    """Texts that --choices go with; or without them examples as of the task, each as a JSON object."""
    from minidistil.tasks import swag

    if args.choices is not None:
        return read_texts(args)
    found = swag.read_choices(args.data, text=args.text_column, format=args.format, header=not args.no_header)
    return [
        Input(json.dumps({"context": context, "question": start, "choices": choices}), None, {"line": line})
        for context, start, choices, line in zip(
            found.contexts, found.starts, found.choices, found.lines, strict=True
        )
    ]


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
        print("One text a line; Ctrl-D ends.", file=sys.stderr)
    while True:
        if not args.quiet:
            print("> ", end="", file=sys.stderr, flush=True)  # what is answered may go to a file
        try:
            line = input()
        except EOFError:
            if not args.quiet:
                print(file=sys.stderr)
            return
        if line.strip():
            yield [Input(line, args.pair)]
