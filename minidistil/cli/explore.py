"""minidistil explore"""

from __future__ import annotations

import argparse

HELP = "write the inside of a model on a text as one HTML page: tokens, attention, states, scores, a teacher"
EXAMPLES = """\
  minidistil explore minilm "a warm, funny, engaging film"
  minidistil explore runs/demo/student "a warm, funny film" --teacher runs/demo/teacher --label 1
  minidistil explore runs/masked-lm "Paris is the [MASK] of France." --out paris.html
  minidistil explore student/ "a b c" --teacher teacher/ --term soft=5 --term relations --temperature 4
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a model directory, its name (minilm) or a hub id")
    parser.add_argument("text", help="the text that it reads")
    parser.add_argument("--pair", metavar="TEXT", help="the second text, for a model of pairs")
    parser.add_argument("--teacher", metavar="MODEL", help="show it beside the model, its student")
    parser.add_argument("--out", default="explore.html", metavar="FILE", help="the page (explore.html)")
    parser.add_argument("--label", type=int, metavar="N", help="right class of the text, for the term hard")
    parser.add_argument(
        "--term",
        action="append",
        default=[],
        metavar="NAME=WEIGHT",
        help="of the objective, may be repeated (default: every term that fits, with weight 1)",
    )
    parser.add_argument(
        "--temperature", type=float, default=2.0, metavar="T", help="of the soft labels, at first (2)"
    )
    parser.add_argument("--max-length", type=int, metavar="N", help="tokens that are shown, up to 128 (64)")
    parser.add_argument("--templates", metavar="DIR", help="templates of your own")


def run(args: argparse.Namespace) -> int:
    from minidistil.cli.common import weight_of_term
    from minidistil.report.explore_page import write_explore_page

    print(
        write_explore_page(
            args.model,
            args.text,
            args.out,
            pair=args.pair,
            teacher=args.teacher,
            terms=dict(map(weight_of_term, args.term)),
            temperature=args.temperature,
            label=args.label,
            max_length=args.max_length,
            templates=args.templates,
        )
    )
    return 0
