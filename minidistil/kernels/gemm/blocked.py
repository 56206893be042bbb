"""The loops around the micro-kernel: C (+)= A B, float32.

A ticket is a block of rows of C. Whoever takes it packs its rows of A into a buffer that stays in the level-2
cache, and runs the micro-kernel over all tiles of the block, a panel of B after the other. Panels of B stream
by from memory or the level-3 cache, once for each block of rows. The last blocks are cut into several
tickets, of some panels each, so that all threads end at about the same time: only the last, since each ticket
packs its rows of A again.

Where there are so few rows that all are one block, they are packed beforehand, and a ticket is some panels.
Each panel is needed once: it is packed when its turn comes, so that no packed copy of B ever exists, and B
itself is read from memory once. Few rows that are very long, as in the gradient by what words are scored by,
would not stay in any cache: then each thread takes one ticket, and packs a stretch of k when its turn comes.

Every number of C is summed over k in order, by one thread: bits do not depend on the number of threads, nor
on how many other rows are computed with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.kernels.activations import NOTHING, activate
from minidistil.kernels.engine.compile import exact
from minidistil.kernels.engine.native import COLUMNS, LANES, ROWS, VECTORS
from minidistil.kernels.engine.parallel import THREADS, run
from minidistil.kernels.gemm.micro import tile
from minidistil.kernels.gemm.pack import pack_across, pack_along, pack_panel

Array = npt.NDArray[np.float32]

BLOCK_PANELS = 8  # strips of A in a ticket: 112 rows of 768 numbers are 344 KB of a level-2 cache
BLOCK_K = 1024  # longest stretch of k between two visits of C
LONG_K = (
    4096  # beyond it, few rows of A packed beforehand (here 4 MB) would be read from memory for each panel
)
LONG_BLOCK_K = 512  # stretch of k then: 600 KB of 256 rows, which stay in the level-2 cache for all panels
SPLITS = 4  # tickets of each of the last blocks, so that a slow thread delays the others little
FINISH_PANELS = 8  # panels between two epilogues: few enough to be in cache, enough to make loops worth it
DIRECT_ROWS = 256  # rows of A that are one block if B is not packed: 1 MB of A for the longest stretch of k
LEAST_PANELS = 4  # panels of B that such a ticket has at least, since it packs its rows of A again
TICKETS = 8  # tickets for each thread where all rows are one block
PACKED_LINES = 64  # lines of a transposed A packed at a time, while they are in cache


@exact
def _ceil(a: int, b: int) -> int:
    return (a + b - 1) // b


@exact
def tickets(M: int, N: int, threads: int) -> tuple[int, int, int]:
    """How C [M, N] is shared: blocks of rows, how many of them are one ticket, tickets of each other one."""
    blocks = _ceil(M, ROWS * BLOCK_PANELS)
    if threads == 1:
        return blocks, blocks, 1
    blocks = min(_ceil(blocks, threads) * threads, _ceil(M, ROWS))
    return blocks, max(0, blocks - threads), max(1, min(SPLITS, _ceil(N, COLUMNS) // LEAST_PANELS))


@exact
def _pack_strips(
    a: Array, transposed: bool, r0: int, r1: int, strips: int, first: int, last: int, k0: int, k1: int,
    packed: Array, depth: int,
) -> None:  # fmt: skip
    """Strips first <= s < last of those that rows r0 <= r < r1 of A are cut into, and k0 <= k < k1 of them.

    Each strip has room for `depth` lines of LANES numbers.
    """
    flat, step = a.reshape(-1), a.shape[1]
    lines = PACKED_LINES if transposed else k1 - k0
    for k in range(k0, k1, lines):
        to = min(k + lines, k1)
        for s in range(first, last):
            row = r0 + (r1 - r0) * s // strips
            rows = r0 + (r1 - r0) * (s + 1) // strips - row
            at = (s * depth + k - k0) * LANES
            if transposed:
                pack_along(flat, row, rows, step, k, to, packed, at, LANES)
            else:
                pack_across(flat, row * step + k, step, rows, to - k, packed, at, LANES)


@exact
def _pack_rows(a: Array, transposed: bool, packed: Array, start: int, stop: int) -> None:
    M, K = (a.shape[1], a.shape[0]) if transposed else a.shape
    _pack_strips(a, transposed, 0, M, _ceil(M, ROWS), start, stop, 0, K, packed, K)


@exact
def _tickets(
    a: Array, transposed: bool, rows_packed: Array, b: Array, b_transposed: bool, packed: Array, c: Array,
    accumulate: bool, kind: int, bias: Array, kept: Array, blocks: int, whole: int, splits: int,
    start: int, stop: int,
) -> None:  # fmt: skip
    M, N = c.shape
    flat = c.reshape(-1)
    K = a.shape[0] if transposed else a.shape[1]
    panels = _ceil(N, COLUMNS)
    k_blocks = _ceil(K, BLOCK_K if K <= LONG_K else LONG_BLOCK_K)
    depth = _ceil(K, k_blocks)
    own = rows_packed.size == 0
    strips = _ceil(_ceil(M, blocks), ROWS)  # panels of A in the largest block
    buffer = np.empty(strips * depth * LANES + LANES, np.float32) if own else rows_packed
    edge, added = np.empty(ROWS * COLUMNS, np.float32), np.zeros(COLUMNS, np.float32)
    direct = packed.size == 0
    source = np.empty(depth * COLUMNS, np.float32) if direct else packed
    for ticket in range(start, stop):
        block, p0, p1 = ticket, 0, panels
        if ticket >= whole:
            block, split = whole + (ticket - whole) // splits, (ticket - whole) % splits
            p0, p1 = panels * split // splits, panels * (split + 1) // splits
        r0, r1 = M * block // blocks, M * (block + 1) // blocks
        strips = _ceil(r1 - r0, ROWS)
        for kb in range(k_blocks):
            k0, k1 = kb * depth, min((kb + 1) * depth, K)
            if own:
                _pack_strips(a, transposed, r0, r1, strips, 0, strips, k0, k1, buffer, depth)
            add, last = accumulate or kb > 0, kb == k_blocks - 1
            for p in range(p0, p1):
                c0 = p * COLUMNS
                columns = min(COLUMNS, N - c0)
                for j in range(columns):
                    added[j] = bias[c0 + j] if last and kind != NOTHING else 0
                b_at = 0 if direct else (p * K + k0) * COLUMNS
                if direct:
                    pack_panel(b, b_transposed, p, k0, k1, source, 0)
                for s in range(strips):
                    row = r0 + (r1 - r0) * s // strips
                    rows = r0 + (r1 - r0) * (s + 1) // strips - row
                    a_at = s * depth * LANES if own else (s * K + k0) * LANES
                    if columns == COLUMNS:
                        tile(rows, VECTORS, buffer, a_at, LANES, source, b_at, COLUMNS,
                             flat, row * N + c0, N, k1 - k0, add, added)  # fmt: skip
                        continue
                    tile(rows, VECTORS, buffer, a_at, LANES, source, b_at, COLUMNS,
                         edge, 0, COLUMNS, k1 - k0, False, added)  # fmt: skip
                    for i in range(rows):
                        for j in range(columns):
                            given = edge[i * COLUMNS + j]
                            c[row + i, c0 + j] = c[row + i, c0 + j] + given if add else given
                done = p + 1 - p0
                if last and (p + 1 == p1 or done % FINISH_PANELS == 0):
                    first = (p0 + (done - 1) // FINISH_PANELS * FINISH_PANELS) * COLUMNS
                    activate(kind, c, kept, r0, r1, first, c0 + columns)


@exact
def multiply(
    pool: Any, a: Array, transposed: bool, b: Array, b_transposed: bool, packed: Array, c: Array,
    accumulate: bool, kind: int, bias: Array, kept: Array,
) -> None:  # fmt: skip
    """C (+)= A B, a bias as it leaves the registers, an activation on each block while it is in cache.

    Parameters
    ----------
    pool : state of the thread pool
    a : float32 [M, K], or [K, M] if `transposed`
    b : float32 [K, N], or [N, K] if `b_transposed`
    packed : B from `pack_panels`, or nothing: then at most DIRECT_ROWS rows of A
    c : float32 [M, N]
    accumulate : bool
        Add to C instead of overwriting it.
    kind : int
        NOTHING, BIAS or an activation, which comes after a bias.
    bias : float32 [N]
    kept : float32 [M, N] or nothing
        See `pointwise.activate`.
    """
    (M, N), K = c.shape, a.shape[0] if transposed else a.shape[1]
    threads = pool[THREADS]
    rows_packed = np.empty(0, np.float32)
    if packed.size == 0 or M <= ROWS * BLOCK_PANELS:
        blocks, whole, splits = 1, 0, min(threads if K > LONG_K else TICKETS * threads, _ceil(N, COLUMNS))
        if K <= LONG_K:
            rows_packed = np.empty(_ceil(M, ROWS) * K * LANES + LANES, np.float32)
            run(pool, _pack_rows, (a, transposed, rows_packed), _ceil(M, ROWS), 1)
    else:
        blocks, whole, splits = tickets(M, N, threads)
    arguments = (
        a, transposed, rows_packed, b, b_transposed, packed, c, accumulate, kind, bias, kept,
        blocks, whole, splits,
    )  # fmt: skip
    run(pool, _tickets, arguments, whole + (blocks - whole) * splits, 1)
