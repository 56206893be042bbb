"""minidistil predict"""

from __future__ import annotations

import argparse

HELP = "label texts with a fine-tuned model"
EXAMPLES = """\
  minidistil predict runs/demo/student "a warm, funny, engaging film"
  cat sentences.txt | minidistil predict runs/demo/student - --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a model directory or hub id")
    parser.add_argument(
        "texts", nargs="+", metavar="TEXT", help="a text; '-' reads one a line from standard input"
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object a line, with every label's score"
    )
    parser.add_argument(
        "--no-truncation",
        action="store_true",
        help="refuse texts longer than the model takes, instead of cutting",
    )
    parser.add_argument("--backend", choices=("numba", "numpy"), default="numba")


def run(args: argparse.Namespace) -> int:
    import json

    from minidistil.tasks.pipeline import pipeline
    from minidistil.text.readers import read_examples

    classify = pipeline("text-classification", args.model, backend=args.backend)
    texts: list[str] = []
    for text in args.texts:
        texts += read_examples("-", format="text").texts if text == "-" else [text]
    predictions = classify(texts, truncation=not args.no_truncation)
    for text, prediction in zip(texts, predictions, strict=True):
        if args.json:
            print(json.dumps({"text": text, **prediction._asdict()}, ensure_ascii=False))
        else:
            print(f"{prediction.label}\t{prediction.score:.4f}\t{text}")
    return 0
