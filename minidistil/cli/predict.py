"""minidistil predict"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from minidistil.pipelines import Pipeline

HELP = "label texts, find entities, answers or intents"
EXAMPLES = """\
  minidistil predict runs/demo/student "a warm, funny, engaging film"
  cat sentences.txt | minidistil predict runs/demo/student --json
  minidistil predict runs/entities "Ada Lovelace was born in London"
  minidistil predict runs/squad --question "Where was she born?" "Ada Lovelace was born in London"
  minidistil predict runs/demo/student "a warm film" --html film.html --attention 2 5
  minidistil predict ENCODER --task faq --entries faq.jsonl "how do I return it?"
  minidistil predict ENCODER --task intents --entries intents.jsonl --threshold 0.5 "where is my parcel?"
  minidistil predict runs/spam --data mails.csv --text-column body --json > labels.jsonl
  minidistil predict runs/demo/student                 # on a terminal: a text a line, until Ctrl-D

What is done follows from the model's head. An entity comes with its type, its score and its characters in the
text, from and up to; an answer with its score and its characters in the context. For faq and intents the
model is any encoder, and the answer that of the nearest entry, or "none" below the threshold."""

# What only some kinds of model take; `minidistil.cli.predictions` says which.
OPTIONS = (
    "question", "n_best", "null_threshold", "aggregation", "no_truncation", "top_k", "threshold", "pair",
    "pair_column",
)  # fmt: skip
SETUP = ("entries", "vectors", "answers")  # what some are made with
TEXTS_AT_ONCE = 4096  # enough to sort by length, few enough that long input is answered as it comes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a model directory or hub id")
    parser.add_argument(
        "texts", nargs="*", metavar="TEXT", help="a text; '-', or none, reads one a line from standard input"
    )
    parser.add_argument("--task", metavar="NAME", help="what to do, if not what the model's head is for")
    parser.add_argument("--question", metavar="TEXT", help="to be answered from each of the texts")
    parser.add_argument("--n-best", type=int, metavar="N", help="answers to a question (1)")
    parser.add_argument(
        "--null-threshold",
        type=float,
        metavar="X",
        help="answer nothing if that scores better than the best answer by more than this",
    )
    parser.add_argument(
        "--aggregation",
        choices=("none", "simple", "first", "average", "max"),
        help="how pieces of words make entities (first: the first piece decides for its word)",
    )
    parser.add_argument("--pair", metavar="TEXT", help="the second text of each, for a classifier of pairs")
    parser.add_argument("--top-k", type=int, metavar="N", help="the N most likely labels, with their scores")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="X",
        help='least score of a label; with less, "none" (of many labels 0.5, of intents what was learnt)',
    )
    parser.add_argument("--entries", metavar="FILE", help="of faq and intents: the examples to compare with")
    parser.add_argument("--vectors", metavar="FILE", help="of the entries, from `minidistil embed --out`")
    parser.add_argument(
        "--answers", action="store_const", const=True, help="of faq: compare with the answers, too"
    )
    parser.add_argument(
        "--data", metavar="FILE", help="texts in place of TEXT: csv, tsv, jsonl, parquet, txt"
    )
    for name in ("text", "pair"):
        parser.add_argument(f"--{name}-column", metavar="NAME", help=f"in --data, the column of the {name}")
    parser.add_argument("--format", metavar="NAME", help="of --data, if not as it is named")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with every score")
    parser.add_argument(
        "--no-truncation",
        action="store_const",
        const=True,
        help="refuse texts longer than a classifier takes, instead of cutting",
    )
    parser.add_argument(
        "--html", metavar="FILE", help="also write a page that shows what was found, and where"
    )
    parser.add_argument(
        "--attention",
        nargs=2,
        type=int,
        metavar=("LAYER", "HEAD"),
        help="with --html: what this head looks at in each text; counted from 0",
    )
    parser.add_argument("--backend", choices=("numba", "numpy"), default="numba")


def run(args: argparse.Namespace) -> int:
    import json

    from minidistil.cli.embed import row
    from minidistil.cli.predictions import check_setup, kind_of
    from minidistil.pipelines import pipeline, pipeline_of

    _check(args)
    setup = {name: getattr(args, name) for name in SETUP if getattr(args, name) is not None}
    check_setup(args.task, setup)
    if args.task is None:
        predict = pipeline_of(args.model, backend=args.backend)
    else:
        predict = pipeline(args.task, args.model, backend=args.backend, **setup)
    options = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    kind = kind_of(predict, options)
    for name in ("pair", "pair_column"):
        options.pop(name, None)
    parts: list[str] = []
    for some in _texts(args):
        pairs = {"pairs": some.pairs} if some.pairs is not None and "pair" in kind.options else {}
        for i, shown in enumerate(kind.show(predict, some.texts, **pairs, **options)):
            if args.json:
                where = {} if some.lines is None else {"line": some.lines[i]}
                print(json.dumps({**where, **shown.facts}, ensure_ascii=False))
            else:
                for cells in shown.rows:
                    print(row(*cells))
            if args.html is not None:
                parts += [kind.page(shown.facts), *_attention(args, predict, shown.facts)]
        sys.stdout.flush()
    if args.html is not None:
        _write_page(args, parts)
    return 0


def _attention(args: argparse.Namespace, predict: Pipeline, facts: Mapping[str, Any]) -> list[str]:
    """The attention asked for in one text, as part of a page."""
    from minidistil.report.attention import attention_figure, attention_map

    if args.attention is None:
        return []
    layer, head = args.attention
    if "question" in facts:
        first, second = facts["question"], facts["context"]
    else:
        first, second = facts["text"], facts.get("pair")
    tokens, attention = attention_map(predict.model, predict.tokenizer, first, second, layer=layer, head=head)
    return [attention_figure(tokens, attention, layer=layer, head=head)]


def _write_page(args: argparse.Namespace, parts: list[str]) -> None:
    from pathlib import Path

    from minidistil.files import atomic_write
    from minidistil.report.page import document

    title = f"{Path(args.model).resolve().name}: predictions of minidistil"
    with atomic_write(Path(args.html)) as temporary:
        temporary.write_text(document(title, parts), encoding="utf-8")


class Some(NamedTuple):
    """Some of the texts; their second texts, if there are any, and the lines of their file."""

    texts: list[str]
    pairs: list[str] | None = None
    lines: list[int] | None = None


def _check(args: argparse.Namespace) -> None:
    """A UsageError for options that contradict each other."""
    from minidistil.errors import UsageError

    if args.data is not None and args.texts:
        raise UsageError("texts are given one by one or in --data, not both")
    if args.data is None and (args.text_column or args.pair_column or args.format):
        raise UsageError("--text-column, --pair-column and --format say how --data is read")
    if args.pair is not None and args.pair_column is not None:
        raise UsageError("the second text is --pair or in --pair-column, not both")
    if args.top_k is not None and args.top_k < 1:
        raise UsageError(f"--top-k must be at least 1, not {args.top_k}")
    if args.attention is not None and args.html is None:
        raise UsageError("--attention is part of a page: say --html FILE")


def _texts(args: argparse.Namespace) -> Iterator[Some]:
    """Texts, some at a time."""
    from minidistil.text.readers import STDIN, read_examples

    if args.data is None and not args.texts and sys.stdin.isatty():
        yield from _typed(args)
        return
    texts: list[str] = []
    pairs = lines = None
    if args.data is not None:
        found = read_examples(args.data, text=args.text_column, pair=args.pair_column, format=args.format)
        texts, pairs, lines = found.texts, found.pairs, found.lines
    for text in [] if args.data is not None else args.texts or [STDIN]:
        texts += read_examples(STDIN, format="text").texts if text == STDIN else [text]
    if args.pair is not None:
        pairs = [args.pair] * len(texts)
    for begin in range(0, len(texts), TEXTS_AT_ONCE):
        part = slice(begin, begin + TEXTS_AT_ONCE)
        yield Some(texts[part], pairs and pairs[part], lines and lines[part])


def _typed(args: argparse.Namespace) -> Iterator[Some]:
    """Lines from a terminal, until it ends."""
    if not args.quiet:
        print("One text a line; Ctrl-D ends.", file=sys.stderr)
    while True:
        try:
            line = input("> " if not args.quiet else "")
        except EOFError:
            if not args.quiet:
                print(file=sys.stderr)
            return
        if line.strip():
            yield Some([line], None if args.pair is None else [args.pair])
