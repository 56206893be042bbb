"""minidistil evaluate"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minidistil.cli.common import COLUMNS, LENGTH, add_recipe_arguments, add_short_options
from minidistil.errors import UsageError

if TYPE_CHECKING:
    from minidistil.report.page import Page
    from minidistil.tasks.details import Details

HELP = "measure a fine-tuned model, or an encoder, on examples with labels"
EXAMPLES = """\
  minidistil evaluate runs/sst2 --task sst2 --data dev.tsv
  minidistil evaluate runs/mail --task classification --data more.csv --text body --json
  minidistil evaluate minilm --task similarity --data pairs.tsv
  minidistil evaluate minilm --task translations --data test.en test.de
  minidistil evaluate minilm --task faq --entries faq.jsonl --data asked.jsonl
  minidistil evaluate runs/sst2 --task sst2 --data dev.tsv --html page.html
  minidistil evaluate runs/glue --task glue --data glue_data --against runs/teacher
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="directory, name or hub id of a model")
    parser.add_argument(
        "--task", required=True, metavar="NAME", help="a named task such as sst2, a kind, or glue"
    )
    parser.add_argument(
        "--data",
        required=True,
        nargs="+",
        metavar="FILE",
        help="examples; '-' is standard input; translations may be in two files; glue's folder",
    )
    parser.add_argument(
        "--entries", metavar="FILE", help="of faq and intents: what an encoder compares the examples with"
    )
    parser.add_argument("--against", metavar="DIR", help="of glue: another one's directory to compare with")
    add_short_options(parser, {**COLUMNS, **LENGTH})
    add_recipe_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.add_argument(
        "--html", metavar="FILE", help="also write a page: metrics, confusion, examples with the highest loss"
    )
    parser.add_argument("--templates", metavar="DIR", help="with --html: templates of your own")


def run(args: argparse.Namespace) -> int:
    import logging

    from minidistil.cli.tables import class_table, confusion_table
    from minidistil.files import to_json
    from minidistil.jobs.finetune import FineTuningRecipe
    from minidistil.jobs.results import metric_title, numbers
    from minidistil.jobs.sources import learnt_from
    from minidistil.settings import load_recipe
    from minidistil.tasks.base import TrainableTask
    from minidistil.tasks.details import Details
    from minidistil.tasks.registry import named_task, task_name

    recipe = load_recipe(FineTuningRecipe, args.recipe, file=args.config, changes=args.set)
    page = _page(args)
    details = None if page is None else Details()
    if args.task == "glue":
        from minidistil.jobs.glue import evaluate_glue, glue_table

        if len(args.data) > 1 or args.entries is not None:
            raise UsageError("glue is measured on one folder, and without --entries")
        report = evaluate_glue(args.model, args.data[0], recipe.data, against=args.against, quiet=args.quiet)
        if page is not None:
            measured = report["models"]["model"]["measured"]
            _write(args, page, report, Details(), measured)
        print(to_json(report) if args.json else glue_table(report))
        return 0
    if args.against is not None:
        raise UsageError("--against goes with --task glue")
    settings = recipe.task if args.entries is None else {**recipe.task, "entries": args.entries}
    task = named_task(args.task, recipe.data, settings)
    if len(args.data) > task.files:
        most = "one file" if task.files == 1 else f"at most {task.files} files"
        raise UsageError(f"{args.task} is measured on {most}, not {len(args.data)}")
    if isinstance(task, TrainableTask):
        task = task.with_columns_of_model(args.model)
    examples = task.read(*args.data)
    if (said := learnt_from(args.model, examples)) is not None:
        logging.getLogger("minidistil").warning("%s", said)
    found = task.evaluate_saved(args.model, examples, quiet=args.quiet, details=details)
    if page is not None and details is not None:
        _write(args, page, found, details, len(examples))
    if args.json:
        print(to_json({"task": task_name(args.task), "examples": len(examples), **found}))
        return 0
    for name, value in numbers(found).items():
        print(
            f"{metric_title(name, found):26}"
            + (f"{value:10,}" if isinstance(value, int) else f"{value:10.4f}")
        )
    print(f"{'examples':26}{len(examples):10,}")
    for lines in (class_table(found), confusion_table(found)):
        if lines:
            print("", *lines, sep="\n")
    return 0


def _page(args: argparse.Namespace) -> Page | None:
    """The template of the page, if one is asked for; read before a model is."""
    if args.html is None:
        if args.templates is not None:
            raise UsageError("--templates is part of a page: say --html FILE")
        return None
    from minidistil.report.evaluate_page import TEMPLATE
    from minidistil.report.page import Page

    return Page(TEMPLATE, args.templates)


def _write(
    args: argparse.Namespace, page: Page, found: Mapping[str, Any], details: Details, examples: int
) -> None:
    from minidistil.report.evaluate_page import write_evaluation_page
    from minidistil.tasks.registry import task_name

    task = args.task if args.task == "glue" else task_name(args.task)
    write_evaluation_page(
        args.html,
        found,
        details.found,
        model=args.model,
        task=task,
        data=args.data,
        examples=examples,
        page=page,
    )
