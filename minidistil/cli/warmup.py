"""minidistil warmup"""

from __future__ import annotations

import argparse
import json
import time

HELP = "compile all kernels for this machine, so that the first run need not"
EXAMPLES = """\
  minidistil warmup
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace) -> int:
    from minidistil.kernels.engine.native import TARGET
    from minidistil.kernels.engine.warmup import STEPS, second_process, warmup
    from minidistil.progress import Progress
    from minidistil.threads import get_num_threads

    began = time.perf_counter()
    with second_process(), Progress(len(STEPS), "compiling", "group", quiet=args.quiet) as progress:

        def shown(steps):  # type: ignore[no-untyped-def]
            for step in steps:
                yield step
                progress.update(1)

        warmup(shown)
    seconds = time.perf_counter() - began
    if args.json:
        print(json.dumps({"seconds": seconds, "instructions": TARGET.name, "threads": get_num_threads()}))
    else:
        print(f"kernels are ready after {seconds:.1f} s ({TARGET.name}, {get_num_threads()} threads)")
    return 0
