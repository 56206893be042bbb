"""minidistil distill"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from minidistil.cli.common import (
    CORPUS,
    LENGTH,
    TRAINING,
    add_run_arguments,
    add_short_options,
    carry_out,
    print_recipe,
)

HELP = "distil over text without labels: a masked LM, as DistilBERT was, or a sentence encoder"
EXAMPLES = """\
  minidistil distill --teacher bert-base-uncased --corpus text/ --recipe distilbert --out runs/distilbert
  minidistil distill --teacher runs/teacher/model --corpus a.txt b.jsonl.gz --recipe small --out runs/small
  minidistil distill --teacher runs/teacher/model --corpus text/ --recipe small --out runs/narrow \\
      --set student.width=192 --set objective.terms.cosine=0 --set objective.terms.relations=1
  minidistil distill --teacher minilm --pairs train.en train.de --eval-pairs val.en val.de \\
      --recipe multilingual --out runs/en-de
  minidistil distill --recipe distilbert --print-recipe > my.toml    # every setting, explained
"""

FOR_PAIRS = ("multilingual",)  # recipes that come with the package for pairs; the others are for text
# Short options whose settings have other names here: of text, and of pairs.
COLUMNS_OF_TEXT = {"--text": "data.text_key"}
COLUMNS_OF_PAIRS = {"--text": "data.source", "--pair": "data.translation"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--teacher",
        required=True,
        metavar="MODEL",
        help="directory, name or hub id of a masked LM; for pairs, of an encoder",
    )
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--corpus", **CORPUS)
    data.add_argument(
        "--pairs",
        nargs="+",
        metavar="FILE",
        help="translations: two files of text, line by line, or one csv, tsv or jsonl with both",
    )
    parser.add_argument("--eval-pairs", nargs="+", metavar="FILE", help="others, to measure by")
    add_short_options(parser, {"text": "--text", "pair": "--pair", **LENGTH, **TRAINING})
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from minidistil.errors import UsageError
    from minidistil.jobs.distill import DistillationRecipe, GeneralDistillation
    from minidistil.jobs.masked_text import table
    from minidistil.jobs.multilingual import PairsDistillation, PairsRecipe, pairs_table
    from minidistil.settings import load_recipe

    settings: dict[str, Any] = {"file": args.config}
    if args.pairs or (args.corpus is None and args.recipe in FOR_PAIRS):
        settings["changes"] = _named_here(args.set, COLUMNS_OF_PAIRS)
        for_pairs = load_recipe(PairsRecipe, args.recipe, **settings)
        if args.print_recipe:
            return print_recipe(for_pairs)
        over_pairs = PairsDistillation(
            args.teacher, args.pairs, for_pairs, args.out, held_out=args.eval_pairs, quiet=args.quiet
        )
        return carry_out(args, over_pairs, pairs_table)
    if args.eval_pairs:
        raise UsageError("--eval-pairs goes with --pairs; of a corpus a share is held out (data.held_out)")
    if args.pair is not None:
        raise UsageError("--pair is the column of the translation in --pairs: a corpus has none")
    settings["changes"] = _named_here(args.set, COLUMNS_OF_TEXT)
    recipe = load_recipe(DistillationRecipe, args.recipe, **settings)
    if args.print_recipe:
        return print_recipe(recipe)
    over_text = GeneralDistillation(args.teacher, args.corpus, recipe, args.out, quiet=args.quiet)
    return carry_out(args, over_text, table)


def _named_here(changes: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """Changes KEY=VALUE with the names that settings have in this job."""
    split = (change.partition("=") for change in changes)
    return ["".join([names.get(key, key), equals, value]) for key, equals, value in split]
