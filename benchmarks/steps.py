"""A computation in ever faster steps: each is checked, then timed beside the processor's peak.

In a round every step has one turn of 0.1 s or more; the best time over all rounds counts. Steps on one thread
are timed by what the processor spent on that thread, so that other work on the machine disturbs them little.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from benchmarks import machine
from minidistil import threads
from minidistil.kernels.engine.compile import OPTIONS
from minidistil.kernels.engine.native import F32, I32, I64, LANES, MR, PLAIN, TARGET, VECTORS
from minidistil.kernels.engine.pool import parallel_for

TURN = 0.1  # seconds
PAUSE = 0.1  # seconds, in which threads that look for work go to sleep
compiled = numba.njit(fastmath={"contract"}, **OPTIONS)  # a product and a sum may become one multiply-add


@dataclass(frozen=True)
class Step:
    """One way to compute it.

    Attributes
    ----------
    name : str
    run : from operands, into what they have for the result
    what : str
        What is new about it.
    parallel : bool
        On all threads.
    work : float
        Arithmetic of this step, in units of the operands' `operations`.
    """

    name: str
    run: Callable[[Any], Any]
    what: str
    parallel: bool = False
    work: float = 1.0


# --- The peak ---------------------------------------------------------------------------------------------

# As many sums as the micro-kernel has: more than can be under way at once. Without one, what fits everywhere.
SUMS, WIDTH = (14, 4) if TARGET is PLAIN else (MR * VECTORS, LANES)
COUNT = 1 << 20


@intrinsic
def _multiply_adds(typingctx: Any, count: Any, x: Any) -> Any:
    """`count` times sum = sum * x + x, for SUMS vectors in registers that do not depend on each other."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        times, number = given
        vector = ir.VectorType(F32, WIDTH)
        undefined, zeros = ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(I32, WIDTH), None)
        xs = builder.shuffle_vector(builder.insert_element(undefined, number, I32(0)), undefined, zeros)
        start, loop, done = builder.block, *(builder.append_basic_block() for _ in range(2))
        builder.branch(loop)
        builder.position_at_end(loop)
        left, sums = builder.phi(I64), [builder.phi(vector) for _ in range(SUMS)]
        products = [builder.fmul(value, xs, flags=("contract",)) for value in sums]
        totals = [builder.fadd(product, xs, flags=("contract",)) for product in products]
        fewer = builder.sub(left, I64(1))
        for phi, at_first, later in (
            (left, times, fewer),
            # No two begin alike, or the compiler would compute one of them.
            *((sums[i], ir.Constant(vector, [float(i)] * WIDTH), totals[i]) for i in range(SUMS)),
        ):
            phi.add_incoming(at_first, start)
            phi.add_incoming(later, loop)
        builder.cbranch(builder.icmp_signed(">", fewer, I64(0)), loop, done)
        builder.position_at_end(done)
        total = totals[0]
        for value in totals[1:]:
            total = builder.fadd(total, value)
        return builder.extract_element(total, I32(0))

    return types.float32(types.int64, types.float32), generate


@compiled
def multiply_adds(count: int, x: float) -> float:
    """SUMS * WIDTH * count multiply-adds."""
    return _multiply_adds(count, np.float32(x))  # type: ignore[call-arg]  # an intrinsic has its own context


# --- Measuring ---------------------------------------------------------------------------------------------


def best_time(run: Callable[[], Any], parallel: bool) -> float:
    """Seconds of the best run of a turn."""
    clock = time.perf_counter if parallel else time.thread_time
    best, end = np.inf, time.perf_counter() + TURN
    while time.perf_counter() < end:
        began = clock()
        run()
        best = min(best, clock() - began)
    return best


def measure(steps: Sequence[Step], o: Any, rounds: int) -> dict[str, float]:
    """GFLOP/s of each step, and of the peak: `peak` of one thread, `peak-all` of all together."""
    everyone = threads.get_num_threads()
    peak = 2e-9 * SUMS * WIDTH * COUNT

    def spin(_: int = 0) -> None:
        multiply_adds(COUNT, 1.0)

    spin()  # compiles it
    turns: dict[str, tuple[Callable[[], Any], bool, float]] = {
        "peak": (spin, False, peak),
        "peak-all": (partial(parallel_for, spin, everyone), True, peak * everyone),
        **{s.name: (partial(s.run, o), s.parallel, 1e-9 * s.work * o.operations) for s in steps},
    }
    best = dict.fromkeys(turns, np.inf)
    try:
        for _ in range(rounds):
            for name, (run, parallel, _) in turns.items():
                threads.set_num_threads(everyone if parallel else 1)
                best[name] = min(best[name], best_time(run, parallel))
                if parallel:
                    time.sleep(PAUSE)
    finally:
        threads.set_num_threads(everyone)
    return {name: work / best[name] for name, (_, _, work) in turns.items()}


def table(steps: Sequence[Step], rates: dict[str, float]) -> str:
    """Markdown: one row a step."""
    lines = ["| step | GFLOP/s | of the peak | what is new |", "| --- | --- | --- | --- |"]
    for step in steps:
        rate, peak = rates[step.name], rates["peak-all" if step.parallel else "peak"]
        lines.append(f"| {step.name} | {rate:.1f} | {rate / peak:.1%} | {step.what} |")
    return "\n".join(lines)


def parser(prog: str, description: str, steps: Sequence[Step]) -> argparse.ArgumentParser:
    """The options that all ladders have."""
    result = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{prog}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [step.name for step in steps]
    result.add_argument(
        "--steps", nargs="+", choices=names, default=names, metavar="STEP", help=", ".join(names)
    )
    result.add_argument("--rounds", type=int, default=5)
    result.add_argument("--json", action="store_true", help="the same numbers, and the machine, as JSON")
    return result


def report(
    steps: Sequence[Step], o: Any, error: Callable[[Step, Any], float], args: argparse.Namespace, **about: Any
) -> None:
    """Check the steps that were asked for, time them, print the table. An `error` may be 1 at most."""
    steps = [step for step in steps if step.name in args.steps]
    for step in steps:
        if not error(step, o) <= 1:
            raise SystemExit(f"{step.name} computes a wrong result: not timed")
    described = machine.describe()
    rates = measure(steps, o, args.rounds)
    if args.json:
        print(json.dumps({"machine": described, **about, "gflops": rates}, indent=2))
        return
    print(table(steps, rates))
    print(f"""
{described["processor"]} (family {described["family"]}), micro-kernel: {TARGET.name}, {described["date"]}
peak: {rates["peak"]:.1f} GFLOP/s on one thread, {rates["peak-all"]:.1f} on {threads.get_num_threads()}
busy with other things before: {described["busy"] or 0:.0%} of the machine""")
    if TARGET is PLAIN:
        print("without a micro-kernel, `tile` is loops and `matmul` is BLAS")
