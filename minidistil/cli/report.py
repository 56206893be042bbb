"""minidistil report"""

from __future__ import annotations

import argparse

HELP = "write a run as one HTML page: curves, teacher against student, settings"
EXAMPLES = """\
  minidistil report runs/demo
  minidistil report runs/student --out page.html --teacher runs/teacher/model
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="RUN", help="directory of a run")
    parser.add_argument("--out", metavar="FILE", help="default: report.html in the run's directory")
    parser.add_argument(
        "--teacher", metavar="MODEL", help="compare the student with it layer by layer (default: RUN/teacher)"
    )
    parser.add_argument(
        "--text", nargs="+", metavar="TEXT", help="what to compare layers on (default: some plain sentences)"
    )
    parser.add_argument(
        "--templates", metavar="DIR", help="templates of your own, for a page that looks otherwise"
    )


def run(args: argparse.Namespace) -> int:
    from minidistil.report.run_page import write_run_page

    options = {"teacher": args.teacher, "texts": args.text, "templates": args.templates}
    print(write_run_page(args.directory, args.out, **options))
    return 0
