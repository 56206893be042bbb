"""minidistil evaluate"""

from __future__ import annotations

import argparse

from minidistil.cli.distill import add_recipe_arguments

HELP = "measure a fine-tuned model on examples with labels"
EXAMPLES = """\
  minidistil evaluate runs/sst2 --task sst2 --data dev.tsv
  minidistil evaluate runs/mail --task classification --data more.csv --set data.text=body --json
  minidistil evaluate runs/glue --task glue --data glue_data --against runs/teacher
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="directory or hub id of a fine-tuned model")
    parser.add_argument(
        "--task", required=True, metavar="NAME", help="a named task such as sst2, a kind, or glue"
    )
    parser.add_argument(
        "--data", required=True, metavar="FILE", help="examples ('-': standard input); glue's folder"
    )
    parser.add_argument("--against", metavar="DIR", help="of glue: another one's directory to compare with")
    add_recipe_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace) -> int:
    from minidistil.errors import UsageError
    from minidistil.files import to_json
    from minidistil.recipes import load_recipe
    from minidistil.runs.finetuning import FineTuningRecipe, numbers
    from minidistil.tasks.named import named_task

    recipe = load_recipe(FineTuningRecipe, args.recipe, file=args.config, changes=args.set)
    if args.task == "glue":
        from minidistil.runs.glue import evaluate_glue, glue_table

        report = evaluate_glue(args.model, args.data, recipe.data, against=args.against, quiet=args.quiet)
        print(to_json(report) if args.json else glue_table(report))
        return 0
    if args.against is not None:
        raise UsageError("--against goes with --task glue")
    task = named_task(args.task, recipe.data)
    examples = task.read(args.data)
    found = task.measure(args.model, examples, quiet=args.quiet)
    if args.json:
        print(to_json({"task": args.task, "examples": len(examples), **found}))
        return 0
    for name, value in numbers(found).items():
        print(f"{name.replace('_', ' '):20}{value:10.4f}")
    print(f"{'examples':20}{len(examples):10,}")
    return 0
