"""Lesson 6: speed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidistil.arrays import Array
from minidistil.course.exercises import Call, Choice, Function, Lesson, Number

LENGTHS = (5, 128, 12, 9)  # tokens of the sentences of a batch


def intensity() -> float:
    rows, inputs, outputs = 16, 768, 3072
    numbers = rows * inputs + inputs * outputs + rows * outputs
    return 2 * rows * inputs * outputs / (4 * numbers)


def padding_share() -> float:
    return 1 - sum(LENGTHS) / (len(LENGTHS) * max(LENGTHS))


def roofline_calls(rng: np.random.Generator) -> Iterator[Call]:
    for operations, size in ((6e8, 5.5e6), (7.6e7, 9.7e6)):
        given = {"operations": operations, "size": size, "peak": 1e11, "bandwidth": 1e10}
        yield Call(given, {"milliseconds": max(operations / 1e11, size / 1e10) * 1000})


def blocked_matmul_calls(rng: np.random.Generator) -> Iterator[Call]:
    for m, k, n in ((8, 4, 12), (7, 5, 9), (3, 10, 1)):
        a, b = rng.normal(size=(m, k)), rng.normal(size=(k, n))
        yield Call({"a": a, "b": b, "block": 4}, {"c": a @ b})


def packed(a: Array, height: int) -> Array:
    """Rows of a matrix [M, K] in panels [ceil(M / height), K, height]; zeros beyond the last row."""
    filled = np.pad(a, ((0, -len(a) % height), (0, 0)))
    return filled.reshape(-1, height, a.shape[1]).transpose(0, 2, 1)


def pack_panels_calls(rng: np.random.Generator) -> Iterator[Call]:
    for m in (8, 6):
        a = rng.normal(size=(m, 5))
        yield Call({"a": a, "height": 4}, {"panels": packed(a, 4)})


def panel_matmul_calls(rng: np.random.Generator) -> Iterator[Call]:
    for m, k, n in ((8, 5, 6), (6, 3, 7)):
        a, b = rng.normal(size=(m, k)), rng.normal(size=(k, n))
        given = {"panels_a": packed(a, 4), "panels_b": packed(b.T, 3), "rows": m, "columns": n}
        yield Call(given, {"c": a @ b})


def running_softmax_calls(rng: np.random.Generator) -> Iterator[Call]:
    for size, length in ((1000, 12), (2, 7), (2, 1)):
        scores = size * rng.normal(size=length)
        largest = scores.max()
        expected = {"largest": largest, "total": np.exp(scores - largest).sum()}
        yield Call({"scores": scores, "block": 4}, expected)


LESSON = Lesson(
    6,
    "speed",
    "speed",
    (
        Number(
            "intensity",
            "Operations for a byte",
            """
            A sentence of 16 tokens goes through a linear layer of 768 inputs and 3072 outputs in float32. How
            many multiplications and additions are that for each byte, if input, weight and output go through
            memory once? The bias does not count.
            """,
            intensity,
            tolerance=1e-2,
        ),
        Function(
            "roofline",
            "The roofline",
            """
            Return the fewest milliseconds that a kernel can take, for operations (multiplications and
            additions) and size (bytes through memory), on a machine that does peak operations in a second and
            moves bandwidth bytes in a second, both at the same time.
            """,
            "operations, size, peak, bandwidth",
            roofline_calls,
        ),
        Choice(
            "tile",
            "A tile for 32 registers",
            """
            For each k, a tile of r x v registers loads v registers of B, copies r numbers of A into one
            register after the other, and does r v multiply-adds: it needs r v + v + 1 registers and makes r +
            v loads. Which of these tiles fit into 32 registers, and have at least 1.5 multiply-adds for each
            load?
            """,
            ("14 x 2", "4 x 1", "9 x 3", "16 x 2", "28 x 1"),
            "fdd0b237cdfa6434",
        ),
        Function(
            "blocked_matmul",
            "A product in blocks",
            """
            Return c = a b [M, N] from a [M, K] and b [K, N], computed in blocks of at most block x block
            numbers of each. No size need be a multiple of block. Decorate it with `numba.njit` if you like,
            and time it beside three plain loops.
            """,
            "a, b, block",
            blocked_matmul_calls,
        ),
        Function(
            "pack_panels",
            "Packing",
            """
            Copy the rows of a [M, K] into the order in which a tile of height rows reads them: return panels
            [ceil(M / height), K, height], where panels[i, k, r] is a[i height + r, k], or 0 beyond the last
            row.
            """,
            "a, height",
            pack_panels_calls,
        ),
        Function(
            "panel_matmul",
            "A product of panels",
            """
            panels_a [I, K, R] holds the rows of A and panels_b [J, K, S] the columns of B, each as
            `pack_panels` packs rows. Return c = A B [rows, columns], a tile of R x S numbers at a time, each
            the sum over k of an outer product. What lies beyond rows and columns is not part of c.
            """,
            "panels_a, panels_b, rows, columns",
            panel_matmul_calls,
        ),
        Function(
            "running_softmax",
            "A softmax in one pass",
            """
            Return (largest, total) of scores [L]: their maximum, and the sum of exp(scores - largest). Read
            the scores once, block at a time, and keep only these two numbers between blocks: when the maximum
            grows, the sum so far shrinks. (A block's exponentials may be computed as one array.)
            """,
            "scores, block",
            running_softmax_calls,
        ),
        Number(
            "padding_share",
            "What padding costs",
            """
            Four sentences of 5, 128, 12 and 9 tokens are padded to one rectangle. What share of the tokens in
            it is padding, as a number from 0 to 1?
            """,
            padding_share,
        ),
        Choice(
            "same_bits",
            "The same bits on any number of threads",
            """
            Why do the matrix products of this project give the same bits whatever the number of threads?
            """,
            (
                "each number of the result is summed by one thread, in the order of k",
                "threads take turns with a lock",
                "sums are in float64 and rounded at the end",
                "the work is shared out by rows and columns of the result, never along k",
            ),
            "5b5b88996cbb9e00",
        ),
    ),
)
