"""The benchmark: minidistil, PyTorch, torch.compile and ONNX Runtime side by side.

    python -m benchmarks                      everything
    python -m benchmarks --quick              a few workloads, three rounds
    python -m benchmarks --only minilm/1x     workloads with a name like this
    python -m benchmarks --again --only 1x16  these once more, beside the others of the run before
    python -m benchmarks --engines minidistil old=../checkout     this code beside that of another commit
    python -m benchmarks --show               the tables of an earlier run, by today's thresholds
    python -m benchmarks --list               what there is

Needs the extra: pip install -e '.[bench]'. docs/performance.md says what is measured and how.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.agreement import DisagreementError
from benchmarks.driver import PAUSE, TURN, Engine, EngineError
from benchmarks.machine import BUSY, commit, describe
from benchmarks.measure import expected_seconds, measure
from benchmarks.workloads import COMPILED, ENGINES, FOLDER, ORT, OURS, TORCH, WORKLOADS, Workload, choose
from minidistil.files import atomic_write
from minidistil.threads import available_cores

ROUNDS, QUICK_ROUNDS = 7, 3
NEEDS = {
    TORCH: ("torch", "transformers"),
    COMPILED: ("torch", "transformers"),
    ORT: ("torch", "transformers", "onnx", "onnxruntime"),
}
FAILED, USAGE, MISSING, INTERRUPTED = 1, 2, 3, 130


class Progress:
    """Lines on standard error: which workload, what of it, how long everything will still take."""

    def __init__(self, workloads: Sequence[Workload], engines: Sequence[Engine], rounds: int) -> None:
        self.costs = {workload.name: expected_seconds(workload, engines, rounds) for workload in workloads}
        self.began = time.monotonic()
        self.finished: list[str] = []

    def say(self, workload: Workload, what: str) -> None:
        done = sum(self.costs[name] for name in self.finished)
        left = sum(self.costs.values()) - done
        if done:
            left *= (time.monotonic() - self.began) / done
        place = f"[{len(self.finished) + 1}/{len(self.costs)}]"
        print(f"{place} {workload.name}: {what}; about {max(1, round(left / 60))} min left", file=sys.stderr)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", default=[], metavar="PATTERN", help="may be repeated")
    parser.add_argument(
        "--engines",
        nargs="+",
        default=ENGINES,
        metavar="ENGINE",
        help=f"{', '.join(ENGINES)}, or NAME=PATH for minidistil from the checkout at PATH",
    )
    parser.add_argument("--quick", action="store_true", help=f"a few workloads, {QUICK_ROUNDS} rounds")
    parser.add_argument("--rounds", type=int, help=f"undisturbed ones; default: {ROUNDS}")
    parser.add_argument("--json", type=Path, default=FOLDER / "bench.json", metavar="PATH")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {report.PAGE}")
    parser.add_argument(
        "--again",
        action="store_true",
        help="measure these workloads again, and keep the others of an earlier run",
    )
    parser.add_argument("--show", action="store_true", help="measure nothing: the tables of an earlier run")
    parser.add_argument("--list", action="store_true", help="name the workloads and leave")
    args = parser.parse_args(arguments)
    if args.rounds is None:
        args.rounds = QUICK_ROUNDS if args.quick else ROUNDS
    if args.show and not args.json.exists():
        parser.error(f"nothing to show: there is no {args.json}")
    if args.rounds < 1:
        parser.error("--rounds must be at least 1")
    try:
        args.engines = [Engine.parse(text) for text in args.engines]
    except ValueError as error:
        parser.error(str(error))
    if len({engine.name for engine in args.engines}) < len(args.engines):
        parser.error("--engines has a name twice")
    args.workloads = choose(args.only, args.quick)
    if not args.workloads:
        parser.error(f"no workload is called anything like {' or '.join(args.only)}; --list names them")
    return args


def missing(engines: Sequence[Engine]) -> list[str]:
    """Packages that the chosen engines need and that are not installed."""
    wanted = {package for engine in engines for package in NEEDS.get(engine.kind, ())}
    return sorted(package for package in wanted if importlib.util.find_spec(package) is None)


def make_files(engines: Sequence[Engine]) -> None:
    """Models, sentences and graphs, made once, each by a process that ends: this one stays small.

    Kernels too, since a process that compiles some has 150 MB more at its peak.
    """
    kinds = {engine.kind for engine in engines}
    commands = [(engine, ["-m", "minidistil", "warmup"]) for engine in engines if engine.kind == OURS]
    for module in ("models", "export") if ORT in kinds else ("models",):
        commands.append((Engine.parse(OURS), ["-m", f"benchmarks.{module}"]))
    for engine, arguments in commands:
        if code := engine.start(arguments).wait():
            raise EngineError(f"{engine.name}: python {' '.join(arguments)} ended with code {code}")


def read(path: Path) -> dict[str, Any]:
    """Results of an earlier run."""
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "works" in results:  # as older files call them
        results["workloads"] = results.pop("works")
    return results


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure every workload; results are on the disk after each."""
    results: dict[str, Any] = {
        "machine": describe(),
        "settings": {"rounds": args.rounds, "turn": TURN, "pause": PAUSE, "quick": args.quick},
        "commits": {engine.name: commit(engine.root) for engine in args.engines if engine.kind == OURS},
        "workloads": {},
    }
    if args.again and args.json.exists():
        before = read(args.json)
        results["workloads"] = before["workloads"]
        results["again"] = sorted({*before.get("again", []), *(workload.name for workload in args.workloads)})
    busy = results["machine"]["busy"]
    if busy is not None and busy > BUSY:
        print(f"warning: {100 * busy:.0f} % of this machine is busy with other things", file=sys.stderr)
    make_files(args.engines)
    progress = Progress(args.workloads, args.engines, args.rounds)
    threads = available_cores()
    for workload in args.workloads:
        try:
            results["workloads"][workload.name] = measure(
                workload, args.engines, args.rounds, threads, partial(progress.say, workload)
            )
        except (DisagreementError, EngineError) as error:
            raise type(error)(f"{workload.name}: {error}") from error
        progress.finished.append(workload.name)
        with atomic_write(args.json) as temporary:
            temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse(arguments)
    if args.list:
        for workload in WORKLOADS:
            print(f"{'quick ' if workload.quick else '      '}{workload.name}")
        return 0
    if absent := [] if args.show else missing(args.engines):
        print(f"not installed: {', '.join(absent)}. Run: pip install -e '.[bench]'", file=sys.stderr)
        return MISSING
    try:
        results = read(args.json) if args.show else run(args)
    except (DisagreementError, EngineError) as error:
        print(f"benchmark failed: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"stopped; workloads that were finished are in {args.json}", file=sys.stderr)
        return INTERRUPTED
    print(report.markdown(results), end="")
    if args.write:
        report.write(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
