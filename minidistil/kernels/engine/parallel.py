"""`run`: share the rows of a kernel among the pool's threads, from inside compiled code.

A forward pass of a small model is a hundred kernels of some tens of microseconds. To hand each to other
threads through Python would cost as much again, so the hand-over is native: the caller writes a job (a
function, its arguments, how many parts) into the pool's state and everybody, the caller too, takes parts
from a counter until none are left. That costs a microsecond. `engine.pool` owns the threads and
puts them to sleep when nothing comes.

Which thread computes which part changes from run to run, so a kernel's bits must not depend on how its rows
are cut; every kernel here is written that way, and tests hold them to it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import arrayobj

from minidistil.kernels.engine.compile import CONFIG, strict

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
JOB = ir.FunctionType(I32, [I8.as_pointer(), I64, I64])  # (arguments, start row, stop row) -> failed?
YIELD = ir.FunctionType(I32, [])

# Slots of the pool's state, an int64 array: a cache line each for those that several threads write.
LEFT, DONE, BUSY, FAILED = 0, 8, 16, 24  # parts not yet taken, parts done, is a job running, did one fail
FUNCTION, ARGUMENTS, ROWS, PARTS = 32, 33, 34, 35  # the job
THREADS, LEAVE, YIELDER = 40, 41, 42  # how many take part; workers asked to leave `serve`; sched_yield
STATE_SIZE = 48

PARTS_PER_THREAD = 8  # parts are shared evenly even where one thread is slower
PATIENCE = 2000  # times to look for work, or for the end of a job, before letting other threads run
FAILURE = "a kernel failed; run again with MINIDISTIL_THREADS=1 NUMBA_DISABLE_JIT=1 to see where"
SPINS = 10_000  # times to look for a next job before going to sleep: about 0.3 ms


def _run_alone(pool: Any, kernel: Any, arguments: Any, rows: Any, grain: Any) -> None:
    """`run` as plain Python, for NUMBA_DISABLE_JIT=1."""
    kernel(*arguments, 0, rows)


@intrinsic
def _run(typingctx: Any, pool: Any, kernel: Any, arguments: Any, rows: Any, grain: Any) -> Any:
    """Call `kernel(*arguments, start, stop)` over ranges that cover range(rows), on all threads.

    Parameters
    ----------
    pool : int64 array
        From `pool.awake_pool()`.
    kernel : compiled function, a global of its caller's module
    arguments : tuple
    rows : int
    grain : int
        The least number of rows worth a thread.
    """
    wanted = (*arguments.types, types.int64, types.int64)
    resolved = typingctx.resolve_function_type(kernel, wanted, {})
    signature = types.void(pool, kernel, arguments, types.int64, types.int64)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        state, _, tuple_, rows_, grain_ = values
        compiled = kernel.dispatcher.overloads[tuple(resolved.args)]
        context.active_code_library.add_linking_library(compiled.library)
        struct = context.get_value_type(arguments)
        job = ir.Function(builder.module, JOB, builder.module.get_unique_name("minidistil.job"))
        job.linkage = "internal"
        inside = ir.IRBuilder(job.append_basic_block())
        unpacked = cgutils.unpack_tuple(
            inside, inside.load(inside.bitcast(job.args[0], struct.as_pointer())), len(arguments.types)
        )
        status, _ = context.call_internal_no_propagate(
            inside, compiled.fndesc, compiled.signature, [*unpacked, job.args[1], job.args[2]]
        )
        inside.ret(inside.zext(status.is_error, I32))
        memory = cgutils.alloca_once(builder, struct)  # outlives the job: we wait for its end
        builder.store(tuple_, memory)
        pointer = builder.bitcast(memory, I8.as_pointer())
        data = _data(context, builder, pool, state)
        failed = builder.call(_lead(builder.module), [data, job, pointer, rows_, grain_])
        with builder.if_then(builder.icmp_signed("!=", failed, I32(0)), likely=False):
            context.call_conv.return_user_exc(builder, RuntimeError, (FAILURE,))
        return context.get_dummy_value()

    return signature, generate


run: Any = _run_alone if CONFIG.DISABLE_JIT else _run


def _data(context: Any, builder: Any, type_: Any, array: Any) -> Any:
    return arrayobj.make_array(type_)(context, builder, array).data


def _slot(builder: Any, state: Any, index: int) -> Any:
    return builder.gep(state, [I64(index)])


def _begin(module: Any, name: str, returns: Any, arguments: Any) -> tuple[Any, bool]:
    """A function of this module, and whether it is still to be written."""
    if name in module.globals:
        return module.globals[name], False
    function = ir.Function(module, ir.FunctionType(returns, arguments), name)
    function.linkage = "internal"
    return function, True


def _take(module: Any) -> Any:
    """void take(state): work on the job until no part is left to take."""
    function, new = _begin(module, "minidistil.take", ir.VoidType(), [I64.as_pointer()])
    if not new:
        return function
    (state,) = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    look, work, leave = (function.append_basic_block(n) for n in ("look", "work", "leave"))
    builder.branch(look)
    builder.position_at_end(look)
    # Whoever gets a number above 0 owns that part. The job cannot end, and none can follow, before that
    # part is done: from here on the other slots are this job's.
    ticket = builder.atomic_rmw("sub", _slot(builder, state, LEFT), I64(1), "acq_rel")
    builder.cbranch(builder.icmp_signed(">", ticket, I64(0)), work, leave)
    builder.position_at_end(work)
    parts, rows = (builder.load(_slot(builder, state, index)) for index in (PARTS, ROWS))
    part = builder.sub(parts, ticket)
    start, stop = (builder.sdiv(builder.mul(n, rows), parts) for n in (part, builder.add(part, I64(1))))
    job = builder.inttoptr(builder.load(_slot(builder, state, FUNCTION)), JOB.as_pointer())
    arguments = builder.inttoptr(builder.load(_slot(builder, state, ARGUMENTS)), I8.as_pointer())
    failed = builder.call(job, [arguments, start, stop])
    builder.atomic_rmw("or", _slot(builder, state, FAILED), builder.zext(failed, I64), "acq_rel")
    builder.atomic_rmw("add", _slot(builder, state, DONE), I64(1), "acq_rel")
    builder.branch(look)
    builder.position_at_end(leave)
    builder.ret_void()
    return function


def _wait(builder: Any, state: Any, tries: Any) -> None:
    """Let the processor breathe for some cycles; after long waiting, let other threads run."""
    machine = builder.module.triple
    if machine.startswith("x86_64"):
        pause = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), []), "llvm.x86.sse2.pause"
        )
        builder.call(pause, [])
    with builder.if_then(builder.icmp_signed(">", tries, I64(PATIENCE))):
        yielder = builder.load(_slot(builder, state, YIELDER))
        with builder.if_then(builder.icmp_signed("!=", yielder, I64(0))):
            builder.call(builder.inttoptr(yielder, YIELD.as_pointer()), [])


def _lead(module: Any) -> Any:
    """i32 lead(state, job, arguments, rows, grain): start a job, work on it, wait for its end."""
    function, new = _begin(
        module, "minidistil.lead", I32, [I64.as_pointer(), JOB.as_pointer(), I8.as_pointer(), I64, I64]
    )
    if not new:
        return function
    state, job, arguments, rows, grain = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    some, lock, alone, together, wait, end, nothing = (
        function.append_basic_block(n)
        for n in ("some", "lock", "alone", "together", "wait", "end", "nothing")
    )
    builder.cbranch(builder.icmp_signed(">", rows, I64(0)), some, nothing)
    builder.position_at_end(nothing)
    builder.ret(I32(0))
    builder.position_at_end(some)
    threads = builder.load(_slot(builder, state, THREADS))
    worth, most = builder.sdiv(rows, grain), builder.mul(threads, I64(PARTS_PER_THREAD))
    parts = builder.select(builder.icmp_signed("<", worth, most), worth, most)
    many = builder.and_(builder.icmp_signed(">", parts, I64(1)), builder.icmp_signed(">", threads, I64(1)))
    builder.cbranch(many, lock, alone)
    builder.position_at_end(lock)
    mine = builder.extract_value(
        builder.cmpxchg(_slot(builder, state, BUSY), I64(0), I64(1), "acq_rel", "monotonic"), 1
    )
    builder.cbranch(mine, together, alone)  # another Python thread computes with the pool: do without it
    builder.position_at_end(alone)
    builder.ret(builder.call(job, [arguments, I64(0), rows]))

    builder.position_at_end(together)
    for index, value in (
        (FUNCTION, builder.ptrtoint(job, I64)),
        (ARGUMENTS, builder.ptrtoint(arguments, I64)),
        (ROWS, rows),
        (PARTS, parts),
    ):
        builder.store(value, _slot(builder, state, index))
    for index in (DONE, FAILED):
        builder.store_atomic(I64(0), _slot(builder, state, index), "monotonic", 8)
    builder.store_atomic(parts, _slot(builder, state, LEFT), "release", 8)  # from here on others may take
    builder.call(_take(module), [state])
    before = builder.block
    builder.branch(wait)
    builder.position_at_end(wait)
    tries = builder.phi(I64)
    tries.add_incoming(I64(0), before)
    done = builder.load_atomic(_slot(builder, state, DONE), "acquire", 8)
    _wait(builder, state, tries)
    tries.add_incoming(builder.add(tries, I64(1)), builder.block)
    builder.cbranch(builder.icmp_signed("<", done, parts), wait, end)
    builder.position_at_end(end)
    failed = builder.load_atomic(_slot(builder, state, FAILED), "acquire", 8)
    builder.store_atomic(I64(0), _slot(builder, state, BUSY), "release", 8)
    builder.ret(builder.trunc(failed, I32))
    return function


@intrinsic
def _help(typingctx: Any, pool: Any, tries: Any) -> Any:
    """Work on the job if there is one. 1 if there was, 0 if not, -1 if asked to leave."""
    signature = types.int64(pool, types.int64)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        state = _data(context, builder, pool, values[0])
        left = builder.load_atomic(_slot(builder, state, LEFT), "acquire", 8)
        there = builder.icmp_signed(">", left, I64(0))
        with builder.if_else(there) as (then, otherwise):
            with then:
                builder.call(_take(builder.module), [state])
            with otherwise:
                _wait(builder, state, values[1])
        leave = builder.load_atomic(_slot(builder, state, LEAVE), "acquire", 8)
        return builder.select(builder.icmp_signed("!=", leave, I64(0)), I64(-1), builder.zext(there, I64))

    return signature, generate


@strict
def _serve(pool: Any, spins: int) -> None:
    """Work on whatever jobs come, until none has come for a while."""
    tries = 0
    while tries < spins:
        helped = _help(pool, tries)  # type: ignore[call-arg, var-annotated]  # an intrinsic
        if helped < 0:
            return
        tries = 0 if helped else tries + 1


def _serve_nothing(pool: Any, spins: int) -> None:
    """`serve` as plain Python: `run` shares nothing there."""


serve: Any = _serve_nothing if CONFIG.DISABLE_JIT else _serve
