"""minidistil finetune"""

from __future__ import annotations

import argparse

from minidistil.cli.common import add_recipe_arguments

HELP = "fine-tune a model for a task, alone or taught by a teacher"
EXAMPLES = """\
  minidistil finetune ENCODER --task sst2 --train train.tsv --eval dev.tsv --out runs/sst2
  minidistil finetune ENCODER --task classification --train mail.csv --set data.text=body --out runs/mail
  minidistil finetune runs/sst2 --task sst2 --train train.tsv --eval dev.tsv --out runs/small \\
      --distill-from runs/sst2 --set model.layers=alternate --seeds 3
  minidistil finetune ENCODER --task glue --train glue_data --out runs/glue --set rte.train.epochs=10
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="directory or hub id of a pretrained model")
    parser.add_argument(
        "--task", required=True, metavar="NAME", help="a named task such as sst2, a kind, or glue"
    )
    parser.add_argument(
        "--train", required=True, metavar="FILE", help="examples to learn from; the folder of GLUE's files"
    )
    parser.add_argument("--eval", metavar="FILE", help="examples to measure by")
    parser.add_argument("--distill-from", metavar="TEACHER", help="a model fine-tuned for the same task")
    parser.add_argument("--against", metavar="DIR", help="of glue: another one's directory to compare with")
    parser.add_argument("--seeds", type=int, metavar="N", help="run with seeds 0 to N - 1: mean and spread")
    for name, kind in (("epochs", int), ("batch-size", int), ("lr", float), ("seed", int)):
        parser.add_argument(
            f"--{name}", type=kind, help=f"short for --set train.{name.replace('-', '_')}=..."
        )
    parser.add_argument("--out", required=True, metavar="DIR", help="started again with it, a run goes on")
    add_recipe_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace
    from pathlib import Path

    from minidistil.errors import UsageError
    from minidistil.files import to_json
    from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
    from minidistil.jobs.results import over_seeds, table
    from minidistil.settings import load_recipe
    from minidistil.tasks.registry import task_name
    from minidistil.text.sources import STDIN

    short = {name: getattr(args, name) for name in ("epochs", "batch_size", "lr", "seed")}
    changes = [f"train.{name}={value}" for name, value in short.items() if value is not None]
    changes += args.set
    if args.seeds is not None and (args.seeds < 1 or args.seed is not None):
        raise UsageError("--seeds takes a number of 1 or more, and goes without --seed")
    times = (args.train, args.eval).count(STDIN)
    if times == 2 or (times and args.seeds not in (None, 1)):
        raise UsageError("standard input can be read once: give a file")
    if args.task == "glue":
        return _glue(args, changes)
    if args.against is not None:
        raise UsageError("--against goes with --task glue")
    task = task_name(args.task)
    recipe = load_recipe(FineTuningRecipe, args.recipe, file=args.config, changes=changes)

    def tuning(seed: int, out: Path) -> FineTuning:
        return FineTuning(
            args.model, task, args.train, replace(recipe, train=replace(recipe.train, seed=seed)), out,
            evaluate=args.eval, teacher=args.distill_from, quiet=args.quiet,
        )  # fmt: skip

    if args.seeds is None:
        report = tuning(recipe.train.seed, Path(args.out)).run()
    else:
        report = over_seeds(lambda *run: tuning(*run).run_once(), args.seeds, Path(args.out))
    print(to_json(report) if args.json else table(report))
    return 0


def _glue(args: argparse.Namespace, changes: list[str]) -> int:
    from minidistil.errors import UsageError
    from minidistil.files import to_json
    from minidistil.jobs.finetune import FineTuningRecipe
    from minidistil.jobs.glue import Glue, glue_table
    from minidistil.settings import load_recipe
    from minidistil.tasks.glue import GLUE

    if args.eval is not None:
        raise UsageError("--task glue finds its dev files in the folder: leave out --eval")
    of_one = {change: change.split(".")[0] for change in changes if change.split(".")[0] in GLUE}
    for_all = [change for change in changes if change not in of_one]
    recipes = {
        name: load_recipe(
            FineTuningRecipe, args.recipe, file=args.config,
            changes=[*for_all, *(c.removeprefix(f"{name}.") for c, task in of_one.items() if task == name)],
        )
        for name in GLUE
    }  # fmt: skip
    report = Glue(
        args.model, args.train, recipes.__getitem__, args.out,
        teacher=args.distill_from, seeds=args.seeds, against=args.against, quiet=args.quiet,
    ).run()  # fmt: skip
    print(to_json(report) if args.json else glue_table(report))
    return 0
