"""Diagonals of a narrow matrix: a number added to each, and the sum of each.

Rows are keys, columns are queries, and a diagonal is a distance. As in `engine.columns` a row is LANES or
NR numbers, one vector register or two. Number c of row r belongs to line[at - r + c]: a row of the matrix
lies along the line, and the next row one place before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from minidistil.kernels.engine.native import I32, I64, LANES, VECTORS, back_edge, blocks, native, vector_at

# (builder, the block that leads to the loop, registers of a row, x, rows, line)
Loop = Callable[[ir.IRBuilder, Any, int, Any, Any, Any], None]


def _by_width(function: ir.Function, number: ir.Type, loop: Loop) -> None:
    """Write a loop for rows of one register and one for rows of two: (x, rows, width, line)."""
    start, end = blocks(function, "start", "end")
    builder = ir.IRBuilder(start)
    x, rows, width, line = function.args
    x, line = (builder.inttoptr(address, number.as_pointer()) for address in (x, line))
    narrow, wide = blocks(function, "narrow", "wide")
    builder.cbranch(builder.icmp_signed("==", width, I64(LANES)), narrow, wide)
    for entry, registers in ((narrow, 1), (wide, VECTORS)):
        builder.position_at_end(entry)
        loop(builder, entry, registers, x, rows, line)
        builder.branch(end)
    builder.position_at_end(end)
    builder.ret_void()


def _places(builder: ir.IRBuilder, base: Any, registers: int) -> list[Any]:
    """Pointers to the vectors of a row."""
    return [vector_at(builder, base, I64(v * LANES)) for v in range(registers)]


def add_diagonals(x: Any, rows: int, width: int, line: Any, line_at: int) -> None:
    """x[r * width + c] += line[line_at - r + c], r < rows, c < width.

    Both are flat. There is at least one row; `width` is LANES or NR.
    """
    for r in range(rows):
        for c in range(width):
            x[r * width + c] += line[line_at - r + c]


@native(plain=add_diagonals)
def _add(function: ir.Function, number: ir.Type) -> None:
    def loop(builder: ir.IRBuilder, entry: Any, registers: int, x: Any, rows: Any, line: Any) -> None:
        loop, done = blocks(function, "loop", "done")
        builder.branch(loop)
        builder.position_at_end(loop)
        left, row, along = builder.phi(I64), builder.phi(x.type), builder.phi(line.type)
        for place, from_ in zip(
            _places(builder, row, registers), _places(builder, along, registers), strict=True
        ):
            both = builder.fadd(builder.load(place, align=4), builder.load(from_, align=4))
            builder.store(both, place, align=4)
        next_row, before = builder.gep(row, [I64(registers * LANES)]), builder.gep(along, [I64(-1)])
        back_edge(builder, entry, loop, done, left, rows, ((row, x, next_row), (along, line, before)))
        builder.position_at_end(done)

    _by_width(function, number, loop)


def sum_diagonals(x: Any, rows: int, width: int, line: Any, line_at: int) -> None:
    """line[line_at - r + c] += x[r * width + c], otherwise like `add_diagonals`.

    There is room from line[line_at - rows] on.
    """
    for r in range(rows):
        for c in range(width):
            line[line_at - r + c] += x[r * width + c]


@native(plain=sum_diagonals)
def _sum(function: ir.Function, number: ir.Type) -> None:
    """The sums move through the registers, a lane a row, and leave them at the end of their diagonal.

    (In memory each row would overlap what the row before it has just written, and wait for it.)
    """
    vector = ir.VectorType(number, LANES)
    zeros = ir.Constant(vector, [0.0] * LANES)
    moved = ir.Constant(ir.VectorType(I32, LANES), list(range(LANES - 1, 2 * LANES - 1)))

    def loop(builder: ir.IRBuilder, entry: Any, registers: int, x: Any, rows: Any, line: Any) -> None:
        loop, done = blocks(function, "loop", "done")
        builder.branch(loop)
        builder.position_at_end(loop)
        left, row, along = builder.phi(I64), builder.phi(x.type), builder.phi(line.type)
        begun = [builder.phi(vector) for _ in range(registers)]
        sums = [
            builder.fadd(sum_, builder.load(place, align=4))
            for sum_, place in zip(begun, _places(builder, row, registers), strict=True)
        ]
        end = builder.gep(along, [I64(registers * LANES - 1)])
        last = builder.extract_element(sums[-1], I32(LANES - 1))
        builder.store(builder.fadd(builder.load(end), last), end)
        sums = [
            builder.shuffle_vector(lower, upper, moved)
            for lower, upper in zip([zeros, *sums], sums, strict=False)
        ]
        next_row, before = builder.gep(row, [I64(registers * LANES)]), builder.gep(along, [I64(-1)])
        carried = [(row, x, next_row), (along, line, before)]
        carried += [(phi, zeros, later) for phi, later in zip(begun, sums, strict=True)]
        back_edge(builder, entry, loop, done, left, rows, carried)
        builder.position_at_end(done)
        for sum_, place in zip(sums, _places(builder, before, registers), strict=True):
            builder.store(builder.fadd(builder.load(place, align=4), sum_), place, align=4)

    _by_width(function, number, loop)
