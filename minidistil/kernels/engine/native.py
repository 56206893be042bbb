"""Functions written in LLVM's own language, for what no compiler makes of a loop.

Numba compiles through LLVM, and an intrinsic may write LLVM code directly. The few functions that do, the
micro-kernel and the transposition of a block in registers, are compiled once and called by name: as part of
every kernel that uses them they would be compiled again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minidistil.kernels.engine.compile import CONFIG, exact

I32, I64, F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
CACHE_LINE = 64  # bytes
READ_INTO_LEVEL_2 = I32(0), I32(2), I32(1)  # of llvm.prefetch: read, keep in the level-2 cache, data


@dataclass(frozen=True)
class Target:
    """An instruction set as the micro-kernel sees it.

    Attributes
    ----------
    name : str
    lanes : int
        float32 numbers in a vector register.
    rows, vectors : int
        The largest tile. rows * vectors accumulators, `vectors` registers for B and one for A must fit into
        the register file (32 registers in AVX-512, 16 in AVX2).
    """

    name: str
    lanes: int
    rows: int
    vectors: int

    @property
    def columns(self) -> int:
        """Columns of the largest tile: the width of a packed panel of B."""
        return self.lanes * self.vectors


AVX512 = Target("avx512", lanes=16, rows=14, vectors=2)
AVX2 = Target("avx2", lanes=8, rows=6, vectors=2)
PLAIN = Target("plain", lanes=16, rows=14, vectors=2)  # loops, as the compiler makes of them what it can


def detect() -> Target:
    """The instruction set Numba compiles for; PLAIN where nothing is written for it.

    NUMBA_CPU_NAME and NUMBA_CPU_FEATURES count: what the compiler may not use, the kernel must not.
    """
    if CONFIG.DISABLE_JIT:
        return PLAIN
    if CONFIG.CPU_FEATURES is not None:
        features = set(CONFIG.CPU_FEATURES.split(","))
    else:
        features = {f"+{name}" for name, on in binding.get_host_cpu_features().items() if on}
    if {"+avx512f", "+avx512vl", "+avx512dq"} <= features:
        return AVX512
    if {"+avx2", "+fma"} <= features:
        return AVX2
    return PLAIN


TARGET = detect()
LANES, ROWS, VECTORS, COLUMNS = TARGET.lanes, TARGET.rows, TARGET.vectors, TARGET.columns
VECTOR = ir.VectorType(F32, LANES)

_writers: dict[str, tuple[int, Callable[[ir.Module, str], ir.Function]]] = {}


def native(arguments: int) -> Callable[[Any], Any]:
    """Decorator: from a writer of a function of so many int64 arguments, how kernels call that function.

    The writer takes a module and a name, and writes there a function of that name that returns nothing.
    Addresses are int64 too. What the decorator returns is for compiled code alone: f((argument, ...)).
    """

    def wrap(writer: Callable[[ir.Module, str], ir.Function]) -> Any:
        name = f"minidistil_{writer.__name__}_{TARGET.name}"
        _writers[name] = arguments, writer

        @intrinsic
        def call(typingctx: Any, values: Any) -> Any:
            signature = types.void(types.UniTuple(types.int64, arguments))

            def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
                function = cgutils.get_or_insert_function(builder.module, signature_of(arguments), name)
                builder.call(function, cgutils.unpack_tuple(builder, given[0], arguments))
                return context.get_dummy_value()

            return signature, generate

        return call

    return wrap


def signature_of(arguments: int) -> ir.FunctionType:
    return ir.FunctionType(ir.VoidType(), [I64] * arguments)


def vector_at(builder: ir.IRBuilder, base: Any, offset: Any) -> Any:
    """Where the vector of the LANES numbers from base[offset] on is."""
    return builder.bitcast(builder.gep(base, [offset]), VECTOR.as_pointer())


def go_round(
    builder: ir.IRBuilder, start: Any, loop: Any, end: Any, left: Any, times: Any, carried: Iterable[Any]
) -> None:
    """Go back to the block `loop`, which was entered from `start`, until it has run `times` >= 1 times.

    `left` counts down. `carried` has other phi nodes of the loop, each with its first and its next value.
    """
    fewer = builder.sub(left, I64(1))
    for phi, at_first, later in ((left, times, fewer), *carried):
        phi.add_incoming(at_first, start)
        phi.add_incoming(later, builder.block)
    builder.cbranch(builder.icmp_signed(">", fewer, I64(0)), loop, end)


@intrinsic
def _write_all(typingctx: Any, out: Any) -> Any:
    """Write every native function into this module, and its address to out[i]."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        place = builder.inttoptr(given[0], I64.as_pointer())
        for i, (name, (_, writer)) in enumerate(_writers.items()):
            function = writer(builder.module, f"{name}_written")
            builder.store(builder.ptrtoint(function, I64), builder.gep(place, [I64(i)]))
        return context.get_dummy_value()

    return types.void(types.int64), generate


@exact
def _addresses(out: Any) -> None:
    _write_all(out.ctypes.data)  # type: ignore[call-arg]  # an intrinsic


def register() -> None:
    """Compile the native functions, or load them from the cache, and make their names known.

    Called by the thread pool when it starts: before any kernel is compiled or loaded.
    """
    if TARGET is PLAIN:
        return
    addresses = np.zeros(len(_writers), np.int64)
    _addresses(addresses)
    for name, address in zip(_writers, addresses.tolist(), strict=True):
        binding.add_symbol(name, address)
