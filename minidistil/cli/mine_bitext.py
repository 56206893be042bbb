"""minidistil mine-bitext"""

from __future__ import annotations

import argparse

from minidistil.cli import common

HELP = "find translations between two files of sentences that are not aligned"
EXAMPLES = """\
  minidistil mine-bitext runs/en-de/model news.en news.de --format text
  minidistil mine-bitext runs/en-de/model en.txt de.txt --threshold 1.1 --json > pairs.jsonl
  minidistil distill --teacher minilm --pairs pairs.jsonl --recipe multilingual --out runs/de

A score is the cosine of a pair, divided by the mean cosine of its two sentences to their nearest ones in the
other file (Artetxe and Schwenk 2019). 1 is no better than the neighbours; a good threshold depends on the
encoder. Cosines are used even if the model asks for another similarity."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_encoder_arguments(parser)
    parser.add_argument("source", metavar="SOURCE", help="sentences of one language")
    parser.add_argument("target", metavar="TARGET", help="sentences of the other")
    common.add_text_arguments(parser)
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
    from minidistil.embeddings.bitext import mine_bitext
    from minidistil.errors import UsageError

    if args.k < 1:
        raise UsageError(f"-k must be at least 1, not {args.k}")
    if args.source == args.target == "-":
        raise UsageError("standard input cannot be both files")
    files = [common.read_texts(args, path) for path in (args.source, args.target)]
    source, target = (examples.subset(common.nonempty_rows(examples)) for examples in files)
    encoder = common.open_encoder(args)
    x, y = (encoder.encode(side.texts, quiet=args.quiet) for side in (source, target))
    mined = mine_bitext(x, y, args.k, strategy=args.strategy, threshold=args.threshold)
    for (i, j), score in zip(mined.pairs.tolist(), mined.scores.tolist(), strict=True):
        text, translation = source.texts[i], target.texts[j]
        if args.json:
            lines = [source.lines[i], target.lines[j]]
            common.print_json(score=score, lines=lines, text=text, text_pair=translation)
        else:
            common.print_row(score, text, translation)
    return 0
