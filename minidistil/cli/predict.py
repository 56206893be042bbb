"""minidistil predict"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minidistil.tasks.pipeline import Pipeline

HELP = "label texts, find entities or answer questions with a fine-tuned model"
EXAMPLES = """\
  minidistil predict runs/demo/student "a warm, funny, engaging film"
  cat sentences.txt | minidistil predict runs/demo/student - --json
  minidistil predict runs/entities "Ada Lovelace was born in London"
  minidistil predict runs/squad --question "Where was she born?" "Ada Lovelace was born in London"

What is done follows from the model's head. An entity comes with its type, its score and its characters in the
text, from and up to; an answer with its score and its characters in the context."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a model directory or hub id")
    parser.add_argument(
        "texts", nargs="+", metavar="TEXT", help="a text; '-' reads one a line from standard input"
    )
    parser.add_argument("--question", metavar="TEXT", help="to be answered from each of the texts")
    parser.add_argument("--n-best", type=int, default=1, metavar="N", help="answers to a question (1)")
    parser.add_argument(
        "--null-threshold",
        type=float,
        metavar="X",
        help="answer nothing if that scores better than the best answer by more than this",
    )
    parser.add_argument(
        "--aggregation",
        choices=("none", "simple", "first", "average", "max"),
        default="first",
        help="how pieces of words make entities (first: the first piece decides for its word)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with every score")
    parser.add_argument(
        "--no-truncation",
        action="store_true",
        help="refuse texts longer than a classifier takes, instead of cutting",
    )
    parser.add_argument("--backend", choices=("numba", "numpy"), default="numba")


def run(args: argparse.Namespace) -> int:
    import json

    from minidistil.tasks.pipeline import pipeline_of
    from minidistil.text.readers import read_examples

    predict = pipeline_of(args.model, backend=args.backend)
    texts: list[str] = []
    for text in args.texts:
        texts += read_examples("-", format="text").texts if text == "-" else [text]
    for cells, facts in _predictions(args, predict, texts):
        print(json.dumps(facts, ensure_ascii=False) if args.json else "\t".join(cells))
    return 0


def _predictions(
    args: argparse.Namespace, predict: Pipeline, texts: list[str]
) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Lines to print: cells for people, an object for programs."""
    import math

    from minidistil.errors import UsageError
    from minidistil.tasks.pipeline import QuestionAnswering, TextClassification, TokenClassification

    if (args.question is not None) != isinstance(predict, QuestionAnswering):
        needs = "needs a --question" if args.question is None else "does not answer a --question"
        raise UsageError(f"{type(predict.model).__name__} {needs}")
    if isinstance(predict, TextClassification):
        found = predict(texts, truncation=not args.no_truncation)
        for text, prediction in zip(texts, found, strict=True):
            cells = [prediction.label, f"{prediction.score:.4f}", text]
            yield cells, {"text": text, **prediction._asdict()}
    elif isinstance(predict, TokenClassification):
        for text, entities in zip(texts, predict(texts, aggregation=args.aggregation), strict=True):
            if args.json:
                yield [], {"text": text, "entities": [entity._asdict() for entity in entities]}
            else:
                for e in entities:
                    yield [e.type, f"{e.score:.4f}", str(e.start), str(e.end), e.text], {}
    else:
        questions = [args.question] * len(texts)
        answers = predict(questions, texts, n_best=args.n_best, null_threshold=args.null_threshold)
        for text, answer in zip(texts, answers, strict=True):
            if args.json:
                candidates = [c._asdict() for c in answer.candidates]
                odds = answer.null_odds if math.isfinite(answer.null_odds) else None
                facts = {**answer.best._asdict(), "candidates": candidates, "null_odds": odds}
                yield [], {"question": args.question, "context": text, **facts}
            else:
                best = answer.candidates if args.n_best > 1 else [answer.best]
                for a in best:
                    yield [f"{a.score:.4f}", str(a.start), str(a.end), a.text], {}
