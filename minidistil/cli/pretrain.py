"""minidistil pretrain"""

from __future__ import annotations

import argparse

from minidistil.cli.common import CORPUS, add_run_arguments, carry_out

HELP = "train a masked LM on text, from scratch or from an encoder"
EXAMPLES = """\
  minidistil pretrain --corpus text/ --out runs/lm --set model.layers=4 --set model.vocabulary=8000
  minidistil pretrain --from encoder/ --corpus text/ --out runs/teacher --set train.epochs=3
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="source",
        metavar="MODEL",
        help="directory or hub id to begin from (default: from nothing)",
    )
    parser.add_argument("--corpus", required=True, **CORPUS)
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from minidistil.jobs.masked_text import table
    from minidistil.jobs.pretrain import Pretraining, PretrainingRecipe
    from minidistil.settings import load_recipe

    recipe = load_recipe(PretrainingRecipe, args.recipe, file=args.config, changes=args.set)
    job = Pretraining(args.source, args.corpus, recipe, args.out, quiet=args.quiet)
    return carry_out(args, job, table)
