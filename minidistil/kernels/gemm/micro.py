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

import numba
from llvmlite import ir
from numba import types
from numba.extending import overload

from minidistil.kernels.engine.compile import OPTIONS
from minidistil.kernels.engine.native import (
    COLUMNS,
    F32,
    I32,
    I64,
    LANES,
    PLAIN,
    READ_INTO_LEVEL_2,
    ROWS,
    TARGET,
    VECTOR,
    VECTORS,
    go_round,
    native,
    signature_of,
    vector_at,
)  # fmt: skip

AHEAD = 64  # rows of B: the processor itself looks ahead only to the end of a page
WRITE = I32(1), I32(3), I32(1)  # write, keep in all caches, data


def _zeros(module: ir.Module) -> Any:
    """COLUMNS zeros: the bias of a product that has none."""
    name = f"minidistil_zeros_{TARGET.name}"
    if name not in module.globals:
        zeros = ir.GlobalVariable(module, ir.ArrayType(F32, COLUMNS), name)
        zeros.linkage, zeros.global_constant = "internal", True
        zeros.initializer = ir.Constant(zeros.value_type, [0.0] * COLUMNS)
    return module.globals[name]


def _tile_of(module: ir.Module, name: str, rows: int, vectors: int) -> ir.Function:
    """void tile(a, lda, b, ldb, c, ldc, k, accumulate, bias) for one size of tile. Bias 0 is no bias."""
    function = ir.Function(module, signature_of(9), name)
    function.linkage = "internal"
    start, loop, done, add, store, end = (
        function.append_basic_block(n) for n in ("start", "loop", "done", "add", "store", "end")
    )
    builder = ir.IRBuilder(start)
    a, lda, b, ldb, c, ldc, k, accumulate, bias = function.args
    zeros = builder.ptrtoint(_zeros(module), I64)
    bias = builder.select(builder.icmp_signed("!=", bias, I64(0)), bias, zeros)
    a, b, c, bias = (builder.inttoptr(address, F32.as_pointer()) for address in (a, b, c, bias))
    prefetch_type = ir.FunctionType(ir.VoidType(), [b.type, I32, I32, I32])
    prefetch = module.declare_intrinsic("llvm.prefetch.p0", (), prefetch_type)
    row = c
    for _ in range(rows):
        for n in range(vectors):
            builder.call(prefetch, [builder.gep(row, [I64(n * LANES)]), *WRITE])
        row = builder.gep(row, [ldc])
    builder.branch(loop)

    builder.position_at_end(loop)  # for k: sums[m][n] += broadcast(A[k, m]) * B[k, n-th vector]
    fma = module.declare_intrinsic(f"llvm.fma.v{LANES}f32", (), ir.FunctionType(VECTOR, [VECTOR] * 3))
    left, a_row, b_row = builder.phi(I64), builder.phi(a.type), builder.phi(b.type)
    sums = [[builder.phi(VECTOR) for _ in range(vectors)] for _ in range(rows)]
    line = [builder.load(vector_at(builder, b_row, I64(n * LANES)), align=4) for n in range(vectors)]
    for n in range(vectors):
        ahead = builder.add(builder.mul(ldb, I64(AHEAD)), I64(n * LANES))
        builder.call(prefetch, [builder.gep(b_row, [ahead]), *READ_INTO_LEVEL_2])
    undefined = ir.Constant(VECTOR, ir.Undefined)
    everywhere = ir.Constant(ir.VectorType(I32, LANES), [0] * LANES)
    totals = []
    for m in range(rows):
        number = builder.load(builder.gep(a_row, [I64(m)]), align=4)
        first = builder.insert_element(undefined, number, I32(0))
        broadcast = builder.shuffle_vector(first, undefined, everywhere)
        totals.append([builder.call(fma, [broadcast, line[n], sums[m][n]]) for n in range(vectors)])
    zero = ir.Constant(VECTOR, None)
    carried = (
        (a_row, a, builder.gep(a_row, [lda])),
        (b_row, b, builder.gep(b_row, [ldb])),
        *((sums[m][n], zero, totals[m][n]) for m in range(rows) for n in range(vectors)),
    )
    go_round(builder, start, loop, done, left, k, carried)

    builder.position_at_end(done)
    added = [builder.load(vector_at(builder, bias, I64(n * LANES)), align=4) for n in range(vectors)]
    builder.cbranch(builder.icmp_signed("!=", accumulate, I64(0)), add, store)
    for block in (add, store):
        builder.position_at_end(block)
        row = c
        for m in range(rows):
            for n in range(vectors):
                place, total = vector_at(builder, row, I64(n * LANES)), totals[m][n]
                if block is add:
                    total = builder.fadd(builder.load(place, align=4), total)
                builder.store(builder.fadd(total, added[n]), place, align=4)
            row = builder.gep(row, [ldc])
        builder.branch(end)
    builder.position_at_end(end)
    builder.ret_void()
    return function


@native(11)
def _fast_tile(module: ir.Module, name: str) -> ir.Function:
    """void tile(rows, vectors, a, lda, b, ldb, c, ldc, k, accumulate, bias): a switch over all sizes."""
    function = ir.Function(module, signature_of(11), name)
    builder = ir.IRBuilder(function.append_basic_block())
    rows, vectors, *rest = function.args
    end = function.append_basic_block("end")
    choice = builder.switch(builder.add(builder.mul(rows, I64(VECTORS)), vectors), end)
    for m in range(1, ROWS + 1):
        for n in range(1, VECTORS + 1):
            block = function.append_basic_block()
            choice.add_case(I64(m * VECTORS + n), block)
            builder.position_at_end(block)
            builder.call(_tile_of(module, f"{name}_{m}x{n}", m, n), rest)
            builder.branch(end)
    builder.position_at_end(end)
    builder.ret_void()
    return function


def tile(
    rows: int, vectors: int, a: Any, a_at: int, lda: int, b: Any, b_at: int, ldb: int,
    c: Any, c_at: int, ldc: int, k: int, accumulate: bool, bias: Any = None,
) -> None:  # fmt: skip
    """C (+)= A B + bias for one tile.

    Parameters
    ----------
    rows, vectors : int
        1 <= rows <= ROWS, 1 <= vectors <= VECTORS. The tile is rows x (vectors * LANES).
    a, b, c : flat arrays
    a_at, b_at, c_at : int
        Where A[0, 0], B[0, 0] and C[0, 0] are. Nobody checks that the tile lies inside.
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


_plain_tile = numba.njit(tile, fastmath={"contract"}, **OPTIONS)


def _address(x: Any) -> Any:
    """Where an array begins; 0 for None."""
    return 0 if x is None else x.ctypes.data


# (Numba wants lambdas without annotations.)
overload(_address, jit_options=OPTIONS)(
    lambda x: (lambda x: x.ctypes.data) if isinstance(x, types.Array) else (lambda x: 0)
)

# The micro-kernel for float32 where there is one, else the loops.
overload(tile, jit_options=OPTIONS)(
    lambda rows, vectors, a, a_at, lda, b, b_at, ldb, c, c_at, ldc, k, accumulate, bias=None: (
        (
            lambda rows, vectors, a, a_at, lda, b, b_at, ldb, c, c_at, ldc, k, accumulate, bias=None: (
                _fast_tile((rows, vectors, a.ctypes.data + 4 * a_at, lda, b.ctypes.data + 4 * b_at, ldb,
                            c.ctypes.data + 4 * c_at, ldc, k, int(accumulate), _address(bias)))
            )
        )
        if TARGET is not PLAIN and a.dtype == b.dtype == c.dtype == types.float32
        else (
            lambda rows, vectors, a, a_at, lda, b, b_at, ldb, c, c_at, ldc, k, accumulate, bias=None: (
                _plain_tile(rows, vectors, a, a_at, lda, b, b_at, ldb, c, c_at, ldc, k, accumulate, bias)
            )
        )
    )
)  # fmt: skip
