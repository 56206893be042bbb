"""Options of `minidistil predict`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from minidistil.cli import common

# Options of answering, and of making a predictor: those that only some tasks take.
OPTIONS = (
    *("question", "n_best", "null_threshold", "aggregation", "no_truncation", "pair", "pair_column"),
    *("top_k", "threshold", "targets", "choices"),
    *("sentences", "words", "method", "unit", "mmr_lambda", "block_trigrams"),
)
SETUP = ("entries", "vectors", "answers", "prompt", "max_length", "scheme")

ALL = "all"  # layers and heads
COUNT: dict[str, Any] = {"type": int, "metavar": "N"}
NUMBER: dict[str, Any] = {"type": float, "metavar": "X"}
FLAG: dict[str, Any] = {"action": "store_const", "const": True}  # None where it is not given
FILE: dict[str, Any] = {"metavar": "FILE"}
OF_TASKS: dict[str, tuple[tuple[str, dict[str, Any], str], ...]] = {
    "labels, masked words, intents, questions asked before": (
        ("--top-k", COUNT, "the N likeliest, with their scores"),
        (
            "--threshold", NUMBER,
            'least score of a label, else "none" (many labels: 0.5; intents: what was learnt)',
        ),
        ("--no-truncation", FLAG, "refuse texts longer than the model takes, instead of cutting"),
        ("--targets", {"nargs": "+", "metavar": "WORD"}, "compare these words alone for a mask"),
        ("--choices", {"nargs": "+", "metavar": "TEXT"}, "which of these goes with each text?"),
        ("--entries", FILE, "of faq and intents: the examples to compare with"),
        ("--vectors", FILE, "of the entries, from `minidistil embed --out`"),
        ("--answers", FLAG, "of faq: compare with the answers, too"),
        (
            "--prompt", {"metavar": "NAME_OR_TEXT"},
            "of faq and intents: put this before every text, as `minidistil embed` does",
        ),
    ),
    "entities and answers": (
        (
            "--aggregation", {"choices": ("none", "simple", "first", "average", "max", "whitespace")},
            "how pieces of words make entities (first: the first piece decides for its word; whitespace: "
            "words as files of words have them; by default what was learnt)",
        ),
        (
            "--scheme", {"choices": ("IOB1", "IOB2", "BIOES", "BILOU", "plain")},
            "how the model's tags mark where an entity begins and ends (guessed from all of them)",
        ),
        ("--question", {"metavar": "TEXT"}, "to be answered from each of the texts"),
        ("--n-best", COUNT, "answers to a question (1)"),
        (
            "--null-threshold", NUMBER,
            "answer nothing if that scores better than the best answer by more than this",
        ),
    ),
    "summaries": (
        ("--sentences", COUNT, "at most so many (3)"),
        ("--words", COUNT, "at most so many"),
        (
            "--method", {"choices": ("trained", "centroid", "mmr", "lead")},
            "how sentences are chosen (trained where the model has learnt it, else mmr)",
        ),
        ("--unit", {"choices": ("sentence", "line")}, "lines keep a dialogue's turns whole"),
        ("--mmr-lambda", NUMBER, "relevance against repetition (0.7)"),
        ("--block-trigrams", FLAG, "trained: no three words in a row twice"),
    ),
}  # fmt: skip


def layer_or_head(text: str) -> int | None:
    """Number of a layer or a head; None for all of them."""
    if text == ALL:
        return None
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a layer and a head are two numbers from 0, or {ALL}, not {text!r}")
    return int(text)


def spelt_out(argv: Sequence[str]) -> list[str]:
    """Arguments with `--attention all` as two values: argparse wants as many as a layer and a head are."""
    end = argv.index("--") if "--" in argv else len(argv)  # behind it everything is a text
    found: list[str] = []
    for before, word in zip(["", *argv], argv[:end], strict=False):
        found += [ALL, ALL] if (before, word) == ("--attention", ALL) else [word]
    return [*found, *argv[end:]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `minidistil predict`."""
    parser.add_argument("model", help="directory, name (minilm) or hub id of a model")
    _add_inputs(parser)
    parser.add_argument("--task", metavar="NAME", help="what to do, if not what the model's head is for")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with every score")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help=".csv, .tsv or .jsonl: predictions beside all columns of --data; '-': csv to standard output",
    )
    parser.add_argument(
        "--html", metavar="FILE", help="also write a page that shows what was found, and where"
    )
    parser.add_argument("--templates", metavar="DIR", help="with --html: templates of your own")
    parser.add_argument(
        "--attention",
        nargs=2,
        type=layer_or_head,
        metavar=("LAYER", "HEAD"),
        help="with --html: what this head looks at in each text, counted from 0; or `all`, for every head",
    )
    parser.add_argument(
        "--max-length",
        type=int,
        metavar="N",
        help="tokens that are read at once (what the model learnt with)",
    )
    parser.add_argument("--backend", choices=("numba", "numpy"), default="numba")
    for title, options in OF_TASKS.items():
        group = parser.add_argument_group(title)
        for name, form, meaning in options:
            group.add_argument(name, **form, help=meaning)


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    """Add the sources of texts."""
    parser.add_argument("texts", **common.TEXTS)
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
    parser.add_argument(
        "--text",
        "--text-column",
        dest="text_column",
        metavar="NAME",
        help="in --data, the column of the text",
    )
    parser.add_argument("--pair-column", metavar="NAME", help="in --data, the column of the pair")
    parser.add_argument(
        "--format",
        metavar="NAME",
        help="of --data, if not as it is named: csv, tsv, jsonl, parquet, text; columns of words and tags",
    )
    parser.add_argument(
        "--no-header", action="store_true", help="the first line of --data, csv or tsv, names no columns"
    )
