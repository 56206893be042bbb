"""minidistil predict"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minidistil.pipelines import Pipeline

HELP = "label texts, find entities, answer questions, fill in words, choose or summarise with a model"
EXAMPLES = """\
  minidistil predict runs/demo/student "a warm, funny, engaging film"
  cat sentences.txt | minidistil predict runs/demo/student --json
  minidistil predict runs/entities "Ada Lovelace was born in London"
  minidistil predict runs/squad --question "Where was she born?" "Ada Lovelace was born in London"
  minidistil predict runs/masked-lm "Paris is the [MASK] of France." --top-k 5 --targets capital city
  minidistil predict runs/swag "She opened the door" --choices "and walked in." "and ate it."
  minidistil predict runs/demo/student "a warm film" --html film.html --attention 2 5
  minidistil predict runs/entities --document report.txt --document notes.txt --json
  minidistil predict ENCODER --task summarization --document report.txt --sentences 5
  minidistil predict runs/demo/student                 # on a terminal: a text a line, until Ctrl-D

What is done follows from the model's head. An entity comes with its type, its score and its characters in the
text, from and up to; an answer with its score and its characters in the context; a masked word with its
probability and the text filled in. To choose without --choices, each text is a JSON object with "context"
and "choices". A summary is sentences of the text, one a line, and a text to be summarised is a document:
standard input is one, whatever its lines."""

# What only some kinds of model take; `minidistil.cli.predictions` says which.
OPTIONS = (
    *("question", "n_best", "null_threshold", "aggregation", "no_truncation"),
    *("top_k", "targets", "choices"),
    *("sentences", "words", "method", "unit", "mmr_lambda", "block_trigrams"),
)
Input = tuple[str, dict[str, Any]]  # a text, and where it is from
TEXTS_AT_ONCE = 4096  # enough to sort by length, few enough that long input is answered as it comes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a model directory or hub id")
    parser.add_argument(
        "texts", nargs="*", metavar="TEXT", help="a text; '-', or none, reads one a line from standard input"
    )
    parser.add_argument(
        "--document",
        action="append",
        metavar="FILE",
        help="a file that is one text, whatever its lines; may be repeated; '-' is standard input",
    )
    parser.add_argument("--data", metavar="FILE", help="texts in a csv, tsv, jsonl or parquet, one a row")
    parser.add_argument("--text-column", metavar="NAME", help="the column of --data that holds the text")
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
    parser.add_argument("--top-k", type=int, metavar="N", help="words for each mask (5)")
    parser.add_argument("--targets", nargs="+", metavar="WORD", help="compare these words alone for a mask")
    parser.add_argument("--choices", nargs="+", metavar="TEXT", help="which of these goes with each text?")
    summary = parser.add_argument_group("summaries")
    summary.add_argument("--sentences", type=int, metavar="N", help="at most so many (3)")
    summary.add_argument("--words", type=int, metavar="N", help="at most so many")
    summary.add_argument(
        "--method",
        choices=("trained", "centroid", "mmr", "lead"),
        help="how sentences are chosen (trained where the model has learnt it, else centroid)",
    )
    summary.add_argument("--unit", choices=("sentence", "line"), help="lines keep a dialogue's turns whole")
    summary.add_argument("--mmr-lambda", type=float, metavar="X", help="relevance against repetition (0.7)")
    summary.add_argument(
        "--block-trigrams", action="store_const", const=True, help="trained: no three words in a row twice"
    )
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
    from minidistil.cli.predictions import kind_of
    from minidistil.errors import UsageError
    from minidistil.pipelines import pipeline, pipeline_of

    if args.task is None:
        predict = pipeline_of(args.model, backend=args.backend)
    else:
        predict = pipeline(args.task, args.model, backend=args.backend)
    options = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    kind = kind_of(predict, options)
    if args.attention is not None and args.html is None:
        raise UsageError("--attention is part of a page: say --html FILE")
    parts: list[str] = []
    first = True
    for inputs in _inputs(args, kind.whole):
        texts = [text for text, _ in inputs]
        for (text, origin), shown in zip(inputs, kind.show(predict, texts, **options), strict=True):
            if args.json:
                print(json.dumps({**origin, **shown.facts}, ensure_ascii=False))
            else:
                if kind.whole and not first:
                    print()
                first = False
                for cells in shown.rows:
                    print(row(*cells))
            if args.html is not None:
                parts += [kind.page(shown.facts), *_attention(args, predict, text)]
        sys.stdout.flush()
    if args.html is not None:
        _write_page(args, parts)
    return 0


def _attention(args: argparse.Namespace, predict: Pipeline, text: str) -> list[str]:
    """The attention asked for in one text, as part of a page."""
    from minidistil.report.attention import attention_figure, attention_map

    if args.attention is None:
        return []
    layer, head = args.attention
    first, second = (text, None) if args.question is None else (args.question, text)
    tokens, attention = attention_map(predict.model, predict.tokenizer, first, second, layer=layer, head=head)
    return [attention_figure(tokens, attention, layer=layer, head=head)]


def _write_page(args: argparse.Namespace, parts: list[str]) -> None:
    from pathlib import Path

    from minidistil.files import atomic_write
    from minidistil.report.page import document

    title = f"{Path(args.model).resolve().name}: predictions of minidistil"
    with atomic_write(Path(args.html)) as temporary:
        temporary.write_text(document(title, parts), encoding="utf-8")


def _inputs(args: argparse.Namespace, whole: bool) -> Iterator[list[Input]]:
    """Texts, some at a time. With `whole` standard input is one text."""
    from minidistil.errors import UsageError
    from minidistil.text.readers import STDIN, read_examples

    if sum(map(bool, (args.texts, args.document, args.data))) > 1:
        raise UsageError("texts come as arguments, or from --document, or from --data: take one of them")
    if args.text_column is not None and args.data is None:
        raise UsageError("--text-column is a column of --data FILE")
    if args.document:
        documents = [(_read(path), {"document": path}) for path in args.document]
        yield from ([document] for document in documents)  # one at a time: they may be long
        return
    inputs: list[Input] = []
    if args.data:
        found = read_examples(args.data, text=args.text_column)
        if found.pairs is not None:
            raise UsageError(f"{args.data} has pairs of texts: say which one is meant with --text-column")
        inputs = [(text, {"line": line}) for text, line in zip(found.texts, found.lines, strict=True)]
    elif not args.texts and not whole and sys.stdin.isatty():
        yield from _typed(args)
        return
    else:
        for text in args.texts or [STDIN]:
            if text != STDIN:
                inputs.append((text, {}))
            elif whole:
                inputs.append((_read(STDIN), {}))
            else:
                inputs += [(line, {}) for line in read_examples(STDIN, format="text").texts]
    for begin in range(0, len(inputs), TEXTS_AT_ONCE):
        yield inputs[begin : begin + TEXTS_AT_ONCE]


def _read(path: str) -> str:
    """A file that is one text."""
    from minidistil.errors import DataError
    from minidistil.text.readers import read_text, shown_name

    text = read_text(path)
    if not text.strip():
        raise DataError("there is no text in it", path=shown_name(path))
    return text


def _typed(args: argparse.Namespace) -> Iterator[list[Input]]:
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
            yield [(line, {})]
