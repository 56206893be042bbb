"""Columns of a narrow matrix, as in a softmax over keys: maxima, sums, each row combined with another.

A column is a lane: a row is LANES or NR numbers, one vector register or two. GROUP numbers, the rows of
eight registers, are taken at a time, so that no register waits for the result before. No compiler keeps
those registers through a loop of rows, so these loops are written instruction by instruction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from minidistil.kernels.engine.native import I64, LANES, back_edge, blocks, native, vector_at

REGISTERS = 8
GROUP = REGISTERS * LANES  # the matrix is filled up to a multiple of it, with what changes no result


def _places(builder: ir.IRBuilder, base: Any) -> list[Any]:
    """Pointers to the vectors of a group."""
    return [vector_at(builder, base, I64(v * LANES)) for v in range(REGISTERS)]


Combine = Callable[[ir.IRBuilder, Any, Any], Any]


def _fold(function: ir.Function, number: ir.Type, neutral: float, combine: Combine) -> None:
    """The result of each column, again and again through a group: (x, size, width, out)."""
    start, loop, done = blocks(function, "start", "loop", "done")
    builder = ir.IRBuilder(start)
    x, size, width, out = function.args
    x, out = (builder.inttoptr(address, number.as_pointer()) for address in (x, out))
    vector, groups = ir.VectorType(number, LANES), builder.sdiv(size, I64(GROUP))
    builder.branch(loop)

    builder.position_at_end(loop)
    left, group = builder.phi(I64), builder.phi(x.type)
    before = [builder.phi(vector) for _ in range(REGISTERS)]
    after = [
        combine(builder, result, builder.load(place, align=4))
        for result, place in zip(before, _places(builder, group), strict=True)
    ]
    first = ir.Constant(vector, [neutral] * LANES)
    carried = (
        (group, x, builder.gep(group, [I64(GROUP)])),
        *((result, first, later) for result, later in zip(before, after, strict=True)),
    )
    back_edge(builder, start, loop, done, left, groups, carried)

    builder.position_at_end(done)
    while len(after) > 2:
        half = len(after) // 2
        after = [combine(builder, after[v], after[v + half]) for v in range(half)]
    one = builder.icmp_signed("==", width, I64(LANES))
    both = combine(builder, *after)
    for v, place in enumerate(_places(builder, out)):
        builder.store(builder.select(one, both, after[v % 2]), place, align=4)
    builder.ret_void()


def _each_row(function: ir.Function, number: ir.Type, combine: Combine) -> None:
    """x becomes combine(x, row): (x, size, row)."""
    start, loop, end = blocks(function, "start", "loop", "end")
    builder = ir.IRBuilder(start)
    x, size, row = function.args
    x, row = (builder.inttoptr(address, number.as_pointer()) for address in (x, row))
    groups = builder.sdiv(size, I64(GROUP))
    values = [builder.load(place, align=4) for place in _places(builder, row)]
    builder.branch(loop)
    builder.position_at_end(loop)
    left, group = builder.phi(I64), builder.phi(x.type)
    for place, value in zip(_places(builder, group), values, strict=True):
        builder.store(combine(builder, builder.load(place, align=4), value), place, align=4)
    back_edge(builder, start, loop, end, left, groups, [(group, x, builder.gep(group, [I64(GROUP)]))])
    builder.position_at_end(end)
    builder.ret_void()


def column_maxima(x: Any, size: int, width: int, out: Any) -> None:
    """out[c] = max_r x[r * width + c] for r < size / width, and again and again through GROUP numbers of out.

    Both are flat. `size` is a multiple of GROUP, above 0; `width` is LANES or NR. A NaN is not above
    anything: it is left out.
    """
    for c in range(width):
        out[c] = -np.inf
        for i in range(c, size, width):
            out[c] = x[i] if x[i] > out[c] else out[c]
    for c in range(width, GROUP):
        out[c] = out[c - width]


@native(plain=column_maxima)
def _maxima(function: ir.Function, number: ir.Type) -> None:
    def larger(builder: ir.IRBuilder, x: Any, y: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", y, x), y, x)

    _fold(function, number, -np.inf, larger)


def column_sums(x: Any, size: int, width: int, out: Any) -> None:
    """out[c] = sum_r x[r * width + c], otherwise like `column_maxima`."""
    for c in range(width):
        out[c] = 0
        for i in range(c, size, width):
            out[c] += x[i]
    for c in range(width, GROUP):
        out[c] = out[c - width]


@native(plain=column_sums)
def _sums(function: ir.Function, number: ir.Type) -> None:
    _fold(function, number, 0.0, ir.IRBuilder.fadd)


def subtract_row(x: Any, size: int, row: Any) -> None:
    """x[i] -= row[i % GROUP] for i < size, which is a multiple of GROUP above 0: see `column_maxima`."""
    for g in range(0, size, GROUP):
        for c in range(GROUP):
            x[g + c] -= row[c]


@native(plain=subtract_row)
def _subtract(function: ir.Function, number: ir.Type) -> None:
    _each_row(function, number, ir.IRBuilder.fsub)


def multiply_row(x: Any, size: int, row: Any) -> None:
    """x[i] *= row[i % GROUP], otherwise like `subtract_row`."""
    for g in range(0, size, GROUP):
        for c in range(GROUP):
            x[g + c] *= row[c]


@native(plain=multiply_row)
def _multiply(function: ir.Function, number: ir.Type) -> None:
    _each_row(function, number, ir.IRBuilder.fmul)
