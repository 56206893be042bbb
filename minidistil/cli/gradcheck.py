"""minidistil gradcheck: every gradient against finite differences."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING

from minidistil.errors import UsageError

if TYPE_CHECKING:
    from minidistil.verify.finite_differences import CheckResult

HELP = "check every gradient against finite differences, in float64"

EXAMPLES = """\
  minidistil gradcheck                              every operation, loss and model
  minidistil gradcheck ops losses                   what has "ops" or "losses" in its name
  minidistil gradcheck attention --backend numba    the fast kernels instead of the textbook
  minidistil gradcheck BertForMaskedLM --json       every tensor, for a program to read"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="check only cases with NAME in their name")
    parser.add_argument(
        "--backend", choices=("numpy", "numba"), default="numpy", help="whose operations (default: numpy)"
    )
    parser.add_argument("--json", action="store_true", help="print every tensor's error as JSON")


def run(args: argparse.Namespace) -> int:
    """Exit code 0 if every gradient passes, 1 if one does not."""
    from minidistil.progress import Progress
    from minidistil.verify import gradcheck
    from minidistil.verify.finite_differences import TOLERANCE

    names = chosen(args.names, list(gradcheck.CASES))

    def progress(names: list[str]) -> Iterator[str]:
        with Progress(len(names), "gradcheck", "case", quiet=args.quiet) as bar:
            for name in names:
                yield name
                bar.update()

    results = gradcheck.run(names, backend=args.backend, progress=progress)
    print(as_json(results, args.backend, TOLERANCE) if args.json else as_table(results, TOLERANCE))
    return 0 if all(result.passed for result in results) else 1


def chosen(words: list[str], cases: list[str]) -> list[str]:
    """Cases with one of `words` in their names; all of them without words."""
    for word in words:
        if not any(word in case for case in cases):
            kinds = dict.fromkeys(".".join(case.split(".")[:2]) for case in cases)
            raise UsageError(f"no gradient check has {word!r} in its name; there are: {', '.join(kinds)}")
    return [case for case in cases if not words or any(word in case for word in words)]


def as_json(results: list[CheckResult], backend: str, tolerance: float) -> str:
    """The result as one object; null for NaN and infinity, which JSON does not have."""
    from minidistil.files import to_json

    rows, passed = [asdict(result) for result in results], all(result.passed for result in results)
    return to_json({"backend": backend, "tolerance": tolerance, "passed": passed, "results": rows}, indent=1)


def as_table(results: list[CheckResult], tolerance: float) -> str:
    """A line for each case with its worst tensor, a line for each tensor that failed, and the total."""
    width = max(len(result.name) for result in results)
    lines = [f"{'case':{width}}  tensors  relative error  worst tensor"]
    for name, group in groupby(results, key=lambda result: result.name):
        tensors = list(group)
        worst = max(tensors, key=lambda result: result.relative_error)
        verdict = "" if all(result.passed for result in tensors) else "  FAILED"
        lines.append(
            f"{name:{width}}  {len(tensors):7}  {worst.relative_error:14.1e}  {worst.tensor}{verdict}"
        )
    failures = [result for result in results if not result.passed]
    lines.append("")
    for result in failures:
        lines.append(f"FAILED {result.name} {result.tensor}: relative error {result.relative_error:.1e}")
    agreeing = f"{len(results) - len(failures)} of {len(results)} gradients agree with finite differences"
    lines.append(f"{agreeing} within {tolerance:.0e}")
    return "\n".join(lines)
