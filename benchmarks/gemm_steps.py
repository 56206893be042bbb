"""A matrix product from three loops to the peak of the processor, step by step: the table of docs/gemm.md.

    python -m benchmarks.gemm_steps                             512 tokens through a 768 x 768 matrix
    python -m benchmarks.gemm_steps --size 16 768 3072          few rows: packing costs as much as multiplying
    python -m benchmarks.gemm_steps --steps unrolled tile-loops tile

Each step computes C = A B in float32 for A [M, K] and B [K, N], and is compared with the product in float64
before it is timed. The peak is measured too: multiply-adds in registers that wait for nothing.

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
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from benchmarks import machine
from minidistil import threads
from minidistil.kernels.engine.compile import OPTIONS
from minidistil.kernels.engine.native import COLUMNS, F32, I32, I64, LANES, PLAIN, ROWS, TARGET, VECTORS
from minidistil.kernels.engine.pool import parallel_for
from minidistil.kernels.gemm import PackedWeight, matmul
from minidistil.kernels.gemm.micro import tile

Array = npt.NDArray[np.float32]

TURN = 0.1  # seconds
PAUSE = 0.1  # seconds, in which threads that look for work go to sleep
DEPTH = 64  # rows of B in a block: 64 of 768 numbers are 197 KB of a level-2 cache
compiled = numba.njit(fastmath={"contract"}, **OPTIONS)  # a product and a sum may become one multiply-add


# --- The steps --------------------------------------------------------------------------------------------


@compiled
def textbook(a: Array, b: Array, c: Array) -> None:
    """The definition. The inner loop runs down a column of B and waits for every sum before the next."""
    (M, K), N = a.shape, b.shape[1]
    for i in range(M):
        for j in range(N):
            total = np.float32(0)
            for k in range(K):
                total += a[i, k] * b[k, j]
            c[i, j] = total


@compiled
def add_rows(a: Array, b: Array, c: Array) -> None:
    """C += A B with k and j exchanged: a row of C collects multiples of rows of B, in vector lanes."""
    (M, K), N = a.shape, b.shape[1]
    for i in range(M):
        for k in range(K):
            for j in range(N):
                c[i, j] += a[i, k] * b[k, j]


@compiled
def rows(a: Array, b: Array, c: Array) -> None:
    c[:] = 0
    add_rows(a, b, c)


@compiled
def blocked(a: Array, b: Array, c: Array) -> None:
    """A block of B is used for all rows of A while it is in the level-2 cache."""
    c[:] = 0
    for k in range(0, a.shape[1], DEPTH):
        add_rows(a[:, k : k + DEPTH], b[k : k + DEPTH], c)


@compiled
def add_unrolled(a: Array, b: Array, c: Array) -> None:
    """C += A B, the inner loop for 4 rows of A and 4 of B at once: 16 multiply-adds, 8 loads and 4 stores.

    One at a time, 16 multiply-adds are 32 loads and 16 stores.
    """
    M, K, N = a.shape[0] // 4 * 4, a.shape[1] // 4 * 4, b.shape[1]
    for i in range(0, M, 4):
        for k in range(0, K, 4):
            for j in range(N):
                for m in range(4):
                    total = c[i + m, j]
                    for q in range(4):
                        total += a[i + m, k + q] * b[k + q, j]
                    c[i + m, j] = total
    add_rows(a[:M, K:], b[K:], c[:M])
    add_rows(a[M:], b, c[M:])


@compiled
def unrolled(a: Array, b: Array, c: Array) -> None:
    c[:] = 0
    for k in range(0, a.shape[1], DEPTH):
        add_unrolled(a[:, k : k + DEPTH], b[k : k + DEPTH], c)


@compiled
def edges(a: Array, b: Array, c: Array, below: int, right: int) -> None:
    """C from row `below` on and from column `right` on, where no whole tile fits, as in `textbook`."""
    (M, K), N = a.shape, b.shape[1]
    for i in range(M):
        for j in range(right if i < below else 0, N):
            total = np.float32(0)
            for k in range(K):
                total += a[i, k] * b[k, j]
            c[i, j] = total


@compiled
def tile_loops(a: Array, b: Array, c: Array) -> None:
    """The aim: a tile of C is complete before the next begins, and its sums stay in registers."""
    (M, K), N = a.shape, b.shape[1]
    sums = np.empty((ROWS, COLUMNS), np.float32)
    for j in range(0, N - COLUMNS + 1, COLUMNS):
        for i in range(0, M - ROWS + 1, ROWS):
            sums[:] = 0
            for k in range(K):
                line = b[k, j : j + COLUMNS]
                for m in range(ROWS):
                    factor = a[i + m, k]
                    for n in range(COLUMNS):
                        sums[m, n] += factor * line[n]
            for m in range(ROWS):
                for n in range(COLUMNS):
                    c[i + m, j + n] = sums[m, n]
    edges(a, b, c, M // ROWS * ROWS, N // COLUMNS * COLUMNS)


@compiled
def tiles(a_transposed: Array, b: Array, c: Array) -> None:
    """The same tiles by the micro-kernel. It wants neighbours in m to touch, so A is stored transposed."""
    (K, M), N = a_transposed.shape, b.shape[1]
    left, right, flat = a_transposed.reshape(-1), b.reshape(-1), c.reshape(-1)
    whole = N // LANES * LANES
    for j in range(0, whole, COLUMNS):
        vectors = min(COLUMNS, whole - j) // LANES
        for i in range(0, M, ROWS):
            tile(min(ROWS, M - i), vectors, left, i, M, right, j, N, flat, i * N + j, N, K, False)
    edges(a_transposed.T, b, c, M, whole)


@compiled
def packed(a: Array, b: Array, c: Array) -> None:
    """Both operands are first copied into the order in which the tiles read them."""
    (M, K), N = a.shape, b.shape[1]
    strips = np.zeros((-(-M // ROWS), K, ROWS), np.float32)
    panels = np.zeros((-(-N // COLUMNS), K, COLUMNS), np.float32)
    for s in range(strips.shape[0]):
        for m in range(min(ROWS, M - s * ROWS)):
            line = a[s * ROWS + m]
            for k in range(K):
                strips[s, k, m] = line[k]
    for p in range(panels.shape[0]):
        for k in range(K):
            line = b[k, p * COLUMNS : (p + 1) * COLUMNS]
            for n in range(line.shape[0]):
                panels[p, k, n] = line[n]

    left, right, flat = strips.reshape(-1), panels.reshape(-1), c.reshape(-1)
    edge = np.empty((ROWS, COLUMNS), np.float32)
    for p in range(panels.shape[0]):
        for s in range(strips.shape[0]):
            i, j, a_at, b_at = s * ROWS, p * COLUMNS, s * K * ROWS, p * K * COLUMNS
            if i + ROWS <= M and j + COLUMNS <= N:
                tile(ROWS, VECTORS, left, a_at, ROWS, right, b_at, COLUMNS, flat, i * N + j, N, K, False)
                continue
            tile(
                ROWS, VECTORS, left, a_at, ROWS, right, b_at, COLUMNS, edge.reshape(-1), 0, COLUMNS, K, False
            )
            for m in range(min(ROWS, M - i)):
                for n in range(min(COLUMNS, N - j)):
                    c[i + m, j + n] = edge[m, n]


# --- The peak ---------------------------------------------------------------------------------------------

# As many sums as the micro-kernel has: more than can be under way at once. Without one, what fits everywhere.
SUMS, WIDTH = (14, 4) if TARGET is PLAIN else (ROWS * VECTORS, LANES)
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
    return _multiply_adds(count, np.float32(x))


# --- Measuring --------------------------------------------------------------------------------------------


class Operands:
    """Random A and B, and what of them a step may find ready: a weight is packed once and used many times."""

    def __init__(self, m: int, k: int, n: int) -> None:
        rng = np.random.default_rng(0)
        self.size = m, k, n
        self.a: Array = rng.standard_normal((m, k), np.float32)
        self.b: Array = rng.standard_normal((k, n), np.float32)
        self.a_transposed = np.ascontiguousarray(self.a.T)
        self.weight = PackedWeight(self.b, transposed=False)
        self.c: Array = np.empty((m, n), np.float32)


def blas(o: Operands) -> None:
    np.matmul(o.a, o.b, out=o.c)


def one_blas(o: Operands) -> None:
    with threads.single_threaded_blas():
        blas(o)


def plain(function: Callable[[Array, Array, Array], None]) -> Callable[[Operands], None]:
    """For a step that needs nothing but A, B and C."""
    return lambda o: function(o.a, o.b, o.c)


@dataclass(frozen=True)
class Step:
    """One way to compute C.

    Attributes
    ----------
    name : str
    run : from operands, into their `c`
    what : str
        What is new about it.
    parallel : bool
        On all threads.
    """

    name: str
    run: Callable[[Operands], Any]
    what: str
    parallel: bool = False


STEPS = (
    Step("textbook", plain(textbook), "three loops: row times column"),
    Step("rows", plain(rows), "k and j exchanged: the inner loop runs along rows"),
    Step("blocked", plain(blocked), f"{DEPTH} rows of B at a time, which stay in a cache"),
    Step("unrolled", plain(unrolled), "4 x 4 inner loops in one: fewer loads and stores"),
    Step("tile-loops", plain(tile_loops), f"sums of a {ROWS} x {COLUMNS} tile at once, in loops"),
    Step("tile", lambda o: tiles(o.a_transposed, o.b, o.c), "the same tile by the micro-kernel"),
    Step("packed", plain(packed), "operands copied into the order in which tiles read"),
    Step("matmul", lambda o: matmul(o.a, o.b, out=o.c), "A in blocks for the cache, and faster packing"),
    Step("weight", lambda o: matmul(o.a, o.weight, out=o.c), "B packed beforehand, as for inference"),
    Step("matmul-all", lambda o: matmul(o.a, o.b, out=o.c), "`matmul` on all threads", parallel=True),
    Step("weight-all", lambda o: matmul(o.a, o.weight, out=o.c), "`weight` on all threads", parallel=True),
    Step("blas", one_blas, "NumPy's BLAS, one thread"),
    Step("blas-all", blas, "NumPy's BLAS, its own threads", parallel=True),
)


def error(step: Step, o: Operands) -> float:
    """The largest |C - A B|. The unit is what rounding may do: K eps/2 |A| |B| (Higham 2002, section 3.5)."""
    o.c[:] = np.nan
    step.run(o)
    a, b = o.a.astype(np.float64), o.b.astype(np.float64)
    bound = o.size[1] * np.finfo(np.float32).eps / 2 * (np.abs(a) @ np.abs(b))
    return float((np.abs(o.c - a @ b) / bound).max())


def best_time(run: Callable[[], Any], parallel: bool) -> float:
    """Seconds of the best run of a turn."""
    clock = time.perf_counter if parallel else time.thread_time
    best, end = np.inf, time.perf_counter() + TURN
    while time.perf_counter() < end:
        began = clock()
        run()
        best = min(best, clock() - began)
    return best


def measure(steps: Sequence[Step], o: Operands, rounds: int) -> dict[str, float]:
    """GFLOP/s of each step, and of the peak: `peak` of one thread, `peak-all` of all together."""
    everyone, (m, k, n) = threads.get_num_threads(), o.size
    product, peak = 2e-9 * m * k * n, 2e-9 * SUMS * WIDTH * COUNT

    def spin(_: int = 0) -> None:
        multiply_adds(COUNT, 1.0)

    spin()  # compiles it
    turns: dict[str, tuple[Callable[[], Any], bool, float]] = {
        "peak": (spin, False, peak),
        "peak-all": (partial(parallel_for, spin, everyone), True, peak * everyone),
        **{step.name: (partial(step.run, o), step.parallel, product) for step in steps},
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


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gemm_steps",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [step.name for step in STEPS]
    parser.add_argument("--size", nargs=3, type=int, default=(512, 768, 768), metavar=("M", "K", "N"))
    parser.add_argument(
        "--steps", nargs="+", choices=names, default=names, metavar="STEP", help=", ".join(names)
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="the same numbers, and the machine, as JSON")
    args = parser.parse_args(arguments)
    steps, operands = [step for step in STEPS if step.name in args.steps], Operands(*args.size)
    for step in steps:
        if not error(step, operands) <= 1:
            raise SystemExit(f"{step.name} computes a wrong product: not timed")
    described = machine.describe()
    rates = measure(steps, operands, args.rounds)
    if args.json:
        print(json.dumps({"machine": described, "size": args.size, "gflops": rates}, indent=2))
        return
    print(table(steps, rates))
    print(f"""
{described["processor"]} (family {described["family"]}), micro-kernel: {TARGET.name}, {described["date"]}
peak: {rates["peak"]:.1f} GFLOP/s on one thread, {rates["peak-all"]:.1f} on {threads.get_num_threads()}
busy with other things before: {described["busy"] or 0:.0%} of the machine""")
    if TARGET is PLAIN:
        print("without a micro-kernel, `tile` is loops and `matmul` is BLAS")


if __name__ == "__main__":
    main()
