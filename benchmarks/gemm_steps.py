"""A matrix product from three loops to the peak of the processor, step by step: the table of docs/gemm.md.

    python -m benchmarks.gemm_steps                             512 tokens through a 768 x 768 matrix
    python -m benchmarks.gemm_steps --size 16 768 3072          few rows: packing costs as much as multiplying
    python -m benchmarks.gemm_steps --steps unrolled tile-loops tile

Each step computes C = A B in float32 for A [M, K] and B [K, N], and is compared with the product in float64
before it is timed. The peak is measured too: multiply-adds in registers that wait for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks import steps
from benchmarks.steps import Step, compiled
from minidistil import threads
from minidistil.kernels.engine.native import LANES, MR, NR, VECTORS
from minidistil.kernels.gemm.matmul import PackedWeight, matmul
from minidistil.kernels.gemm.micro import tile

Array = npt.NDArray[np.float32]

DEPTH = 64  # rows of B in a block: 64 of 768 numbers are 197 KB of a level-2 cache


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
    sums = np.empty((MR, NR), np.float32)
    for j in range(0, N - NR + 1, NR):
        for i in range(0, M - MR + 1, MR):
            sums[:] = 0
            for k in range(K):
                line = b[k, j : j + NR]
                for m in range(MR):
                    factor = a[i + m, k]
                    for n in range(NR):
                        sums[m, n] += factor * line[n]
            for m in range(MR):
                for n in range(NR):
                    c[i + m, j + n] = sums[m, n]
    edges(a, b, c, M // MR * MR, N // NR * NR)


@compiled
def tiles(a_transposed: Array, b: Array, c: Array) -> None:
    """The same tiles by the micro-kernel. It wants neighbours in m to touch, so A is stored transposed."""
    (K, M), N = a_transposed.shape, b.shape[1]
    left, right, flat = a_transposed.reshape(-1), b.reshape(-1), c.reshape(-1)
    whole = N // LANES * LANES
    for j in range(0, whole, NR):
        vectors = min(NR, whole - j) // LANES
        for i in range(0, M, MR):
            tile(min(MR, M - i), vectors, left, i, M, right, j, N, flat, i * N + j, N, K, False)
    edges(a_transposed.T, b, c, M, whole)


@compiled
def packed(a: Array, b: Array, c: Array) -> None:
    """Both operands are first copied into the order in which the tiles read them."""
    (M, K), N = a.shape, b.shape[1]
    strips = np.zeros((-(-M // MR), K, MR), np.float32)
    panels = np.zeros((-(-N // NR), K, NR), np.float32)
    for s in range(strips.shape[0]):
        for m in range(min(MR, M - s * MR)):
            line = a[s * MR + m]
            for k in range(K):
                strips[s, k, m] = line[k]
    for p in range(panels.shape[0]):
        for k in range(K):
            line = b[k, p * NR : (p + 1) * NR]
            for n in range(line.shape[0]):
                panels[p, k, n] = line[n]

    left, right, flat = strips.reshape(-1), panels.reshape(-1), c.reshape(-1)
    edge = np.empty((MR, NR), np.float32)
    for p in range(panels.shape[0]):
        for s in range(strips.shape[0]):
            i, j, a_at, b_at = s * MR, p * NR, s * K * MR, p * K * NR
            if i + MR <= M and j + NR <= N:
                tile(MR, VECTORS, left, a_at, MR, right, b_at, NR, flat, i * N + j, N, K, False)
                continue
            tile(MR, VECTORS, left, a_at, MR, right, b_at, NR, edge.reshape(-1), 0, NR, K, False)
            for m in range(min(MR, M - i)):
                for n in range(min(NR, N - j)):
                    c[i + m, j + n] = edge[m, n]


class Operands:
    """Random A and B, and what of them a step may find ready: a weight is packed once and used many times."""

    def __init__(self, m: int, k: int, n: int) -> None:
        rng = np.random.default_rng(0)
        self.size, self.operations = (m, k, n), 2 * m * k * n
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


STEPS = (
    Step("textbook", plain(textbook), "three loops: row times column"),
    Step("rows", plain(rows), "k and j exchanged: the inner loop runs along rows"),
    Step("blocked", plain(blocked), f"{DEPTH} rows of B at a time, which stay in a cache"),
    Step("unrolled", plain(unrolled), "4 x 4 inner loops in one: fewer loads and stores"),
    Step("tile-loops", plain(tile_loops), f"sums of a {MR} x {NR} tile at once, in loops"),
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


def main(arguments: Sequence[str] | None = None) -> None:
    parser = steps.parser("gemm_steps", __doc__, STEPS)
    parser.add_argument("--size", nargs=3, type=int, default=(512, 768, 768), metavar=("M", "K", "N"))
    args = parser.parse_args(arguments)
    steps.report(STEPS, Operands(*args.size), error, args, size=args.size)


if __name__ == "__main__":
    main()
