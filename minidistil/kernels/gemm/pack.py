"""Packing: copies of A and B in the order in which the micro-kernel reads them.

A matrix that is read along its columns touches a new cache line, and soon a new page, with every number.
Packed, both operands are read from front to back:

    B  [K, N] -> micro-panels [K, NR]                       for the whole product, by all threads;
                                                            one at a time where there are few rows of A
    A  [M, K] -> micro-panels [K, LANES], MR lanes in use   a block of rows at a time, by its thread

Either operand may be stored by rows or transposed. If the packed order runs along the stored rows, packing is
a copy; if it runs across, blocks of lanes x lanes numbers are transposed in registers.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from minidistil.arrays import Array
from minidistil.kernels.engine.compile import strict
from minidistil.kernels.engine.native import (
    CACHE_LINE,
    I32,
    I64,
    LANES,
    NR,
    READ_INTO_LEVEL_2,
    back_edge,
    blocks,
    native,
    vector_at,
)
from minidistil.kernels.engine.parallel import run
from minidistil.kernels.gemm.operands import OPERANDS, Operands


def transpose_blocks(
    source: Any, source_at: int, step: int, rows: int, target: Any, target_at: int, width: int, blocks: int
) -> None:
    """target[target_at + k * width + i] = source[source_at + i * step + k], i < LANES, k < blocks * LANES.

    The arrays are flat. Only `rows` >= 1 rows of the source are read; in place of the others the last one is
    repeated. There is at least one block.
    """
    for k in range(blocks * LANES):
        for i in range(LANES):
            target[target_at + k * width + i] = source[source_at + min(i, rows - 1) * step + k]


@native(plain=transpose_blocks, numbers=OPERANDS)
def _transpose(function: ir.Function, of: Operands) -> None:
    """The same in vector registers."""
    start, loop, end = blocks(function, "start", "loop", "end")
    builder = ir.IRBuilder(start)
    source, step, rows, target, width, count = function.args
    source, target = (builder.inttoptr(address, of.lane.as_pointer()) for address in (source, target))
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
        builder.store(block[j], vector_at(builder, place), align=4)
        place = builder.gep(place, [width])
    carried = (k, I64(0), builder.add(k, I64(LANES))), (to, target, place)
    back_edge(builder, start, loop, end, left, count, carried)
    builder.position_at_end(end)
    builder.ret_void()


@strict
def pack_transposed(
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


def copy_lines(
    source: Any, source_at: int, step: int, depth: int, target: Any, target_at: int, width: int, vectors: int
) -> None:
    """target[target_at + k * width + j] = source[source_at + k * step + j], j < vectors * LANES, k < depth.

    `depth` is at least 1.
    """
    for k in range(depth):
        for j in range(vectors * LANES):
            target[target_at + k * width + j] = source[source_at + k * step + j]


@native(plain=copy_lines, numbers=OPERANDS)
def _copy(function: ir.Function, of: Operands) -> None:
    """A register at a time."""
    start, line, vector_, next_, end = blocks(function, "start", "line", "vector", "next", "end")
    builder = ir.IRBuilder(start)
    source, step, depth, target, width, vectors = function.args
    source, target = (builder.inttoptr(address, of.lane.as_pointer()) for address in (source, target))
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
    back_edge(builder, start, line, end, left, depth, carried)
    builder.position_at_end(end)
    builder.ret_void()


def prefetch_rows(x: Any, x_at: int, step: int, rows: int, columns: int) -> None:
    """Ask for x[x_at + i * step : ... + columns], i < rows, to be in the cache soon. Changes nothing else."""


@native(plain=prefetch_rows)
def _prefetch(function: ir.Function, number: ir.Type) -> None:
    """A cache line at a time; rows >= 1."""
    start, line, next_, end = blocks(function, "start", "line", "next", "end")
    builder = ir.IRBuilder(start)
    address, step, rows, columns = function.args
    place = number.as_pointer()
    number_size = builder.ptrtoint(builder.gep(ir.Constant(place, None), [I64(1)]), I64)
    step, size = (builder.mul(n, number_size) for n in (step, columns))
    type_ = ir.FunctionType(ir.VoidType(), [place, I32, I32, I32])
    prefetch = function.module.declare_intrinsic("llvm.prefetch.p0", (), type_)
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
    back_edge(builder, start, line, end, left, rows, carried)
    builder.position_at_end(end)
    builder.ret_void()


@strict
def pack_contiguous(
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


@strict
def pack_panel(
    b: Array, transposed: bool, panel: int, k0: int, k1: int, packed: Array, begin: int
) -> None:  # fmt: skip
    """Lines k0 <= k < k1 of a panel of B: packed[begin + (k - k0) * NR + j] = B[k, panel * NR + j].

    Columns past N hold nothing of meaning; what is computed with them is thrown away.
    """
    flat, first = b.reshape(-1), panel * NR
    step = b.shape[1]
    columns = min(NR, (b.shape[0] if transposed else step) - first)
    if not transposed:
        pack_contiguous(flat, first, columns, step, k0, k1, packed, begin, NR)
        return
    for j in range(0, columns, LANES):
        rows = min(LANES, columns - j)
        pack_transposed(flat, (first + j) * step + k0, step, rows, k1 - k0, packed, begin + j, NR)


@strict
def _pack_panels(b: Array, transposed: bool, packed: Array, start: int, stop: int) -> None:
    K = b.shape[1] if transposed else b.shape[0]
    for panel in range(start, stop):
        pack_panel(b, transposed, panel, 0, K, packed, panel * K * NR)


@strict
def pack_panels(pool: Any, b: Array, transposed: bool, packed: Array) -> None:
    """B into panels: `packed` has ceil(N / NR) * K * NR numbers.

    Parameters
    ----------
    pool : state of the thread pool
    b : float32 [K, N], or [N, K] if `transposed`
    packed : float32 [panels * K * NR]
    """
    N = b.shape[0] if transposed else b.shape[1]
    run(pool, _pack_panels, (b, transposed, packed), (N + NR - 1) // NR, 1)
