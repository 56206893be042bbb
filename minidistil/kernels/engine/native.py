"""Functions written in LLVM's own language, which no compiler makes from a loop.

Numba compiles through LLVM, and an intrinsic may write LLVM code directly. The few functions that do, the
micro-kernel and the transposition of a block in registers, are compiled once and called by name: as part of
every kernel that uses them they would be compiled again and again. Each has loops that say what it does, and
that run in its place where nothing is written for the processor or for the type of the numbers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload
from numba.np import arrayobj

from minidistil.kernels.engine.compile import CONFIG, OPTIONS, strict

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
    mr, vectors : int
        The largest tile: MR rows, and NR columns in so many registers. mr * vectors accumulators, `vectors`
        registers for B and one for A must fit into the register file (32 registers in AVX-512, 16 in AVX2).
    """

    name: str
    lanes: int
    mr: int
    vectors: int


AVX512 = Target("avx512", lanes=16, mr=14, vectors=2)
AVX2 = Target("avx2", lanes=8, mr=6, vectors=2)
PLAIN = Target("plain", lanes=16, mr=14, vectors=2)  # loops, as the compiler makes of them what it can


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
LANES, MR, VECTORS = TARGET.lanes, TARGET.mr, TARGET.vectors
NR = LANES * VECTORS

# By name: how many arguments a native function has, what writes it, and of which numbers.
_functions: dict[str, tuple[int, Callable[[ir.Function, Any], None], Any]] = {}


def native(
    plain: Callable[..., None], numbers: Mapping[str, Any] | None = None, **options: Any
) -> Callable[[Callable[[ir.Function, Any], None]], None]:
    """Decorator: compiled code calls the written function in place of `plain`, where there is one.

    Parameters
    ----------
    plain : function of arrays, integers and booleans
        The same in loops. An integer `x_at` behind an array `x` is the index at which its numbers begin.
    numbers : mapping, optional
        By dtype, a description of the numbers for the writer; LLVM's type of float32 if not given. Arrays of
        other dtypes go to the loops.
    options
        Of the compiled loops.

    Notes
    -----
    The writer gets a function without a body, and writes it. Its arguments are those of `plain` as int64: an
    array is its address, `x_at` included, and what a caller leaves out at the end is 0. It returns nothing.
    """
    parameters = list(inspect.signature(plain).parameters)
    arguments = [name for name in parameters if not name.endswith("_at")]
    loops = numba.njit(plain, **OPTIONS, **options)

    def wrap(writer: Callable[[ir.Function, Any], None]) -> None:
        calls = {}
        for dtype, number in (numbers or {"float32": F32}).items():
            name = f"minidistil_{plain.__name__}_{dtype}_{TARGET.name}"
            _functions[name] = len(arguments), writer, number
            calls[dtype] = _caller(name, parameters, len(arguments))

        def choose(given: tuple[Any, ...]) -> Any:
            dtypes = {str(type_.dtype) for type_ in given if isinstance(type_, types.Array)}
            call = calls.get(dtypes.pop()) if len(dtypes) == 1 and TARGET is not PLAIN else None
            return (lambda *given: loops(*given)) if call is None else (lambda *given: call(given))

        # (Numba compares both signatures, annotations too: so both are lambdas.)
        overload(plain, jit_options=OPTIONS)(lambda *given: choose(given))

    return wrap


def _caller(name: str, parameters: list[str], arguments: int) -> Any:
    """Intrinsic: call a native function with a tuple of the arguments that the loops take."""

    @intrinsic
    def call(typingctx: Any, given: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            passed, size = [], 0
            unpacked = cgutils.unpack_tuple(builder, values[0])
            for parameter, type_, value in zip(parameters, given, unpacked, strict=False):
                if isinstance(type_, types.Array):
                    data = arrayobj.make_array(type_)(context, builder, value).data
                    passed.append(builder.ptrtoint(data, I64))
                    size = type_.dtype.bitwidth // 8
                    continue
                number = context.cast(builder, value, type_, types.int64)
                if parameter.endswith("_at"):  # of the array before it
                    passed[-1] = builder.add(passed[-1], builder.mul(number, I64(size)))
                else:
                    passed.append(number)
            passed += [I64(0)] * (arguments - len(passed))
            function = cgutils.get_or_insert_function(builder.module, signature_of(arguments), name)
            builder.call(function, passed)
            return context.get_dummy_value()

        return types.void(given), generate

    return call


def signature_of(arguments: int) -> ir.FunctionType:
    return ir.FunctionType(ir.VoidType(), [I64] * arguments)


def blocks(function: ir.Function, *names: str) -> list[ir.Block]:
    """Empty blocks of a function, in this order."""
    return [function.append_basic_block(name) for name in names]


def vector_at(builder: ir.IRBuilder, base: Any, offset: Any = None) -> Any:
    """Pointer to the vector of the LANES numbers from base[offset] on."""
    place = base if offset is None else builder.gep(base, [offset])
    return builder.bitcast(place, ir.VectorType(base.type.pointee, LANES).as_pointer())


def back_edge(
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
        for i, (name, (arguments, writer, number)) in enumerate(_functions.items()):
            function = ir.Function(builder.module, signature_of(arguments), f"{name}_written")
            writer(function, number)
            builder.store(builder.ptrtoint(function, I64), builder.gep(place, [I64(i)]))
        return context.get_dummy_value()

    return types.void(types.int64), generate


@strict
def _addresses(out: Any) -> None:
    _write_all(out.ctypes.data)  # type: ignore[call-arg]  # an intrinsic


def register() -> None:
    """Compile the native functions, or load them from the cache, and make their names known.

    Called by the thread pool when it starts: before any kernel is compiled or loaded.
    """
    if TARGET is PLAIN:
        return
    addresses = np.zeros(len(_functions), np.int64)
    _addresses(addresses)
    for name, address in zip(_functions, addresses.tolist(), strict=True):
        binding.add_symbol(name, address)
