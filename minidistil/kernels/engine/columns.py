"""Down the columns of a narrow matrix, as a softmax over keys runs: its maxima, its sums, a row off each row.

A column is a lane: a row is LANES or COLUMNS numbers, one vector register or two. GROUP numbers, the rows of
eight registers, are taken at a time, so that no register waits for the result before. No compiler keeps
those registers through a loop of rows, so these loops are written instruction by instruction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import overload

from minidistil.kernels.engine.compile import OPTIONS
from minidistil.kernels.engine.native import (
    F32,
    I64,
    LANES,
    PLAIN,
    TARGET,
    VECTOR,
    go_round,
    native,
    signature_of,
    vector_at,
)  # fmt: skip

Array = npt.NDArray[np.floating[Any]]

REGISTERS = 8
GROUP = REGISTERS * LANES  # the matrix is filled up to a multiple of it, with what changes no result


def _places(builder: ir.IRBuilder, base: Any) -> list[Any]:
    """Where the vectors of a group are."""
    return [vector_at(builder, base, I64(v * LANES)) for v in range(REGISTERS)]


def _fold(
    module: ir.Module, name: str, neutral: float, combine: Callable[[ir.IRBuilder, Any, Any], Any]
) -> ir.Function:
    """void fold(x, groups, width, out): the result of each column, again and again through a group."""
    function = ir.Function(module, signature_of(4), name)
    start, loop, done = (function.append_basic_block(n) for n in ("start", "loop", "done"))
    builder = ir.IRBuilder(start)
    x, groups, width, out = function.args
    x, out = (builder.inttoptr(address, F32.as_pointer()) for address in (x, out))
    builder.branch(loop)

    builder.position_at_end(loop)
    left, group = builder.phi(I64), builder.phi(x.type)
    before = [builder.phi(VECTOR) for _ in range(REGISTERS)]
    after = [
        combine(builder, result, builder.load(place, align=4))
        for result, place in zip(before, _places(builder, group), strict=True)
    ]
    first = ir.Constant(VECTOR, [neutral] * LANES)
    carried = (
        (group, x, builder.gep(group, [I64(GROUP)])),
        *((result, first, later) for result, later in zip(before, after, strict=True)),
    )
    go_round(builder, start, loop, done, left, groups, carried)

    builder.position_at_end(done)
    while len(after) > 2:
        half = len(after) // 2
        after = [combine(builder, after[v], after[v + half]) for v in range(half)]
    one = builder.icmp_signed("==", width, I64(LANES))
    both = combine(builder, *after)
    for v, place in enumerate(_places(builder, out)):
        builder.store(builder.select(one, both, after[v % 2]), place, align=4)
    builder.ret_void()
    return function


@native(4)
def _fast_maxima(module: ir.Module, name: str) -> ir.Function:
    def larger(builder: ir.IRBuilder, x: Any, y: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", y, x), y, x)

    return _fold(module, name, -np.inf, larger)


@native(4)
def _fast_sums(module: ir.Module, name: str) -> ir.Function:
    return _fold(module, name, 0.0, lambda builder, x, y: builder.fadd(x, y))


def _each_row(module: ir.Module, name: str, combine: Callable[[ir.IRBuilder, Any, Any], Any]) -> ir.Function:
    """void each_row(x, groups, row): x becomes combine(x, row)."""
    function = ir.Function(module, signature_of(3), name)
    start, loop, end = (function.append_basic_block(n) for n in ("start", "loop", "end"))
    builder = ir.IRBuilder(start)
    x, groups, row = function.args
    x, row = (builder.inttoptr(address, F32.as_pointer()) for address in (x, row))
    values = [builder.load(place, align=4) for place in _places(builder, row)]
    builder.branch(loop)
    builder.position_at_end(loop)
    left, group = builder.phi(I64), builder.phi(x.type)
    for place, value in zip(_places(builder, group), values, strict=True):
        builder.store(combine(builder, builder.load(place, align=4), value), place, align=4)
    go_round(builder, start, loop, end, left, groups, [(group, x, builder.gep(group, [I64(GROUP)]))])
    builder.position_at_end(end)
    builder.ret_void()
    return function


@native(3)
def _fast_subtract(module: ir.Module, name: str) -> ir.Function:
    return _each_row(module, name, lambda builder, x, y: builder.fsub(x, y))


@native(3)
def _fast_multiply(module: ir.Module, name: str) -> ir.Function:
    return _each_row(module, name, lambda builder, x, y: builder.fmul(x, y))


def column_maxima(x: Any, size: int, width: int, out: Any) -> None:
    """out[c] = max_r x[r * width + c] for r < size / width, and again and again through GROUP numbers of out.

    Both are flat. `size` is a multiple of GROUP, above 0; `width` is LANES or COLUMNS. A NaN is not above
    anything: it is left out.
    """
    for c in range(width):
        out[c] = -np.inf
        for i in range(c, size, width):
            out[c] = x[i] if x[i] > out[c] else out[c]
    for c in range(width, GROUP):
        out[c] = out[c - width]


def column_sums(x: Any, size: int, width: int, out: Any) -> None:
    """out[c] = sum_r x[r * width + c], otherwise like `column_maxima`."""
    for c in range(width):
        out[c] = 0
        for i in range(c, size, width):
            out[c] += x[i]
    for c in range(width, GROUP):
        out[c] = out[c - width]


def subtract_row(x: Any, size: int, row: Any) -> None:
    """x[i] -= row[i % GROUP] for i < size, which is a multiple of GROUP above 0: see `column_maxima`."""
    for g in range(0, size, GROUP):
        for c in range(GROUP):
            x[g + c] -= row[c]


def multiply_row(x: Any, size: int, row: Any) -> None:
    """x[i] *= row[i % GROUP], otherwise like `subtract_row`."""
    for g in range(0, size, GROUP):
        for c in range(GROUP):
            x[g + c] *= row[c]


def _fast(*arrays: Any) -> bool:
    return TARGET is not PLAIN and all(array.dtype == types.float32 for array in arrays)


def _overload_fold(function: Any, native_function: Any) -> None:
    plain = numba.njit(function, **OPTIONS)
    overload(function, jit_options=OPTIONS)(
        lambda x, size, width, out: (
            (
                lambda x, size, width, out: native_function(
                    (x.ctypes.data, size // GROUP, width, out.ctypes.data)
                )
            )
            if _fast(x, out)
            else (lambda x, size, width, out: plain(x, size, width, out))
        )
    )


def _overload_each_row(function: Any, native_function: Any) -> None:
    plain = numba.njit(function, **OPTIONS)
    overload(function, jit_options=OPTIONS)(
        lambda x, size, row: (
            (lambda x, size, row: native_function((x.ctypes.data, size // GROUP, row.ctypes.data)))
            if _fast(x, row)
            else (lambda x, size, row: plain(x, size, row))
        )
    )


_overload_fold(column_maxima, _fast_maxima)
_overload_fold(column_sums, _fast_sums)
_overload_each_row(subtract_row, _fast_subtract)
_overload_each_row(multiply_row, _fast_multiply)
