"""minidistil demo"""

from __future__ import annotations

import argparse
from typing import Any

from minidistil.cli.common import add_print_recipe, print_recipe, run_or_read
from minidistil.streams import say

HELP = "fine-tune a sentiment teacher, distil it into a student of half its depth, compare them"
EXAMPLES = """\
  minidistil demo
  minidistil demo --quick
  minidistil demo --labels 2000 --out runs/more-labels
  minidistil demo --labels all --json
  minidistil demo --print-recipe > my.toml     # every setting, explained; then --config my.toml
"""

# Smaller batches and larger steps, so that few sentences still teach something.
QUICK: dict[str, Any] = {
    "labels": 400,
    "texts": 1500,
    "teacher_epochs": 3,
    "alone_epochs": 3,
    "student_epochs": 2,
    "batch_size": 16,
    "lr": 1e-4,
}


def count(text: str) -> int | None:
    return None if text == "all" else int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="DIR", help="default: runs/demo, or runs/quick with --quick")
    parser.add_argument(
        "--labels",
        type=count,
        default=argparse.SUPPRESS,
        metavar="N",
        help="labelled sentences, or 'all' (default: 1000, with --quick 400)",
    )
    parser.add_argument(
        "--other-texts",
        action="store_true",
        default=argparse.SUPPRESS,
        help="distil on 13,000 sentences of other kinds too",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=argparse.SUPPRESS,
        metavar="N",
        help="of data order, dropout and new weights (default: 0)",
    )
    parser.add_argument("--quick", action="store_true", help="a subset, in a minute or two")
    parser.add_argument("--config", metavar="FILE", help="settings of your own, a TOML file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, such as temperature=4"
    )
    add_print_recipe(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    import json
    from pathlib import Path

    from minidistil.errors import UsageError
    from minidistil.jobs.demo.demo import ReviewDistillation, ReviewSettings, table
    from minidistil.kernels.engine.warmup import second_process, warmup
    from minidistil.report.run_page import write_run_page
    from minidistil.settings import literal, load_recipe

    if args.quick and args.config is not None:
        raise UsageError("--quick stands for settings, and so does --config: take one of them")
    given = {name: getattr(args, name) for name in ("labels", "other_texts", "seed") if name in args}
    chosen = {**(QUICK if args.quick else {}), **given}
    changes = [f"{name}={literal(value)}" for name, value in chosen.items()]
    settings = load_recipe(ReviewSettings, file=args.config, changes=[*changes, *args.set])
    if args.print_recipe:
        return print_recipe(settings)
    out = Path(args.out or ("runs/quick" if args.quick else "runs/demo"))
    job = ReviewDistillation(out, settings, quiet=args.quiet)
    if job.finished() is None:
        with second_process():
            _ = job.data  # is fetched meanwhile
            warmup()
    report = run_or_read(job)
    print(json.dumps(report) if args.json else table(report))
    write_run_page(out)
    if not args.quiet:
        say(f"\n{out}: teacher/, student/, metrics.jsonl, report.json, report.html")
    return 0
