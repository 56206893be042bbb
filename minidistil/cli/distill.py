"""minidistil distill"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

HELP = "distil over text without labels: a masked LM, as DistilBERT was, or a sentence encoder"
EXAMPLES = """\
  minidistil distill --teacher bert-base-uncased --corpus text/ --recipe distilbert --out runs/distilbert
  minidistil distill --teacher runs/teacher/model --corpus a.txt b.jsonl.gz --recipe small --out runs/small
  minidistil distill --teacher runs/teacher/model --corpus text/ --recipe small --out runs/narrow \\
      --set student.width=192 --set objective.terms.cosine=0 --set objective.terms.relations=1
  minidistil distill --teacher ENCODER --pairs train.en train.de --eval-pairs val.en val.de \\
      --recipe multilingual --out runs/en-de
"""


CORPUS: dict[str, Any] = {
    "nargs": "+",
    "metavar": "PATH",
    "help": "files or folders of text (a document a line) or JSONL, .gz too",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--teacher",
        required=True,
        metavar="MODEL",
        help="directory or hub id of a masked LM; for pairs, of an encoder",
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
    add_run_arguments(parser)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """What all runs made from a recipe have in common."""
    add_recipe_arguments(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="started again with it, a run goes on")
    parser.add_argument("--print-recipe", action="store_true", help="print the resolved settings, and stop")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def add_recipe_arguments(parser: Any) -> None:
    """Where a recipe's settings come from."""
    parser.add_argument("--recipe", metavar="NAME", help="settings that come with the package")
    parser.add_argument("--config", metavar="FILE", help="settings of your own, a TOML file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, such as train.lr=3e-4"
    )


def run(args: argparse.Namespace) -> int:
    from minidistil.errors import UsageError
    from minidistil.jobs import distill as general
    from minidistil.jobs import masked_text
    from minidistil.jobs import multilingual as pairs
    from minidistil.settings import load_recipe

    settings: dict[str, Any] = {"file": args.config, "changes": args.set}
    if args.pairs:
        for_pairs = load_recipe(pairs.PairsRecipe, args.recipe, **settings)
        measured = {"held_out": args.eval_pairs, "quiet": args.quiet}
        job = pairs.PairsDistillation(args.teacher, args.pairs, for_pairs, args.out, **measured)
        return carry_out(args, job, pairs.table)
    if args.eval_pairs:
        raise UsageError("--eval-pairs goes with --pairs; of a corpus a share is held out (data.held_out)")
    recipe = load_recipe(general.DistillationRecipe, args.recipe, **settings)
    over_text = general.GeneralDistillation(args.teacher, args.corpus, recipe, args.out, quiet=args.quiet)
    return carry_out(args, over_text, masked_text.table)


def carry_out(args: argparse.Namespace, job: Any, table: Callable[[Mapping[str, Any]], str]) -> int:
    """Run it, and print what came of it."""
    import json

    from minidistil.settings import dump

    if args.print_recipe:
        print(dump(job.recipe), end="")
        return 0
    report = job.run()
    print(json.dumps(report) if args.json else table(report))
    return 0
