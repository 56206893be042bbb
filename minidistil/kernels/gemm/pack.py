"""Packing: copies of A and B in the order in which the micro-kernel reads them.

A matrix that is read along its columns touches a new cache line, and soon a new page, with every number.
Packed, both operands are read from front to back:

    B  [K, N] -> panels [ceil(N / columns)] of [K, columns]    for the whole product, by all threads;
                                                               one at a time where there are few rows of A
    A  [M, K] -> panels of [K, lanes], `rows` of the lanes in use    a block of rows at a time, by its thread

Either operand may be stored by rows or transposed. If the packed order runs along the stored rows, packing is
a copy; if it runs across, blocks of lanes x lanes numbers are transposed in registers.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import overload

from minidistil.kernels.engine.compile import OPTIONS, exact
from minidistil.kernels.engine.native import (
    CACHE_LINE,
    COLUMNS,
    F32,
    I32,
    I64,
    LANES,
    PLAIN,
    READ_INTO_LEVEL_2,
    TARGET,
    VECTOR,
    go_round,
    native,
    signature_of,
    vector_at,
)  # fmt: skip
from minidistil.kernels.engine.parallel import run

Array = npt.NDArray[np.floating[Any]]


@native(6)
def _fast_transpose(module: ir.Module, name: str) -> ir.Function:
    """void transpose(source, step, rows, target, width, blocks), in vector registers; blocks >= 1."""
    function = ir.Function(module, signature_of(6), name)
    start, loop, end = (function.append_basic_block(n) for n in ("start", "loop", "end"))
    builder = ir.IRBuilder(start)
    source, step, rows, target, width, blocks = function.args
    source, target = (builder.inttoptr(address, F32.as_pointer()) for address in (source, target))
    last = builder.sub(rows, I64(1))
    lines = []
    for i in range(LANES):
        row = builder.select(builder.icmp_signed("<", I64(i), last), I64(i), last)
        lines.append(builder.gep(source, [builder.mul(row, step)]))
    builder.branch(loop)

    builder.position_at_end(loop)
    left, k, to = builder.phi(I64), builder.phi(I64), builder.phi(target.type)
    block = []
    for line in lines:
        block.append(builder.load(vector_at(builder, line, k), align=4))
    # Swap the off-diagonal quarters of the block, then those of its quarters, and so on: log2(LANES) rounds.
    distance = LANES // 2
    while distance:
        for i in range(LANES):
            if i & distance == 0:
                upper, lower = block[i], block[i + distance]
                first = [j if j & distance == 0 else LANES + j - distance for j in range(LANES)]
                second = [j + distance if j & distance == 0 else LANES + j for j in range(LANES)]
                for line, order in ((i, first), (i + distance, second)):
                    mask = ir.Constant(ir.VectorType(I32, LANES), order)
                    block[line] = builder.shuffle_vector(upper, lower, mask)
        distance //= 2
    place = to
    for j in range(LANES):
        builder.store(block[j], builder.bitcast(place, VECTOR.as_pointer()), align=4)
        place = builder.gep(place, [width])
    carried = (k, I64(0), builder.add(k, I64(LANES))), (to, target, place)
    go_round(builder, start, loop, end, left, blocks, carried)
    builder.position_at_end(end)
    builder.ret_void()
    return function


def transpose_blocks(
    source: Any, at: int, step: int, rows: int, target: Any, target_at: int, width: int, blocks: int
) -> None:
    """target[target_at + k * width + i] = source[at + i * step + k], i < LANES, k < blocks * LANES.

    The arrays are flat. Only `rows` >= 1 rows of the source are read; in place of the others the last one is
    repeated. There is at least one block.
    """
    for k in range(blocks * LANES):
        for i in range(LANES):
            target[target_at + k * width + i] = source[at + min(i, rows - 1) * step + k]


_plain_transpose = numba.njit(transpose_blocks, **OPTIONS)

overload(transpose_blocks, jit_options=OPTIONS)(
    lambda source, at, step, rows, target, target_at, width, blocks: (
        (
            lambda source, at, step, rows, target, target_at, width, blocks: _fast_transpose(
                (source.ctypes.data + 4 * at, step, rows, target.ctypes.data + 4 * target_at, width, blocks)
            )
        )
        if TARGET is not PLAIN and source.dtype == target.dtype == types.float32
        else (
            lambda source, at, step, rows, target, target_at, width, blocks: _plain_transpose(
                source, at, step, rows, target, target_at, width, blocks
            )
        )
    )
)


@exact
def pack_across(
    source: Array, at: int, step: int, rows: int, depth: int, packed: Array, begin: int, width: int
) -> None:
    """packed[begin + k * width + i] = source[at + i * step + k], i < rows <= LANES, k < depth.

    That is across the stored rows. What lies at rows <= i < LANES is undefined.
    """
    blocks = depth // LANES
    if blocks:
        transpose_blocks(source, at, step, rows, packed, begin, width, blocks)
    for k in range(blocks * LANES, depth):
        for i in range(rows):
            packed[begin + k * width + i] = source[at + i * step + k]


@native(6)
def _copy_lines(module: ir.Module, name: str) -> ir.Function:
    """void copy(source, step, depth, target, width, vectors): `vectors` registers of `depth` >= 1 lines."""
    function = ir.Function(module, signature_of(6), name)
    start, line, vector_, next_, end = (
        function.append_basic_block(n) for n in ("start", "line", "vector", "next", "end")
    )
    builder = ir.IRBuilder(start)
    source, step, depth, target, width, vectors = function.args
    source, target = (builder.inttoptr(address, F32.as_pointer()) for address in (source, target))
    builder.branch(line)
    builder.position_at_end(line)
    left, from_, to = builder.phi(I64), builder.phi(source.type), builder.phi(target.type)
    builder.branch(vector_)
    builder.position_at_end(vector_)
    v = builder.phi(I64)
    at = builder.mul(v, I64(LANES))
    builder.store(builder.load(vector_at(builder, from_, at), align=4), vector_at(builder, to, at), align=4)
    more = builder.add(v, I64(1))
    builder.cbranch(builder.icmp_signed("<", more, vectors), vector_, next_)
    builder.position_at_end(next_)
    v.add_incoming(I64(0), line)
    v.add_incoming(more, vector_)
    carried = (from_, source, builder.gep(from_, [step])), (to, target, builder.gep(to, [width]))
    go_round(builder, start, line, end, left, depth, carried)
    builder.position_at_end(end)
    builder.ret_void()
    return function


def copy_lines(
    source: Any, at: int, step: int, depth: int, target: Any, target_at: int, width: int, vectors: int
) -> None:
    """target[target_at + k * width + j] = source[at + k * step + j] for k < depth, j < vectors * LANES."""
    for k in range(depth):
        for j in range(vectors * LANES):
            target[target_at + k * width + j] = source[at + k * step + j]


_plain_copy = numba.njit(copy_lines, **OPTIONS)

overload(copy_lines, jit_options=OPTIONS)(
    lambda source, at, step, depth, target, target_at, width, vectors: (
        (
            lambda source, at, step, depth, target, target_at, width, vectors: _copy_lines(
                (source.ctypes.data + 4 * at, step, depth, target.ctypes.data + 4 * target_at, width, vectors)
            )
        )
        if TARGET is not PLAIN and source.dtype == target.dtype == types.float32
        else (
            lambda source, at, step, depth, target, target_at, width, vectors: _plain_copy(
                source, at, step, depth, target, target_at, width, vectors
            )
        )
    )
)


@native(4)
def _ask_for_rows(module: ir.Module, name: str) -> ir.Function:
    """void ask(address, step, rows, size): all in bytes but `rows` >= 1."""
    function = ir.Function(module, signature_of(4), name)
    start, line, next_, end = (function.append_basic_block(n) for n in ("start", "line", "next", "end"))
    builder = ir.IRBuilder(start)
    address, step, rows, size = function.args
    place = F32.as_pointer()
    type_ = ir.FunctionType(ir.VoidType(), [place, I32, I32, I32])
    prefetch = module.declare_intrinsic("llvm.prefetch.p0", (), type_)
    builder.branch(line)
    builder.position_at_end(line)
    row, at, left = builder.phi(I64), builder.phi(I64), builder.phi(I64)
    builder.call(prefetch, [builder.inttoptr(builder.add(row, at), place), *READ_INTO_LEVEL_2])
    more = builder.add(at, I64(CACHE_LINE))
    builder.cbranch(builder.icmp_signed("<", more, size), line, next_)
    builder.position_at_end(next_)
    for phi, within in ((row, row), (at, more), (left, left)):
        phi.add_incoming(within, line)
    carried = (row, address, builder.add(row, step)), (at, I64(0), I64(0))
    go_round(builder, start, line, end, left, rows, carried)
    builder.position_at_end(end)
    builder.ret_void()
    return function


def prefetch_rows(x: Any, at: int, step: int, rows: int, columns: int) -> None:
    """Ask for x[at + i * step : ... + columns], i < rows, to be in the cache soon. Changes nothing else."""


_no_prefetch = numba.njit(prefetch_rows, **OPTIONS)

overload(prefetch_rows, jit_options=OPTIONS)(
    lambda x, at, step, rows, columns: (
        (
            lambda x, at, step, rows, columns: _ask_for_rows(
                (x.ctypes.data + 4 * at, 4 * step, rows, 4 * columns)
            )
        )
        if TARGET is not PLAIN and x.dtype == types.float32
        else (lambda x, at, step, rows, columns: _no_prefetch(x, at, step, rows, columns))
    )
)


@exact
def pack_along(
    source: Array, column: int, columns: int, step: int, k0: int, k1: int,
    packed: Array, begin: int, width: int,
) -> None:  # fmt: skip
    """packed[begin + (k - k0) * width + j] = source[k * step + column + j], j < columns <= width.

    That is along the stored rows of `step` numbers. What lies at columns <= j < width is undefined.
    """
    vectors = (columns + LANES - 1) // LANES
    if column + vectors * LANES <= step:  # whole registers, whatever the last of them holds
        copy_lines(source, k0 * step + column, step, k1 - k0, packed, begin, width, vectors)
        return
    for k in range(k0, k1):
        for j in range(columns):
            packed[begin + (k - k0) * width + j] = source[k * step + column + j]


@exact
def pack_panel(
    b: Array, transposed: bool, panel: int, k0: int, k1: int, packed: Array, begin: int
) -> None:  # fmt: skip
    """Lines k0 <= k < k1 of a panel of B: packed[begin + (k - k0) * COLUMNS + j] = B[k, panel * COLUMNS + j].

    Columns past N hold nothing of meaning; what is computed with them is thrown away.
    """
    flat, first = b.reshape(-1), panel * COLUMNS
    step = b.shape[1]
    columns = min(COLUMNS, (b.shape[0] if transposed else step) - first)
    if not transposed:
        pack_along(flat, first, columns, step, k0, k1, packed, begin, COLUMNS)
        return
    for j in range(0, columns, LANES):
        rows = min(LANES, columns - j)
        pack_across(flat, (first + j) * step + k0, step, rows, k1 - k0, packed, begin + j, COLUMNS)


@exact
def _pack_panels(b: Array, transposed: bool, packed: Array, start: int, stop: int) -> None:
    K = b.shape[1] if transposed else b.shape[0]
    for panel in range(start, stop):
        pack_panel(b, transposed, panel, 0, K, packed, panel * K * COLUMNS)


@exact
def pack_panels(pool: Any, b: Array, transposed: bool, packed: Array) -> None:
    """B into panels: `packed` has ceil(N / COLUMNS) * K * COLUMNS numbers.

    Parameters
    ----------
    pool : state of the thread pool
    b : float32 [K, N], or [N, K] if `transposed`
    packed : float32 [panels * K * COLUMNS]
    """
    N = b.shape[0] if transposed else b.shape[1]
    run(pool, _pack_panels, (b, transposed, packed), (N + COLUMNS - 1) // COLUMNS, 1)
