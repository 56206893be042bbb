"""Products inside a head of attention, from rows that lie among those of all heads.

Scores lie with keys down and queries across, [L, width]: see `minidistil.kernels.attention`. D is a multiple
of LANES here; `rows_of_head` copies what is not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from minidistil.arrays import Array
from minidistil.kernels.engine.compile import reassociate, strict
from minidistil.kernels.engine.native import LANES, MR, NR, VECTORS
from minidistil.kernels.gemm.micro import tile
from minidistil.kernels.gemm.pack import pack_transposed, prefetch_rows


class Rows(NamedTuple):
    """Rows in a flat array: row i begins at numbers[at + i * step]."""

    numbers: Any
    at: int
    step: int


@strict
def round_up(n: int, step: int) -> int:
    """The next multiple of `step`."""
    return (n + step - 1) // step * step


@reassociate
def copy_rows(rows: Rows, L: int, D: int, to: Rows) -> None:
    """The first D numbers of each of L rows."""
    for i in range(L):
        begin, end = rows.at + i * rows.step, to.at + i * to.step
        row, copy = rows.numbers[begin : begin + D], to.numbers[end : end + D]
        for d in range(D):
            copy[d] = row[d]


@reassociate
def rows_of_head(numbers: Array, at: int, step: int, L: int, D: int, padded: Array) -> Any:
    """Rows [L, D] of a head, or a copy in `padded` whose width is a multiple of a vector."""
    rows, P = Rows(numbers, at, step), round_up(D, LANES)
    if P > D:
        copy = Rows(padded, 0, P)
        copy_rows(rows, L, D, copy)
        return copy
    return rows


@reassociate
def prefetch_job(x: Array, parts: int, H: int, D: int, cu: Any, job: int) -> None:
    """Ask for what a job reads of x [tokens, parts * H]."""
    h, b = job % (H // D), job // (H // D)
    for part in range(parts):
        prefetch_rows(x, (cu[b] * parts + part) * H + h * D, parts * H, cu[b + 1] - cu[b], D)


@reassociate
def pack_keys(x: Rows, L: int, D: int, packed: Array) -> None:
    """x [L, D] into A-panels of MR rows: the k of the micro-kernel runs along the columns of x."""
    for row in range(0, L, MR):
        begin = row // MR * D * LANES
        pack_transposed(x.numbers, x.at + row * x.step, x.step, min(MR, L - row), D, packed, begin, LANES)


@reassociate
def pack_queries(x: Rows, first: int, count: int, D: int, width: int, packed: Array) -> None:
    """`count` rows of x into one B-panel [D, width]: a row is a column of the panel."""
    for i in range(0, count, LANES):
        at = x.at + (first + i) * x.step
        pack_transposed(x.numbers, at, x.step, min(LANES, count - i), D, packed, i, width)


@reassociate
def times_queries(keys: Array, L: int, D: int, queries: Array, width: int, out: Array) -> None:
    """out [L, width] = keys [L, D] queries [D, width], both packed."""
    for row in range(0, L, MR):
        tile(min(MR, L - row), width // LANES, keys, row // MR * D * LANES, LANES, queries, 0, width,
             out, row * width, width, D, False)  # fmt: skip


@reassociate
def sum_over_keys(p: Array, width: int, count: int, L: int, x: Rows, D: int, out: Rows, first: int) -> None:
    """out [count, D], from row `first` on, = p^T [count, L] x [L, D]."""
    parts = (count + MR - 1) // MR
    for part in range(parts):
        j0, j1 = count * part // parts, count * (part + 1) // parts
        for d in range(0, D, NR):
            vectors = min(VECTORS, (D - d) // LANES)
            tile(j1 - j0, vectors, p, j0, width, x.numbers, x.at + d, x.step,
                 out.numbers, out.at + (first + j0) * out.step + d, out.step, L, False)  # fmt: skip


@reassociate
def add_outer(
    p: Array, width: int, L: int, count: int, packed: Array, x: Rows, first: int, D: int, out: Array
) -> None:
    """out [L, D] += p [L, count] x [count, D], x from row `first` on: the sum runs over queries."""
    for row in range(0, L, MR):
        rows = min(MR, L - row)
        pack_transposed(p, row * width, width, rows, width, packed, 0, LANES)
        for d in range(0, D, NR):
            vectors = min(VECTORS, (D - d) // LANES)
            tile(rows, vectors, packed, 0, LANES, x.numbers, x.at + first * x.step + d, x.step,
                 out, row * D + d, D, count, True)  # fmt: skip
