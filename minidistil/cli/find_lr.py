"""minidistil find-lr"""

from __future__ import annotations

import argparse

from minidistil.cli.common import COLUMNS, LENGTH, TRAINING, add_recipe_arguments, add_short_options

HELP = "suggest a learning rate for a fine-tuning, from a short trial in which it rises"
EXAMPLES = """\
  minidistil find-lr minilm --task sst2 --train train.tsv
  minidistil find-lr minilm --task classification --train mail.csv --text body --html rates.html
"""
ROWS = 16  # of the table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="directory, name or hub id of a pretrained model")
    parser.add_argument("--task", required=True, metavar="NAME", help="a named task such as sst2, or a kind")
    parser.add_argument("--train", required=True, metavar="FILE", help="examples to learn from")
    parser.add_argument(
        "--distill-from", nargs="+", action="extend", metavar="TEACHER",
        help="a model fine-tuned for the same task; of several the mean",
    )  # fmt: skip
    parser.add_argument("--lowest", type=float, default=1e-7, metavar="RATE", help="of the first step (1e-7)")
    parser.add_argument("--highest", type=float, default=1.0, metavar="RATE", help="of the last step (1)")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="of the trial (100)")
    training = {name: TRAINING[name] for name in ("batch_size", "seed")}
    add_short_options(parser, {**COLUMNS, **LENGTH, **training})
    add_recipe_arguments(parser)
    parser.add_argument("--html", metavar="FILE", help="also write a page with the curve")
    parser.add_argument("--json", action="store_true", help="print all numbers as JSON")


def run(args: argparse.Namespace) -> int:
    from pathlib import Path

    from minidistil.files import to_json
    from minidistil.jobs.finetune import FineTuningRecipe
    from minidistil.jobs.learning_rate import try_learning_rates
    from minidistil.report.learning_rate_page import write_learning_rate_page
    from minidistil.settings import load_recipe
    from minidistil.tasks.registry import task_name

    task = task_name(args.task)
    recipe = load_recipe(FineTuningRecipe, args.recipe, file=args.config, changes=args.set)
    found = try_learning_rates(
        args.model, task, args.train, recipe, teacher=args.distill_from,
        lowest=args.lowest, highest=args.highest, steps=args.steps, quiet=args.quiet,
    )  # fmt: skip
    if args.html is not None:
        name = Path(args.model).name
        write_learning_rate_page(found.to_dict(), args.html, title=f"Learning rates for {name} on {task}")
    if args.json:
        print(to_json(found.to_dict()))
        return 0
    last = len(found.rates) - 1
    shown = sorted({round(i * last / (ROWS - 1)) for i in range(ROWS)})
    print(f"{'learning rate':>13}{'loss':>12}{'smoothed':>12}")
    for i in shown:
        print(f"{found.rates[i]:13.1e}{found.losses[i]:12.4f}{found.smoothed[i]:12.4f}")
    print()
    if found.ended is not None:
        print(f"The trial ended early: {found.ended}.")
    if found.suggestion is None:
        print("The loss never fell: no rate is suggested. Try more --steps, or another range.")
    else:
        print(f"Suggested: --lr {found.suggestion:.1e}, where the smoothed loss falls fastest.")
    return 0
