"""`python -m tests.fuzz --minutes N`: damaged files, arrays and command lines, as long as there is time.

Nothing may end in a traceback, a hang, a crash or a wrong answer. `--target NAME --trial N` repeats one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.runner import run, trial, work
from fuzz.targets import TARGETS, prepare


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=1.0, metavar="N", help="for all targets together (1)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another one makes other cases")
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="only this; may be repeated")
    parser.add_argument("--trials", type=int, metavar="N", help="at most so many of each target")
    parser.add_argument("--trial", type=int, metavar="N", help="this one alone, in this process")
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker is not None:
        target, seed, start, count, place = args.worker
        work(target, int(seed), int(start), int(count), Path(place))
        return 0
    targets = args.target or list(TARGETS)
    if args.trial is not None:
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder) / "place")
            for name in targets:
                result = trial(name, args.seed, args.trial, Path(folder) / "place")
                print(f"{name} {args.trial}: {result.outcome}\n{result.detail}")
        return 0
    counts, failures = run(targets, args.seed, 60 * args.minutes, print, most=args.trials)
    total = sum(sum(of.values()) for of in counts.values())
    print(f"\n{'target':18}{'trials':>9}{'answered':>10}{'refused':>9}{'failed':>8}")
    for name, of in counts.items():
        answered, refused, all_ = of.get("answered", 0), of.get("refused", 0), sum(of.values())
        print(f"{name:18}{all_:9,}{answered:10,}{refused:9,}{all_ - answered - refused:8,}")
    print(f"{total:,} trials, {len(failures)} failures; seed {args.seed}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
