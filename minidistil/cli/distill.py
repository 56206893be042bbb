"""minidistil distill"""

from __future__ import annotations

import argparse

HELP = "distil a masked LM into a smaller one over text without labels, as DistilBERT was"
EXAMPLES = """\
  minidistil distill --teacher bert-base-uncased --corpus text/ --recipe distilbert --out runs/distilbert
  minidistil distill --teacher runs/teacher/model --corpus a.txt b.jsonl.gz --recipe small --out runs/small
  minidistil distill --teacher runs/teacher/model --corpus text/ --recipe small --out runs/narrow \\
      --set student.width=192 --set objective.terms.cosine=0 --set objective.terms.relations=1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--teacher", required=True, metavar="MODEL", help="a masked LM: directory or hub id")
    add_run_arguments(parser)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """What distillation and pre-training have in common."""
    parser.add_argument(
        "--corpus",
        required=True,
        nargs="+",
        metavar="PATH",
        help="files or folders of text (a document a line) or JSONL, .gz too",
    )
    parser.add_argument("--recipe", metavar="NAME", help="settings that come with the package")
    parser.add_argument("--config", metavar="FILE", help="settings of your own, a TOML file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, such as train.lr=3e-4"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="started again with it, a run goes on")
    parser.add_argument("--print-recipe", action="store_true", help="print the resolved settings, and stop")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    from minidistil.distill.general import DistillationRecipe, GeneralDistillation
    from minidistil.recipes import load_recipe

    recipe = load_recipe(DistillationRecipe, args.recipe, file=args.config, changes=args.set)
    return carry_out(
        args, recipe, GeneralDistillation(args.teacher, args.corpus, recipe, args.out, quiet=args.quiet)
    )


def carry_out(args: argparse.Namespace, recipe: object, job: object) -> int:
    """Run it, and print what came of it."""
    import json

    from minidistil.distill.general import MaskedLMRun, table
    from minidistil.recipes import dump

    assert isinstance(job, MaskedLMRun)
    if args.print_recipe:
        print(dump(recipe), end="")
        return 0
    report = job.run()
    print(json.dumps(report) if args.json else table(report))
    return 0
