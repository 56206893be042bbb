"""Options of `minidistil predict`."""

from __future__ import annotations

import argparse

# Options of answering, and of making a predictor: those that only some tasks take.
OPTIONS = (
    *("question", "n_best", "null_threshold", "aggregation", "no_truncation", "pair", "pair_column"),
    *("top_k", "threshold", "targets", "choices"),
    *("sentences", "words", "method", "unit", "mmr_lambda", "block_trigrams"),
)
SETUP = ("entries", "vectors", "answers", "prompt", "max_length", "scheme")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `minidistil predict`."""
    parser.add_argument("model", help="a model directory or hub id")
    _add_inputs(parser)
    parser.add_argument("--task", metavar="NAME", help="what to do, if not what the model's head is for")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with every score")
    parser.add_argument(
        "--html", metavar="FILE", help="also write a page that shows what was found, and where"
    )
    parser.add_argument("--templates", metavar="DIR", help="with --html: templates of your own")
    parser.add_argument(
        "--attention",
        nargs=2,
        type=int,
        metavar=("LAYER", "HEAD"),
        help="with --html: what this head looks at in each text; counted from 0",
    )
    parser.add_argument(
        "--max-length",
        type=int,
        metavar="N",
        help="tokens that are read at once (what the model learnt with)",
    )
    parser.add_argument("--backend", choices=("numba", "numpy"), default="numba")
    _add_task_options(parser)


def _add_task_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that only some tasks take."""
    labels = parser.add_argument_group("labels, masked words, intents, questions asked before")
    labels.add_argument("--top-k", type=int, metavar="N", help="the N likeliest, with their scores")
    labels.add_argument(
        "--threshold",
        type=float,
        metavar="X",
        help='least score of a label, else "none" (many labels: 0.5; intents: what was learnt)',
    )
    labels.add_argument(
        "--no-truncation",
        action="store_const",
        const=True,
        help="refuse texts longer than the model takes, instead of cutting",
    )
    labels.add_argument("--targets", nargs="+", metavar="WORD", help="compare these words alone for a mask")
    labels.add_argument("--choices", nargs="+", metavar="TEXT", help="which of these goes with each text?")
    labels.add_argument("--entries", metavar="FILE", help="of faq and intents: the examples to compare with")
    labels.add_argument("--vectors", metavar="FILE", help="of the entries, from `minidistil embed --out`")
    labels.add_argument(
        "--answers", action="store_const", const=True, help="of faq: compare with the answers, too"
    )
    labels.add_argument(
        "--prompt",
        metavar="NAME_OR_TEXT",
        help="of faq and intents: put this before every text, as `minidistil embed` does",
    )
    spans = parser.add_argument_group("entities and answers")
    spans.add_argument(
        "--aggregation",
        choices=("none", "simple", "first", "average", "max", "whitespace"),
        help="how pieces of words make entities (first: the first piece decides for its word; whitespace: "
        "words as files of words have them; by default what was learnt)",
    )
    spans.add_argument(
        "--scheme",
        choices=("IOB1", "IOB2", "BIOES", "BILOU", "plain"),
        help="how the model's tags mark where an entity begins and ends (guessed from all of them)",
    )
    spans.add_argument("--question", metavar="TEXT", help="to be answered from each of the texts")
    spans.add_argument("--n-best", type=int, metavar="N", help="answers to a question (1)")
    spans.add_argument(
        "--null-threshold",
        type=float,
        metavar="X",
        help="answer nothing if that scores better than the best answer by more than this",
    )
    summary = parser.add_argument_group("summaries")
    summary.add_argument("--sentences", type=int, metavar="N", help="at most so many (3)")
    summary.add_argument("--words", type=int, metavar="N", help="at most so many")
    summary.add_argument(
        "--method",
        choices=("trained", "centroid", "mmr", "lead"),
        help="how sentences are chosen (trained where the model has learnt it, else mmr)",
    )
    summary.add_argument("--unit", choices=("sentence", "line"), help="lines keep a dialogue's turns whole")
    summary.add_argument("--mmr-lambda", type=float, metavar="X", help="relevance against repetition (0.7)")
    summary.add_argument(
        "--block-trigrams", action="store_const", const=True, help="trained: no three words in a row twice"
    )


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    """Add the sources of texts."""
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
