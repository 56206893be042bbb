"""Attention over packed sequences, in tiles: no L x L matrix is ever kept.

A job is one head of one sequence. It takes a block of queries at a time, as many as the micro-kernel's tile
has columns, and lays the scores out with keys down and queries across:

    S^T [keys, block] = K Q^T        softmax down the columns        O [block, D] = P V

A column is a query, so the maximum, the exponentials and the sum of the softmax run in vector lanes, a
query each, without ever summing across lanes; and P^T is already the operand the next product wants: the
micro-kernel takes its first one transposed. The forward pass keeps the maximum and the sum of each row, and
the backward pass computes P^T from them again (Dao et al. 2022, "FlashAttention", arXiv:2205.14135; a whole
column of scores fits into a CPU's cache, so the running maximum of that paper is not needed).

The rows of one head lie far apart, a page or so each, where the processor does not look ahead by itself. For
short sequences waiting for them took as long as computing with them, so each job asks for the next one's, and
that is the next head of the same sequence: in the same pages, and with luck in a cache. Threads get equal
shares of the work, not of the jobs.

A bias by distance is one number for each diagonal of a block of scores, added before the softmax in each
pass. On the way back the diagonals are summed up, for each job by itself (`kernels.relative_bias`).

`rows_of_head` gives the queries, keys and values of a job, each with its own place and step between rows:
keys of another sequence would have a `cu` of their own. A limit to the keys of the past goes where the bias
is, once in each pass.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, overload

import numpy as np

from minidistil.arrays import Array, IntArray
from minidistil.kernels.dropout import Drop, drop_of, fill_factors
from minidistil.kernels.engine import vector_math
from minidistil.kernels.engine.columns import GROUP, column_maxima, column_sums, multiply_row, subtract_row
from minidistil.kernels.engine.compile import reassociate, strict
from minidistil.kernels.engine.diagonals import add_diagonals, sum_diagonals
from minidistil.kernels.engine.native import LANES, MR, NR
from minidistil.kernels.engine.parallel import PARTS_PER_THREAD, THREADS, run
from minidistil.kernels.engine.pool import awake_pool
from minidistil.kernels.engine.workspace import NO_MATRIX, empty, empty_like
from minidistil.kernels.gemm.heads import (
    Rows,
    add_outer,
    copy_rows,
    pack_keys,
    pack_queries,
    prefetch_job,
    round_up,
    rows_of_head,
    sum_over_keys,
    times_queries,
)
from minidistil.kernels.gemm.pack import pack_transposed
from minidistil.kernels.relative_bias import clear_columns, fill_line, keep_line, run_add_sequences
from minidistil.ops.dropout import Mask

Cache = tuple[Array, IntArray, int, Mask | None, Array | None, Array, Array]

SCORES = 64  # what a query costs besides its scores, in scores: packing, and waiting for memory


class Shared(NamedTuple):
    """Arguments that all jobs of a pass share."""

    cu: Any  # [S + 1]
    longest: int  # sequence
    heads: int
    scale: Any  # 1 / sqrt(D)
    statistics: Any  # [2, heads, tokens]: maximum and sum of each row of scores
    drop: Drop
    bias: Any  # [heads, 2N - 1]; [0, 0] if there is none
    shares: Any  # see `_shares`


@strict
def _shares(pool: Any, cu: Any, heads: int) -> Any:
    """Cut the jobs into shares of about the same work: share i is jobs shares[i] to shares[i + 1]."""
    S = cu.shape[0] - 1
    parts = max(1, min(heads * S // 2, PARTS_PER_THREAD * pool[THREADS]))
    total, before, part = 0, 0, 0
    for b in range(S):
        total += heads * (cu[b + 1] - cu[b]) * (cu[b + 1] - cu[b] + SCORES)
    shares = np.full(parts + 1, heads * S)
    for b in range(S):
        each = (cu[b + 1] - cu[b]) * (cu[b + 1] - cu[b] + SCORES)
        while part * total < (before + heads * each) * parts:  # part * total / parts is where it begins
            shares[part] = b * heads + (part * total - before * parts) // (each * parts)
            part += 1
        before += heads * each
    return shares


@strict
def _shared(pool: Any, cu: Any, heads: int, statistics: Array, D: int, drop: Drop, bias: Array) -> Any:
    longest = 0
    for b in range(cu.shape[0] - 1):
        longest = max(longest, cu[b + 1] - cu[b])
    scale = statistics.dtype.type(1 / math.sqrt(D))
    return Shared(cu, longest, heads, scale, statistics, drop, bias, _shares(pool, cu, heads))


@reassociate
def _repeat(x: Array, width: int) -> None:
    """Repeat the first `width` numbers up to GROUP."""
    for j in range(width, GROUP):
        x[j] = x[j - width]


@reassociate
def _dropout_factors(
    drop: Drop, query: int, count: int, width: int, head: int, L: int, rows: Array, out: Array
) -> None:
    """Dropout factors [L, width] of a block of queries: drawn a query a row, then turned."""
    for j in range(count):
        fill_factors(rows[j], L, drop, query + j, head)
    step = rows.shape[1]
    for j in range(0, count, LANES):
        pack_transposed(rows.reshape(-1), j * step, step, min(LANES, count - j), L, out, j, width)


@reassociate
def _softmax_down(
    p: Array, n: int, width: int, scale: Any, top: Array, total: Array, inverse: Array
) -> None:  # fmt: skip
    """p [L, width] = exp(scale (p - top)) / total: maximum and sum of each column, and what p is times.

    These three have room for GROUP numbers. `p` has room up to a multiple of GROUP; what lies past n is 0.
    """
    size = round_up(n, GROUP)
    p[n:size] = -np.inf
    column_maxima(p, size, width, top)
    subtract_row(p, size, top)
    _exp(p[:size], scale)
    column_sums(p, size, width, total)
    for j in range(GROUP):
        inverse[j] = 1 / total[j]
    multiply_row(p, size, inverse)


@reassociate
def _exp(x: Array, scale: Any) -> None:
    """x = exp(scale x)."""
    for i in range(x.shape[0]):
        x[i] = vector_math.exp(x[i] * scale)


@reassociate
def _multiply(x: Array, y: Array, n: int, factor: Any = 1) -> None:
    """x = factor x y, the first n numbers."""
    x, y, factor = x[:n], y[:n], x.dtype.type(factor)
    for j in range(n):
        x[j] *= y[j] * factor


@reassociate
def _forward(qkv: Array, out: Array, shared: Shared, start: int, stop: int) -> None:
    cu, longest, heads, scale, statistics, drop, bias, shares = shared
    row_maxima, row_sums = statistics[0], statistics[1]
    H, dtype = out.shape[1], qkv.dtype
    D = H // heads
    P = round_up(D, LANES)
    keys, queries = np.empty(round_up(longest, MR) // MR * P * LANES, dtype), np.empty(P * NR, dtype)
    p = np.empty(round_up(longest * NR, GROUP), dtype)
    top, total, inverse = np.empty(GROUP, dtype), np.empty(GROUP, dtype), np.empty(GROUP, dtype)
    drawn = np.empty((NR if drop.on else 0, longest + 3), dtype)
    factors = np.empty(longest * NR if drop.on else 0, dtype)
    flat, out_flat = qkv.reshape(-1), out.reshape(-1)
    biased = bias.shape[0] > 0
    line = np.empty(2 * longest + LANES if biased else 0, dtype)
    padded = np.zeros((4, longest * P if P > D else 0), dtype)
    for job in range(shares[start], shares[stop]):
        h, b = job % heads, job // heads
        begin = cu[b]
        L = cu[b + 1] - begin
        at, o = begin * 3 * H + h * D, Rows(out_flat, begin * H + h * D, H)
        q = rows_of_head(flat, at, 3 * H, L, D, padded[0])
        k = rows_of_head(flat, at + H, 3 * H, L, D, padded[1])
        v = rows_of_head(flat, at + 2 * H, 3 * H, L, D, padded[2])
        to = Rows(padded[3], 0, P) if P > D else o
        pack_keys(k, L, P, keys)
        if biased:
            fill_line(bias, h, L, scale, line)
        if job + 1 < shares[stop]:
            prefetch_job(flat, 3, H, D, cu, job + 1)
        for first in range(0, L, NR):
            count = min(NR, L - first)
            width = round_up(count, LANES)
            pack_queries(q, first, count, P, width, queries)
            times_queries(keys, L, P, queries, width, p)
            if biased:
                add_diagonals(p, L, width, line, first + L)
            _softmax_down(p, L * width, width, scale, top, total, inverse)
            for j in range(count):
                row_maxima[h, begin + first + j], row_sums[h, begin + first + j] = top[j] * scale, total[j]
            if drop.on:
                _dropout_factors(drop, begin + first, count, width, h, L, drawn, factors)
                _multiply(p, factors, L * width)
            sum_over_keys(p, width, count, L, v, P, to, first)
        if P > D:
            copy_rows(to, L, D, o)


@reassociate
def _backward(
    dout: Array, qkv: Array, out: Array, dqkv: Array, distances: Array, shared: Shared, start: int, stop: int
) -> None:  # fmt: skip
    """As in the textbook, a block of queries at a time, f being the dropout factors:

    p = exp(scale q k - top - log sum);  dv_j += p_j f_j do;  dp_j = (do . v_j) f_j
    ds = p (dp - sum p dp) scale, and sum_j p_j dp_j = do . o;  dq = ds k;  dk_j += ds_j q

    The sums of ds over each diagonal go to `distances` [heads, 2 tokens], if there is one.
    """
    cu, longest, heads, scale, statistics, drop, bias, shares = shared
    row_maxima, row_sums = statistics[0], statistics[1]
    H, dtype = out.shape[1], qkv.dtype
    D = H // heads
    P = round_up(D, LANES)
    panels = round_up(longest, MR) // MR * P * LANES
    keys, values, packed = np.empty(panels, dtype), np.empty(panels, dtype), np.empty(NR * LANES, dtype)
    queries, outs, douts = np.empty(P * NR, dtype), np.empty(P * NR, dtype), np.empty(P * NR, dtype)
    numbers = round_up(longest * NR, GROUP)
    p, ds = np.empty(numbers, dtype), np.empty(numbers, dtype)
    dk, dv = np.empty(longest * P, dtype), np.empty(longest * P, dtype)
    total, along = np.zeros(GROUP, dtype), np.zeros(GROUP, dtype)
    drawn = np.empty((NR if drop.on else 0, longest + 3), dtype)
    factors = np.empty(numbers if drop.on else 0, dtype)
    flat, dqkv_flat = qkv.reshape(-1), dqkv.reshape(-1)
    out_flat, dout_flat = out.reshape(-1), dout.reshape(-1)
    biased, wanted = bias.shape[0] > 0, distances.shape[0] > 0
    line = np.empty(2 * longest + LANES if biased else 0, dtype)
    sums = np.empty(2 * longest + LANES if wanted else 0, dtype)
    padded = np.zeros((6, longest * P if P > D else 0), dtype)
    for job in range(shares[start], shares[stop]):
        h, b = job % heads, job // heads
        begin = cu[b]
        L = cu[b + 1] - begin
        at, o_at = begin * 3 * H + h * D, begin * H + h * D
        q = rows_of_head(flat, at, 3 * H, L, D, padded[0])
        k = rows_of_head(flat, at + H, 3 * H, L, D, padded[1])
        v = rows_of_head(flat, at + 2 * H, 3 * H, L, D, padded[2])
        o = rows_of_head(out_flat, o_at, H, L, D, padded[3])
        do = rows_of_head(dout_flat, o_at, H, L, D, padded[4])
        dq = Rows(dqkv_flat, at, 3 * H)
        to = Rows(padded[5], 0, P) if P > D else dq
        pack_keys(k, L, P, keys)
        pack_keys(v, L, P, values)
        if job + 1 < shares[stop]:
            prefetch_job(flat, 3, H, D, cu, job + 1)
            prefetch_job(out_flat, 1, H, D, cu, job + 1)
            prefetch_job(dout_flat, 1, H, D, cu, job + 1)
        if biased:
            fill_line(bias, h, L, scale, line)
        sums[:] = 0
        dk[: L * P] = 0
        dv[: L * P] = 0
        for first in range(0, L, NR):
            count = min(NR, L - first)
            width = round_up(count, LANES)
            n = L * width
            size = round_up(n, GROUP)
            pack_queries(q, first, count, P, width, queries)
            pack_queries(do, first, count, P, width, douts)
            pack_queries(o, first, count, P, width, outs)
            times_queries(keys, L, P, queries, width, p)
            if biased:
                add_diagonals(p, L, width, line, first + L)
            times_queries(values, L, P, douts, width, ds)
            for j in range(width):  # columns past the last query repeat it
                query = begin + first + min(j, count - 1)
                total[j] = (row_maxima[h, query] + np.log(row_sums[h, query])) / scale
            _repeat(total, width)
            p[n:size] = 0
            ds[n:size] = 0
            _multiply(outs, douts, P * width)
            column_sums(outs, P * width, width, along)
            if drop.on:
                _dropout_factors(drop, begin + first, count, width, h, L, drawn, factors)
                _multiply(ds, factors, n)
            subtract_row(p, size, total)
            _exp(p[:size], scale)
            subtract_row(ds, size, along)
            _multiply(ds, p, n, scale)
            if wanted:
                clear_columns(ds, L, width, count)
                sum_diagonals(ds, L, width, sums, first + L)
            if drop.on:
                _multiply(p, factors, n)
            add_outer(p, width, L, count, packed, do, first, P, dv)
            add_outer(ds, width, L, count, packed, q, first, P, dk)
            sum_over_keys(ds, width, count, L, k, P, to, first)
        if wanted:
            keep_line(sums, L, scale, distances[h, 2 * begin :])
        if P > D:
            copy_rows(to, L, D, dq)
        copy_rows(Rows(dk, 0, P), L, D, Rows(dqkv_flat, at + H, 3 * H))
        copy_rows(Rows(dv, 0, P), L, D, Rows(dqkv_flat, at + 2 * H, 3 * H))


@reassociate
def _run_forward(
    pool: Any, qkv: Array, cu: Any, heads: int, drop: Drop, bias: Array, out: Array, statistics: Array
) -> None:  # fmt: skip
    shared = _shared(pool, cu, heads, statistics, out.shape[1] // heads, drop, bias)
    run(pool, _forward, (qkv, out, shared), len(shared.shares) - 1, 1)


@reassociate
def _run_backward(
    pool: Any, dout: Array, qkv: Array, cu: Any, heads: int, drop: Drop, bias: Array, out: Array,
    statistics: Array, dqkv: Array, distances: Array,
) -> None:  # fmt: skip
    shared = _shared(pool, cu, heads, statistics, out.shape[1] // heads, drop, bias)
    run(pool, _backward, (dout, qkv, out, dqkv, distances, shared), len(shared.shares) - 1, 1)


def attention_forward(
    qkv: Array, cu_seqlens: IntArray, num_heads: int, mask: Mask | None = None, bias: Array | None = None
) -> tuple[Array, Cache]:
    """See `minidistil.ops.attention.attention_forward`."""
    tokens, dtype = len(qkv), qkv.dtype
    out, statistics = empty((tokens, qkv.shape[1] // 3), dtype), empty((2, num_heads, tokens), dtype)
    _run_forward(
        awake_pool(), qkv, cu_seqlens, num_heads, drop_of(mask, dtype),
        NO_MATRIX[dtype] if bias is None else bias, out, statistics,
    )  # fmt: skip
    return out, (qkv, cu_seqlens, num_heads, mask, bias, out, statistics)


@overload
def attention_backward(dout: Array, cache: Cache, dbias: None = None) -> Array: ...
@overload
def attention_backward(dout: Array, cache: Cache, dbias: Array) -> tuple[Array, Array]: ...
def attention_backward(
    dout: Array, cache: Cache, dbias: Array | None = None
) -> Array | tuple[Array, Array]:  # fmt: skip
    """See `minidistil.ops.attention.attention_backward`."""
    qkv, cu_seqlens, num_heads, mask, bias, out, statistics = cache
    dqkv, nothing = empty_like(qkv), NO_MATRIX[qkv.dtype]
    distances = nothing if dbias is None else empty((num_heads, 2 * len(qkv)), qkv.dtype)
    _run_backward(
        awake_pool(), dout, qkv, cu_seqlens, num_heads, drop_of(mask, qkv.dtype),
        nothing if bias is None else bias, out, statistics, dqkv, distances,
    )  # fmt: skip
    if dbias is None:
        return dqkv
    run_add_sequences(awake_pool(), distances, cu_seqlens, dbias)
    return dqkv, dbias
