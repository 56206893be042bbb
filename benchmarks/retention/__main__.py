"""Teachers, and students of half their layers, alone and taught, on many tasks.

    python -m benchmarks.retention --data DATA                 everything, seeds 0 to 4: a day or more
    python -m benchmarks.retention --settings ratings --seeds 0
    python -m benchmarks.retention --show                      tables of what there is
    python -m benchmarks.retention --list                      settings, arms, and what is left to run
    python -m benchmarks.retention --data DATA --settings spam --arm hot --set teaching.temperature=4
                                                               a further arm, beside those of the table

DATA has a folder for each data set: SST-2, MRPC, CLINC150, Multi30k, NCBI-disease, SQuAD-subset and
SMS-Spam. Without it only those settings run whose examples are the demo's. Everything is kept in --out.
Stopped anywhere, the same command goes on. A cell that is done is not run again, one that failed is.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.retention.arms import ALONE, ARMS, TAUGHT, Arm
from benchmarks.retention.cells import Cell, Grid, cells_of
from benchmarks.retention.files import Files
from benchmarks.retention.settings import SETTINGS, Setting, files_of
from benchmarks.retention.table import Tables
from benchmarks.trials import Result, check_none, errors_alone, exit_code
from minidistil.errors import UsageError
from minidistil.files import only_writer, to_json
from minidistil.memory import keep_freed_memory


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.retention",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, metavar="DATA", help="folder of the data sets")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, metavar="NAME", help="default: all")
    parser.add_argument(
        "--arms", nargs="+", choices=ARMS, metavar="NAME", help="default: all; teachers always"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4], metavar="N")
    parser.add_argument("--out", type=Path, default=Path("runs/retention"), metavar="DIR")
    parser.add_argument("--encoder", default="minilm", metavar="MODEL", help="that every teacher begins from")
    further = parser.add_argument_group("a further arm")
    further.add_argument(
        "--arm", metavar="NAME", help="its name; of the table's arms only those of --arms run"
    )
    further.add_argument(
        "--like", choices=[*ALONE, TAUGHT], default=TAUGHT, metavar="ARM",
        help="arm that it changes (default: taught)",
    )  # fmt: skip
    further.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="its changes"
    )
    further.add_argument(
        "--teachers",
        type=int,
        default=1,
        metavar="N",
        help="its own and those of N - 1 further seeds",
    )
    further.add_argument(
        "--texts", action="store_true", help="it learns from the setting's texts without labels, too"
    )
    parser.add_argument("--show", action="store_true", help="print the tables of what there is, and stop")
    parser.add_argument("--list", action="store_true", help="print settings, arms and what is left, and stop")
    parser.add_argument("--json", action="store_true", help="print the tables as JSON")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse(arguments)
    keep_freed_memory()
    with errors_alone():
        return exit_code(lambda: show(args) if args.show or args.list else run(args))


def grid_of(args: argparse.Namespace, *, write: bool = False) -> Grid:
    """The grid of a command; with `write` the examples are written first."""
    if (args.set or args.teachers > 1 or args.texts) and not args.arm:
        raise UsageError("--set, --teachers and --texts are of a further arm: name it with --arm")
    if (args.teachers > 1 or args.texts) and not ARMS[args.like].taught:
        raise UsageError(f"--teachers and --texts: the arm {args.like} has no teacher")
    if args.arm in ARMS:
        raise UsageError(f"--arm {args.arm} is an arm of the table: choose another name")
    chosen = {name: SETTINGS[name] for name in args.settings or SETTINGS}
    files: dict[str, Files] = {}
    for name, setting in chosen.items():
        found = files_of(name, setting, args.out / "examples", args.data, write=write)
        if found is not None:
            files[name] = found
        elif args.settings and write:
            raise UsageError(f"the examples of {name} are made of the data sets: --data names their folder")
    return Grid(args.out, chosen, files, _further(args), args.encoder)


def _further(args: argparse.Namespace) -> dict[str, Arm]:
    if not args.arm:
        return {}
    like = ARMS[args.like]
    changes = (*like.changes, *args.set)
    return {
        args.arm: replace(like, title=args.arm, changes=changes, teachers=args.teachers, texts=args.texts)
    }


def show(args: argparse.Namespace) -> None:
    """Print the tables, or what there is to run."""
    grid = grid_of(args)
    if not args.list:
        tables = Tables(grid.settings, grid.results(args.seeds))
        print(to_json(tables.json(), indent=2) if args.json else tables.markdown())
        return
    cells = list(cells_of(grid.settings, _arms(args), args.seeds))
    for name, setting in grid.settings.items():
        here = [cell for cell in cells if cell.setting == name]
        done = sum(grid.is_done(cell) for cell in here) if name in grid.files else 0
        missing = "" if name in grid.files or not setting.from_data else "; needs --data"
        recipe = " ".join(setting.recipe)
        print(f"{name:16} {setting.by!s:20} {done} of {len(here)} cells{missing}  {recipe}".rstrip())
    print("\narms: " + "; ".join(f"{name} ({arm.title})" for name, arm in ARMS.items()))
    for cell, message in grid.failures().items():
        print(f"failed: {cell}: {message}")


def run(args: argparse.Namespace) -> None:
    """Run what is left, and print the tables; an error of one cell does not stop the others.

    Raises
    ------
    TrialError
        At the end, if a cell failed.
    """
    with only_writer(args.out):
        _run(args, grid_of(args, write=True))


def _run(args: argparse.Namespace, grid: Grid) -> None:
    cells = list(cells_of(grid.available(), _arms(args), args.seeds))
    left = [cell for cell in cells if not grid.is_done(cell)]
    print(f"{len(cells)} cells, {len(left)} to run, in {args.out}", file=sys.stderr)
    took = Times()
    for cell in cells:
        if cell not in left and (found := grid.find(cell)) is not None:
            took.add(cell, found["seconds"])
    failed = 0
    for number, cell in enumerate(left, 1):
        try:
            result = grid.run(cell)
            took.add(cell, result["seconds"])
            said = _said(grid.settings[cell.setting], result)
        except Exception as error:
            failed += 1
            said = f"FAILED: {grid.failed(cell, error)}"
        place = f"[{number}/{len(left)}] {time.strftime('%H:%M')}"
        print(f"{place} {cell}: {said}; {took.left(left[number:])}", file=sys.stderr, flush=True)
    tables = Tables(grid.settings, grid.results(args.seeds))
    print(to_json(tables.json(), indent=2) if args.json else tables.markdown())
    check_none(failed)


def _arms(args: argparse.Namespace) -> list[str]:
    """Names of the arms that run; a further one is alone if no others are asked for."""
    return [*(args.arms or ([] if args.arm else ARMS)), *([args.arm] if args.arm else [])]


def _said(setting: Setting, result: Result) -> str:
    metric = setting.metric or result["primary"]
    return f"{metric} {result['metrics'][metric]:.4f}, {result['steps']} steps, {result['seconds']:.0f} s"


class Times:
    """Seconds of cells that are done, and from them of those that are not."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], list[float]] = {}

    def add(self, cell: Cell, seconds: float) -> None:
        self._seconds.setdefault((cell.setting, cell.arm), []).append(seconds)

    def left(self, cells: Sequence[Cell]) -> str:
        """Number of cells, and the time of those like one that is done."""
        kinds = [self._seconds.get((cell.setting, cell.arm)) for cell in cells]
        known = [statistics.fmean(seconds) for seconds in kinds if seconds]
        unknown = len(cells) - len(known)
        minutes = round(sum(known) / 60)
        about = f", about {minutes // 60} h {minutes % 60:02} min" if known else ""
        return f"{len(cells)} left{about}" + (f" and {unknown} unlike those done" if unknown else "")


if __name__ == "__main__":
    sys.exit(main())
