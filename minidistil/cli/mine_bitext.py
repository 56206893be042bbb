"""minidistil mine"""

from __future__ import annotations

import argparse

from minidistil.cli.embed import (
    add_encoder_arguments,
    add_text_arguments,
    open_encoder,
    read_texts,
    row,
    to_find,
)

HELP = "find translations between two files of sentences that are not aligned"
EXAMPLES = """\
  minidistil mine ENCODER news.en news.de --format text
  minidistil mine ENCODER en.txt de.txt --threshold 1.1 --json > pairs.jsonl
  minidistil distill --teacher ENCODER --pairs pairs.jsonl --recipe multilingual --out runs/en-de

A score is the cosine of a pair, divided by the mean cosine of its two sentences to their nearest ones in the
other file (Artetxe and Schwenk 2019). 1 is no better than others around; what to ask for depends on the
encoder. Cosines it is whatever else the model may ask for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_encoder_arguments(parser)
    parser.add_argument("source", metavar="SOURCE", help="sentences of one language")
    parser.add_argument("target", metavar="TARGET", help="sentences of the other")
    add_text_arguments(parser)
    parser.add_argument("--threshold", type=float, metavar="X", help="least score (default: none)")
    parser.add_argument(
        "--strategy",
        choices=("max", "intersection", "forward", "backward"),
        default="max",
        help="max: best pairs first, no sentence twice; intersection: best for both; "
        "forward, backward: for each source, for each target (max)",
    )
    parser.add_argument("-k", type=int, default=4, metavar="N", help="neighbours to compare with (4)")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object a pair, as `minidistil distill --pairs` reads it"
    )


def run(args: argparse.Namespace) -> int:
    import json

    from minidistil.embeddings.bitext import mine_bitext
    from minidistil.errors import UsageError

    if args.k < 1:
        raise UsageError(f"-k must be at least 1, not {args.k}")
    if args.source == args.target == "-":
        raise UsageError("standard input cannot be both files")
    sides = [read_texts(args, path) for path in (args.source, args.target)]
    first, second = (side.subset(to_find(side)) for side in sides)
    sources, targets = first.texts, second.texts
    encoder = open_encoder(args)
    ours, theirs = (encoder.encode(side, quiet=args.quiet) for side in (sources, targets))
    found = mine_bitext(ours, theirs, args.k, strategy=args.strategy, threshold=args.threshold)
    for (i, j), score in zip(found.pairs.tolist(), found.scores.tolist(), strict=True):
        if args.json:
            lines = [first.lines[i], second.lines[j]]
            pair = {"score": score, "lines": lines, "text": sources[i], "text_pair": targets[j]}
            print(json.dumps(pair, ensure_ascii=False))
        else:
            print(row(score, sources[i], targets[j]))
    return 0
