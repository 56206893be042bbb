"""Relative position bias in attention's tiles: a head's numbers along a line, and the way back.

In a block of scores, keys down and queries across, the bias of a head is one number for each diagonal. A
line of these numbers, from the farthest key behind a query to the farthest before it, lies along each row of
the block: the next key's row begins one place earlier. (The table of buckets itself is a few hundred numbers,
once a pass: there the textbook serves.)
"""

from __future__ import annotations

from typing import Any

from minidistil.arrays import Array
from minidistil.kernels.engine.compile import reassociate, strict
from minidistil.kernels.engine.native import LANES
from minidistil.kernels.engine.parallel import run

# line[i - j + L] belongs to query i and key j of a sequence of L tokens: the queries from `first` on begin at
# line[first + L]. Behind it is room for a vector, for columns past the last query.


@reassociate
def fill_line(bias: Array, head: int, L: int, scale: Any, line: Array) -> None:
    """The bias of one head, for scores that are still to be multiplied by `scale`."""
    middle = bias.shape[1] // 2  # distance 0
    for m in range(1, 2 * L):
        line[m] = bias[head, middle + L - m] / scale
    line[2 * L : 2 * L + LANES] = 0


@reassociate
def keep_line(line: Array, L: int, scale: Any, sums: Array) -> None:
    """A line of sums, of gradients that are multiplied by `scale`, from the first distance on."""
    for m in range(1, 2 * L):
        sums[2 * L - 1 - m] = line[m] / scale


@reassociate
def clear_columns(x: Array, L: int, width: int, count: int) -> None:
    """x [L, width] = 0 from column `count` on."""
    for r in range(L):
        for c in range(count, width):
            x[r * width + c] = 0


@strict
def _add_sequences(sums: Array, cu: Any, dbias: Array, start: int, stop: int) -> None:
    """dbias += the sums of each job, sequence by sequence, so that threads change no bit."""
    middle = dbias.shape[1] // 2
    for head in range(start, stop):
        total = dbias[head]
        for b in range(cu.shape[0] - 1):
            L, of_job = cu[b + 1] - cu[b], sums[head, 2 * cu[b] :]
            for d in range(2 * L - 1):
                total[middle - L + 1 + d] += of_job[d]


@strict
def run_add_sequences(pool: Any, sums: Array, cu: Any, dbias: Array) -> None:
    """Add the sums of all jobs, [A, 2T] with those of a sequence from twice its first row on, to dbias."""
    run(pool, _add_sequences, (sums, cu, dbias), dbias.shape[0], 1)
