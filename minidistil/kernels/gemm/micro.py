"""The micro-kernel: a tile of C so small that it stays in registers while k runs.

    C[m, n] (+)= sum_k A[k, m] B[k, n]        m < rows, n < vectors * lanes

For every k it loads the k-th row of B into a few vector registers, broadcasts one number of A after the
other, and multiplies and adds: rows * vectors fused multiply-adds for vectors + rows loads. With 14 x 2
registers of AVX-512 as accumulators the multiply-add unit never waits. Nobody can write that as a loop and
rely on the compiler to keep 28 accumulators in registers, so it is written instruction by instruction: one
generator for every size of tile and every instruction set.

The shape of the blocking around it follows Goto and van de Geijn 2008 ("Anatomy of High-Performance Matrix
Multiplication") and Van Zee and van de Geijn 2015 ("BLIS"); docs/gemm.md tells the story step by step.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from minidistil.kernels.engine.native import (
    I32,
    I64,
    LANES,
    MR,
    NR,
    READ_INTO_LEVEL_2,
    TARGET,
    VECTORS,
    back_edge,
    blocks,
    native,
    signature_of,
    vector_at,
)
from minidistil.kernels.gemm.operands import OPERANDS, Operands

PREFETCH_LINES = 64  # rows of B: the processor itself looks ahead only to the end of a page
WRITE = I32(1), I32(3), I32(1)  # write, keep in all caches, data


def tile(
    rows: int, vectors: int, a: Any, a_at: int, lda: int, b: Any, b_at: int, ldb: int,
    c: Any, c_at: int, ldc: int, k: int, accumulate: bool, bias: Any = None,
) -> None:  # fmt: skip
    """C (+)= A B + bias for one tile.

    Parameters
    ----------
    rows, vectors : int
        1 <= rows <= MR, 1 <= vectors <= VECTORS. The tile is rows x (vectors * LANES).
    a, b, c : flat arrays
    a_at, b_at, c_at : int
        Indices of A[0, 0], B[0, 0] and C[0, 0]. The bounds of the tile are not checked.
    lda, ldb, ldc : int
        Numbers from A[k, m] to A[k + 1, m], B[k, n] to B[k + 1, n], C[m, n] to C[m + 1, n]. Neighbours in m
        (of A) and in n (of B and C) touch.
    k : int
        At least 1.
    accumulate : bool
        Add to C instead of overwriting it.
    bias : flat array, optional
        At least vectors * LANES numbers, added to every row of the result while it is in registers.
    """
    columns = vectors * LANES
    for m in range(rows):
        row = c[c_at + m * ldc : c_at + m * ldc + columns]
        if not accumulate:
            row[:] = 0
        for i in range(k):
            factor, line = a[a_at + i * lda + m], b[b_at + i * ldb : b_at + i * ldb + columns]
            for n in range(columns):
                row[n] += factor * line[n]
        if bias is not None:
            for n in range(columns):
                row[n] += bias[n]


@native(plain=tile, numbers=OPERANDS, fastmath={"contract"})
def _tile(function: ir.Function, of: Operands) -> None:
    """A switch over all sizes of tiles."""
    builder = ir.IRBuilder(function.append_basic_block())
    rows, vectors, *rest = function.args
    end = function.append_basic_block("end")
    choice = builder.switch(builder.add(builder.mul(rows, I64(VECTORS)), vectors), end)
    for m in range(1, MR + 1):
        for n in range(1, VECTORS + 1):
            block = function.append_basic_block()
            choice.add_case(I64(m * VECTORS + n), block)
            builder.position_at_end(block)
            builder.call(_tile_of(function.module, f"{function.name}_{m}x{n}", of, m, n), rest)
            builder.branch(end)
    builder.position_at_end(end)
    builder.ret_void()


def _tile_of(module: ir.Module, name: str, of: Operands, rows: int, vectors: int) -> ir.Function:
    """void tile(a, lda, b, ldb, c, ldc, k, accumulate, bias) for one size of tile. Bias 0 is no bias."""
    function = ir.Function(module, signature_of(9), name)
    function.linkage = "internal"
    start, loop, done, add, store, end = blocks(function, "start", "loop", "done", "add", "store", "end")
    builder = ir.IRBuilder(start)
    a, lda, b, ldb, c, ldc, k, accumulate, bias = function.args
    zeros = builder.ptrtoint(_zeros(module, of), I64)
    bias = builder.select(builder.icmp_signed("!=", bias, I64(0)), bias, zeros)
    a, b = (builder.inttoptr(address, of.lane.as_pointer()) for address in (a, b))
    c, bias = (builder.inttoptr(address, of.sums.as_pointer()) for address in (c, bias))
    prefetch_type = ir.FunctionType(ir.VoidType(), [b.type, I32, I32, I32])
    prefetch = module.declare_intrinsic("llvm.prefetch.p0", (), prefetch_type)
    row = c
    for _ in range(rows):
        for n in range(vectors):
            builder.call(prefetch, [builder.gep(row, [I64(n * LANES)]), *WRITE])
        row = builder.gep(row, [ldc])
    builder.branch(loop)

    builder.position_at_end(loop)  # for k: sums[m][n] += broadcast(A[k, m]) * B[k, n-th vector]
    left, a_row, b_row = builder.phi(I64), builder.phi(a.type), builder.phi(b.type)
    total = ir.VectorType(of.sums, LANES)
    sums = [[builder.phi(total) for _ in range(vectors)] for _ in range(rows)]
    line = [builder.load(vector_at(builder, b_row, I64(n * LANES)), align=4) for n in range(vectors)]
    for n in range(vectors):
        ahead = builder.add(builder.mul(ldb, I64(PREFETCH_LINES)), I64(n * LANES))
        builder.call(prefetch, [builder.gep(b_row, [ahead]), *READ_INTO_LEVEL_2])
    undefined = ir.Constant(ir.VectorType(of.lane, LANES), ir.Undefined)
    everywhere = ir.Constant(ir.VectorType(I32, LANES), [0] * LANES)
    totals = []
    for m in range(rows):
        number = builder.load(builder.gep(a_row, [I64(m)]), align=4)
        first = builder.insert_element(undefined, number, I32(0))
        broadcast = builder.shuffle_vector(first, undefined, everywhere)
        totals.append([of.multiply_add(builder, broadcast, line[n], sums[m][n]) for n in range(vectors)])
    zero = ir.Constant(total, None)
    carried = (
        (a_row, a, builder.gep(a_row, [lda])),
        (b_row, b, builder.gep(b_row, [ldb])),
        *((sums[m][n], zero, totals[m][n]) for m in range(rows) for n in range(vectors)),
    )
    back_edge(builder, start, loop, done, left, k, carried)

    builder.position_at_end(done)
    added = [builder.load(vector_at(builder, bias, I64(n * LANES)), align=4) for n in range(vectors)]
    builder.cbranch(builder.icmp_signed("!=", accumulate, I64(0)), add, store)
    for block in (add, store):
        builder.position_at_end(block)
        row = c
        for m in range(rows):
            for n in range(vectors):
                place, result = vector_at(builder, row, I64(n * LANES)), totals[m][n]
                if block is add:
                    result = builder.fadd(builder.load(place, align=4), result)
                builder.store(builder.fadd(result, added[n]), place, align=4)
            row = builder.gep(row, [ldc])
        builder.branch(end)
    builder.position_at_end(end)
    builder.ret_void()
    return function


def _zeros(module: ir.Module, of: Operands) -> Any:
    """NR zeros: the bias of a product that has none."""
    name = f"minidistil_zeros_{of.sums}_{TARGET.name}"
    if name not in module.globals:
        zeros = ir.GlobalVariable(module, ir.ArrayType(of.sums, NR), name)
        zeros.linkage, zeros.global_constant = "internal", True
        zeros.initializer = ir.Constant(zeros.value_type, [0.0] * NR)
    return module.globals[name]
