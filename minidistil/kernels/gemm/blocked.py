"""The loops around the micro-kernel: C (+)= A B.

A work item is a block of rows of C. The thread that takes it packs its rows of A into a buffer that stays in
the level-2 cache, and runs the micro-kernel over all tiles of the block, a micro-panel of B after the other.
Micro-panels of B stream by from memory or the level-3 cache, once for each block of rows. The last blocks are
cut into several work items, of some micro-panels each, so that all threads end at about the same time: no
others, since each work item packs its rows of A again.

Where there are so few rows that all are one block, they are packed beforehand, and a work item is some
micro-panels of B. Each is needed once: it is packed when its turn comes, so that no packed copy of B ever
exists, and B itself is read from memory once. Few long rows (the decoder's weight gradient) would not stay in
any cache: then each thread takes one work item, and packs a stretch of k when its turn comes.

Every number of C is summed over k in order, by one thread: bits do not depend on the number of threads, nor
on how many other rows are computed with it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minidistil.arrays import Array
from minidistil.kernels.activations import NOTHING, activate
from minidistil.kernels.engine.compile import strict
from minidistil.kernels.engine.native import LANES, MR, NR, VECTORS
from minidistil.kernels.engine.parallel import THREADS, run
from minidistil.kernels.gemm.micro import tile
from minidistil.kernels.gemm.pack import pack_contiguous, pack_panel, pack_transposed

MC = 8 * MR  # rows of A in a work item: 112 rows of 768 numbers are 344 KB of a level-2 cache
KC = 1024  # longest stretch of k between two visits of C
LONG_K = 4096  # beyond it, few rows of A packed beforehand (4 MB) would come from memory for each micro-panel
LONG_KC = 512  # stretch of k then: 600 KB of 256 rows, which stay in the level-2 cache for all micro-panels
SPLITS = 4  # work items of each of the last blocks, so that a slow thread delays the others little
EPILOGUE_PANELS = 8  # micro-panels between two epilogues: in cache still, and enough to make loops worth it
DIRECT_ROWS = 256  # rows of A that are one block if B is not packed: 1 MB of A for the longest stretch of k
LEAST_PANELS = 4  # micro-panels of B that such a work item has at least, since it packs its rows of A again
ITEMS_PER_THREAD = 8  # work items for each thread where all rows are one block
PACKED_LINES = 64  # lines of a transposed A packed at a time, while they are in cache


class Product(NamedTuple):
    """The arguments of a product, and how C is shared; see `multiply`."""

    a: Any
    transposed: bool
    a_packed: Any  # all rows of A, or nothing
    b: Any
    b_transposed: bool
    b_packed: Any
    c: Any
    accumulate: bool
    epilogue: int
    bias: Any
    pre_activation: Any
    blocks: int  # of rows
    whole: int  # blocks that are one work item
    splits: int  # work items of each other one


@strict
def _ceil(a: int, b: int) -> int:
    return (a + b - 1) // b


@strict
def share(M: int, N: int, threads: int) -> tuple[int, int, int]:
    """Cut C [M, N]: blocks of rows, how many of them are one work item, work items of each other one."""
    blocks = _ceil(M, MC)
    if threads == 1:
        return blocks, blocks, 1
    blocks = min(_ceil(blocks, threads) * threads, _ceil(M, MR))
    return blocks, max(0, blocks - threads), max(1, min(SPLITS, _ceil(N, NR) // LEAST_PANELS))


@strict
def _pack_a_panels(
    a: Array, transposed: bool, r0: int, r1: int, panels: int, first: int, last: int, k0: int, k1: int,
    packed: Array, depth: int,
) -> None:  # fmt: skip
    """Micro-panels first <= p < last of the `panels` of rows r0 <= r < r1 of A, and k0 <= k < k1 of them.

    Each has room for `depth` lines of LANES numbers.
    """
    flat, step = a.reshape(-1), a.shape[1]
    lines = PACKED_LINES if transposed else k1 - k0
    for k in range(k0, k1, lines):
        to = min(k + lines, k1)
        for p in range(first, last):
            row = r0 + (r1 - r0) * p // panels
            rows = r0 + (r1 - r0) * (p + 1) // panels - row
            at = (p * depth + k - k0) * LANES
            if transposed:
                pack_contiguous(flat, row, rows, step, k, to, packed, at, LANES)
            else:
                pack_transposed(flat, row * step + k, step, rows, to - k, packed, at, LANES)


@strict
def _pack_rows(a: Array, transposed: bool, packed: Array, start: int, stop: int) -> None:
    M, K = (a.shape[1], a.shape[0]) if transposed else a.shape
    _pack_a_panels(a, transposed, 0, M, _ceil(M, MR), start, stop, 0, K, packed, K)


@strict
def _work_items(product: Product, start: int, stop: int) -> None:
    (
        a, transposed, a_packed, b, b_transposed, b_packed, c, accumulate, epilogue, bias, pre_activation,
        blocks, whole, splits,
    ) = product  # fmt: skip
    M, N = c.shape
    flat = c.reshape(-1)
    K = a.shape[0] if transposed else a.shape[1]
    panels = _ceil(N, NR)
    k_blocks = _ceil(K, KC if K <= LONG_K else LONG_KC)
    depth = _ceil(K, k_blocks)
    own = a_packed.size == 0
    a_panels = _ceil(_ceil(M, blocks), MR)  # in the largest block
    buffer = np.empty(a_panels * depth * LANES + LANES, a.dtype) if own else a_packed
    edge, added = np.empty(MR * NR, a.dtype), np.zeros(NR, a.dtype)
    direct = b_packed.size == 0
    source = np.empty(depth * NR, a.dtype) if direct else b_packed
    for item in range(start, stop):
        block, p0, p1 = item, 0, panels
        if item >= whole:
            block, split = whole + (item - whole) // splits, (item - whole) % splits
            p0, p1 = panels * split // splits, panels * (split + 1) // splits
        r0, r1 = M * block // blocks, M * (block + 1) // blocks
        a_panels = _ceil(r1 - r0, MR)
        for kb in range(k_blocks):
            k0, k1 = kb * depth, min((kb + 1) * depth, K)
            if own:
                _pack_a_panels(a, transposed, r0, r1, a_panels, 0, a_panels, k0, k1, buffer, depth)
            add, last = accumulate or kb > 0, kb == k_blocks - 1
            for p in range(p0, p1):
                c0 = p * NR
                columns = min(NR, N - c0)
                for j in range(columns):
                    added[j] = bias[c0 + j] if last and epilogue != NOTHING else 0
                b_at = 0 if direct else (p * K + k0) * NR
                if direct:
                    pack_panel(b, b_transposed, p, k0, k1, source, 0)
                for s in range(a_panels):
                    row = r0 + (r1 - r0) * s // a_panels
                    rows = r0 + (r1 - r0) * (s + 1) // a_panels - row
                    a_at = s * depth * LANES if own else (s * K + k0) * LANES
                    if columns == NR:
                        tile(rows, VECTORS, buffer, a_at, LANES, source, b_at, NR,
                             flat, row * N + c0, N, k1 - k0, add, added)  # fmt: skip
                        continue
                    tile(rows, VECTORS, buffer, a_at, LANES, source, b_at, NR,
                         edge, 0, NR, k1 - k0, False, added)  # fmt: skip
                    for i in range(rows):
                        for j in range(columns):
                            given = edge[i * NR + j]
                            c[row + i, c0 + j] = c[row + i, c0 + j] + given if add else given
                done = p + 1 - p0
                if last and (p + 1 == p1 or done % EPILOGUE_PANELS == 0):
                    first = (p0 + (done - 1) // EPILOGUE_PANELS * EPILOGUE_PANELS) * NR
                    activate(epilogue, c, pre_activation, r0, r1, first, c0 + columns)


@strict
def multiply(
    pool: Any, b_packed: Array, a: Array, transposed: bool, b: Array, b_transposed: bool, c: Array,
    accumulate: bool, epilogue: int, bias: Array, pre_activation: Array,
) -> None:  # fmt: skip
    """C (+)= A B, a bias as it leaves the registers, an activation on each block while it is in cache.

    Parameters
    ----------
    pool : state of the thread pool
    b_packed : B from `pack_panels`, or nothing: then at most DIRECT_ROWS rows of A
    a : float32 [M, K], or [K, M] if `transposed`
    b : float32 [K, N], or [N, K] if `b_transposed`
    c : float32 [M, N]
    accumulate : bool
        Add to C instead of overwriting it.
    epilogue : int
        NOTHING, BIAS or an activation, which comes after a bias.
    bias : float32 [N]
    pre_activation : float32 [M, N] or nothing
        See `activations.activate`.
    """
    (M, N), K = c.shape, a.shape[0] if transposed else a.shape[1]
    threads = pool[THREADS]
    a_packed = np.empty(0, a.dtype)
    if b_packed.size == 0 or M <= MC:
        most = threads if K > LONG_K else ITEMS_PER_THREAD * threads
        blocks, whole, splits = 1, 0, min(most, _ceil(N, NR))
        if K <= LONG_K:
            a_packed = np.empty(_ceil(M, MR) * K * LANES + LANES, a.dtype)
            run(pool, _pack_rows, (a, transposed, a_packed), _ceil(M, MR), 1)
    else:
        blocks, whole, splits = share(M, N, threads)
    product = Product(
        a, transposed, a_packed, b, b_transposed, b_packed, c, accumulate, epilogue, bias, pre_activation,
        blocks, whole, splits,
    )  # fmt: skip
    run(pool, _work_items, (product,), whole + (blocks - whole) * splits, 1)
