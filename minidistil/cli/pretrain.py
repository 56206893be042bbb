"""minidistil pretrain"""

from __future__ import annotations

import argparse

from minidistil.cli.common import (
    CORPUS,
    LENGTH,
    TRAINING,
    add_run_arguments,
    add_short_options,
    carry_out,
    print_recipe,
)

HELP = "train a masked LM or an ELECTRA on text, from scratch or from an encoder"
EXAMPLES = """\
  minidistil pretrain --corpus text/ --out runs/lm --set model.layers=4 --set model.vocabulary=8000
  minidistil pretrain --from minilm --corpus text/ --out runs/teacher --epochs 3
  minidistil pretrain --recipe electra --corpus text/ --out runs/electra    # replaced-token detection
  minidistil pretrain --print-recipe > my.toml     # every setting, explained; then --config my.toml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="source",
        metavar="MODEL",
        help="directory, name or hub id to begin from (default: from nothing)",
    )
    parser.add_argument("--corpus", required=True, **CORPUS)
    add_short_options(parser, {"text": "data.text_key", **LENGTH, **TRAINING})
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from minidistil.jobs.pretrain import PretrainingRecipe
    from minidistil.jobs.replaced_tokens import pretraining, table
    from minidistil.settings import load_recipe

    recipe = load_recipe(PretrainingRecipe, args.recipe, file=args.config, changes=args.set)
    if args.print_recipe:
        return print_recipe(recipe)
    job = pretraining(args.source, args.corpus, recipe, args.out, quiet=args.quiet)
    return carry_out(args, job, table)
