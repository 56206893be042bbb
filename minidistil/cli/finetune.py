"""minidistil finetune"""

from __future__ import annotations

import argparse

from minidistil.cli.common import (
    COLUMNS,
    LENGTH,
    TRAINING,
    add_print_recipe,
    add_recipe_arguments,
    add_short_options,
    print_recipe,
    run_or_read,
)

HELP = "fine-tune a model for a task, alone or taught by a teacher"
EXAMPLES = """\
  minidistil finetune minilm --task sst2 --train train.tsv --eval dev.tsv --out runs/sst2
  minidistil finetune minilm --task classification --train mail.csv --text body --label folder --out runs/mail
  minidistil finetune runs/sst2 --task sst2 --train train.tsv --eval dev.tsv --out runs/small \\
      --distill-from runs/sst2 --set model.layers=alternate --baseline --seeds 5
  minidistil finetune minilm --task sst2 --train train.tsv --out runs/small --distill-from runs/sst2/seed-*
  minidistil finetune runs/sst2 --task sst2 --train train.tsv --eval dev.tsv --out runs/small \\
      --distill-from runs/sst2 --set model.layers=alternate --unlabelled reviews.txt
  minidistil finetune minilm --task glue --train glue_data --out runs/glue --set rte.train.epochs=10
  minidistil finetune --task sst2 --print-recipe > my.toml    # every setting, explained; for --config
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="directory, name or hub id of a pretrained model")
    parser.add_argument(
        "--task", required=True, metavar="NAME", help="a named task such as sst2, a kind, or glue"
    )
    parser.add_argument(
        "--train", required=True, metavar="FILE", help="examples to learn from; the folder of GLUE's files"
    )
    parser.add_argument(
        "--eval", metavar="FILE", help="examples to measure by (default: a tenth of --train; none: nothing)"
    )
    parser.add_argument(
        "--distill-from", nargs="+", action="extend", metavar="TEACHER",
        help="a model fine-tuned for the same task; of several the mean",
    )  # fmt: skip
    parser.add_argument(
        "--baseline", action="store_true", help="also train the same student without the teacher, to compare"
    )
    parser.add_argument(
        "--unlabelled", nargs="+", action="extend", default=[], metavar="FILE",
        help="texts to learn the teacher's answers on",
    )  # fmt: skip
    parser.add_argument("--against", metavar="DIR", help="of glue: another one's directory to compare with")
    parser.add_argument("--seeds", type=int, metavar="N", help="run with seeds 0 to N - 1: mean and spread")
    parser.add_argument("--out", required=True, metavar="DIR", help="started again with it, a run goes on")
    add_short_options(parser, {**COLUMNS, **LENGTH, **TRAINING})
    add_recipe_arguments(parser)
    add_print_recipe(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace
    from pathlib import Path

    from minidistil.errors import UsageError
    from minidistil.files import to_json
    from minidistil.jobs.baseline import WithBaseline
    from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
    from minidistil.jobs.results import over_seeds, table
    from minidistil.settings import load_recipe
    from minidistil.tasks.registry import task_name
    from minidistil.text.sources import STDIN

    if args.seeds is not None and (args.seeds < 1 or args.seed is not None):
        raise UsageError("--seeds takes a number of 1 or more, and goes without --seed")
    times = [args.train, args.eval, *args.unlabelled].count(STDIN)
    if times > 1 or (times and args.seeds not in (None, 1)):
        raise UsageError("standard input can be read once: give a file")
    if args.task == "glue":
        if args.unlabelled:
            raise UsageError("--unlabelled goes with one task, not with --task glue")
        return _glue(args)
    if args.against is not None:
        raise UsageError("--against goes with --task glue")
    task = "" if args.task is None else task_name(args.task)
    if args.eval == "none":
        args.eval, args.set = None, [*args.set, "data.split=0"]
    recipe = load_recipe(FineTuningRecipe, args.recipe, file=args.config, changes=args.set)
    if args.print_recipe:
        return print_recipe(recipe, task or None)

    def tuning(seed: int, out: Path) -> FineTuning | WithBaseline:
        student = FineTuning(
            args.model, task, args.train, replace(recipe, train=replace(recipe.train, seed=seed)), out,
            evaluate=args.eval, teacher=args.distill_from, unlabelled=args.unlabelled, quiet=args.quiet,
        )  # fmt: skip
        return WithBaseline(student) if args.baseline else student

    if args.seeds is None:
        report = run_or_read(tuning(recipe.train.seed, Path(args.out)))
    else:
        report = over_seeds(lambda *run: tuning(*run).run_once(), args.seeds, Path(args.out))
    print(to_json(report) if args.json else table(report))
    return 0


def _glue(args: argparse.Namespace) -> int:
    from minidistil.errors import UsageError
    from minidistil.files import to_json
    from minidistil.jobs.finetune import FineTuningRecipe
    from minidistil.jobs.glue import Glue, glue_table
    from minidistil.settings import load_recipe
    from minidistil.tasks.glue import GLUE

    teachers = args.distill_from or []
    if len(teachers) > 1:
        raise UsageError("--task glue takes one teacher: a directory with a model for each task")
    if args.eval is not None:
        raise UsageError("--task glue finds its dev files in the folder: leave out --eval")
    of_one = {change: change.split(".")[0] for change in args.set if change.split(".")[0] in GLUE}
    for_all = [change for change in args.set if change not in of_one]
    recipes = {
        name: load_recipe(
            FineTuningRecipe, args.recipe, file=args.config,
            changes=[*for_all, *(c.removeprefix(f"{name}.") for c, task in of_one.items() if task == name)],
        )
        for name in GLUE
    }  # fmt: skip
    if args.print_recipe:
        for change in of_one:
            print(f"# Of one task, which a file cannot say: --set {change}")
        recipe = load_recipe(FineTuningRecipe, args.recipe, file=args.config, changes=for_all)
        return print_recipe(recipe)
    report = Glue(
        args.model, args.train, recipes.__getitem__, args.out,
        teacher=teachers[0] if teachers else None, seeds=args.seeds, against=args.against,
        baseline=args.baseline, quiet=args.quiet,
    ).run()  # fmt: skip
    print(to_json(report) if args.json else glue_table(report))
    return 0
