"""One head of attention over one sequence, in ever faster ways: the steps of docs/attention-kernel.md.

Forward `loops` to `registers`, backward `again` and `again_tiles`; each is complete, and a little faster or a
little nearer to `minidistil.kernels.attention` than the one before. `benchmarks.attention_steps` times them.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from benchmarks.steps import compiled
from minidistil.kernels.dropout import Drop, fill_factors
from minidistil.kernels.engine import vector_math
from minidistil.kernels.engine.columns import GROUP, column_maxima, column_sums, multiply_row, subtract_row
from minidistil.kernels.engine.compile import OPTIONS
from minidistil.kernels.engine.native import LANES, MR, NR
from minidistil.kernels.gemm.micro import tile
from minidistil.kernels.gemm.pack import pack_transposed

Array = npt.NDArray[np.float32]

reassociate = numba.njit(fastmath={"contract", "reassoc", "nsz"}, **OPTIONS)  # sums in any order: in lanes


class Arrays(NamedTuple):
    """Arrays that the steps read and write: T tokens in B sequences end to end, A heads of D columns."""

    cu: npt.NDArray[np.int32]  # [B + 1]: sequence b has rows cu[b] to cu[b + 1]
    qkv: Array  # [T, 3, A, D]
    out: Array  # [T, A, D]
    dout: Array  # [T, 1, A, D]
    row_maxima: Array  # [T, A]: the maximum of each row of scores, and
    row_sums: Array  # [T, A]: the sum of the exponentials below it
    dqkv: Array  # [T, 3, A, D]
    drop: Drop


@compiled
def over_jobs(head: Any, a: Arrays, start: int, stop: int) -> None:
    """Job b A + h is head h of sequence b."""
    for job in range(start, stop):
        b, h = divmod(job, a.qkv.shape[2])
        head(a, a.cu[b], a.cu[b + 1], h)


# --- Forward: one head of one sequence ----------------------------------------------------------------------


@compiled
def loops(a: Arrays, begin: int, end: int, h: int) -> None:
    """The definition: all scores in a matrix, its softmax, means of the values."""
    x, out, L, D = a.qkv[begin:end], a.out[begin:end], end - begin, a.qkv.shape[3]
    p = np.empty((L, L), np.float32)
    for i in range(L):
        for j in range(L):
            score = np.float32(0)
            for d in range(D):
                score += x[i, 0, h, d] * x[j, 1, h, d]
            p[i, j] = score / np.float32(math.sqrt(D))
    for i in range(L):
        top = p[i].max()
        for j in range(L):
            p[i, j] = math.exp(p[i, j] - top)
        p[i] /= p[i].sum()
    for i in range(L):
        for d in range(D):
            mean = np.float32(0)
            for j in range(L):
                mean += p[i, j] * x[j, 2, h, d]
            out[i, h, d] = mean


@compiled
def rows(a: Arrays, begin: int, end: int, h: int) -> None:
    """One query after the other: its row of scores is used up before the next is made."""
    x, out, L, D = a.qkv[begin:end], a.out[begin:end], end - begin, a.qkv.shape[3]
    p = np.empty(L, np.float32)
    for i in range(L):
        q, o = x[i, 0, h], out[i, h]
        for j in range(L):
            k, score = x[j, 1, h], np.float32(0)
            for d in range(D):
                score += q[d] * k[d]
            p[j] = score / np.float32(math.sqrt(D))
        top, total = p.max(), np.float32(0)
        for j in range(L):
            p[j] = math.exp(p[j] - top)
            total += p[j]
        o[:] = 0
        for j in range(L):
            v, share = x[j, 2, h], p[j] / total
            for d in range(D):
                o[d] += share * v[d]


@compiled
def online(a: Arrays, begin: int, end: int, h: int) -> None:
    """Not even a row: a key is used up at once. A new maximum scales down what was summed before it."""
    x, out, L, D = a.qkv[begin:end], a.out[begin:end], end - begin, a.qkv.shape[3]
    for i in range(L):
        q, o = x[i, 0, h], out[i, h]
        top, total = np.float32(-np.inf), np.float32(0)
        o[:] = 0
        for j in range(L):
            k, v, score = x[j, 1, h], x[j, 2, h], np.float32(0)
            for d in range(D):
                score += q[d] * k[d]
            score /= np.float32(math.sqrt(D))
            if score > top:
                before = math.exp(top - score)
                total *= before
                for d in range(D):
                    o[d] *= before
                top = score
            share = math.exp(score - top)
            total += share
            for d in range(D):
                o[d] += share * v[d]
        for d in range(D):
            o[d] /= total


@reassociate
def transposed(x: Array, part: int, h: int) -> Array:
    """[D, L]: the same column of all rows side by side."""
    out = np.empty((x.shape[3], len(x)), np.float32)
    for j in range(len(x)):
        line = x[j, part, h]
        for d in range(len(line)):
            out[d, j] = line[d]
    return out


@reassociate
def against_all(q: Array, keys: Array, out: Array) -> None:
    """out [L] = q [D] keys [D, L]."""
    out[:] = 0
    for d in range(len(q)):
        line, factor = keys[d], q[d]
        for j in range(len(out)):
            out[j] += factor * line[j]


@reassociate
def lanes(a: Arrays, begin: int, end: int, h: int) -> None:
    """Keys transposed: the scores of 16 keys grow in one register, and an exp without branches follows."""
    x, out, L = a.qkv[begin:end], a.out[begin:end], end - begin
    scale = np.float32(1 / math.sqrt(x.shape[3]))
    keys, p = transposed(x, 1, h), np.empty(L, np.float32)
    for i in range(L):
        o, top, total = out[i, h], np.float32(-np.inf), np.float32(0)
        against_all(x[i, 0, h], keys, p)
        for j in range(L):
            top = max(top, p[j])
        for j in range(L):
            p[j] = vector_math.exp((p[j] - top) * scale)
            total += p[j]
        o[:] = 0
        for j in range(L):
            v, share = x[j, 2, h], p[j] / total
            for d in range(len(o)):
                o[d] += share * v[d]


@reassociate
def across(a: Arrays, begin: int, end: int, h: int) -> None:
    """Keys down and queries across, 32 at a time: a query is a lane, and its softmax runs down the lane."""
    x, out, L, D = a.qkv[begin:end], a.out[begin:end], end - begin, a.qkv.shape[3]
    scale = np.float32(1 / math.sqrt(D))
    queries, p = np.zeros((D, NR), np.float32), np.empty((L, NR), np.float32)
    top, total = np.empty(NR, np.float32), np.empty(NR, np.float32)
    for i in range(0, L, NR):
        count = min(NR, L - i)
        for c in range(count):
            queries[:, c] = x[i + c, 0, h]
        top[:], total[:], p[:] = -np.inf, 0, 0
        for j in range(L):
            line, k = p[j], x[j, 1, h]
            for d in range(D):
                for c in range(NR):
                    line[c] += k[d] * queries[d, c]
            for c in range(NR):
                top[c] = max(top[c], line[c])
        for j in range(L):
            for c in range(NR):
                p[j, c] = vector_math.exp((p[j, c] - top[c]) * scale)
                total[c] += p[j, c]
        for c in range(count):
            o = out[i + c, h]
            o[:] = 0
            for j in range(L):
                v, share = x[j, 2, h], p[j, c] / total[c]
                for d in range(D):
                    o[d] += share * v[d]


# --- The same products by the micro-kernel ------------------------------------------------------------------


@reassociate
def place(x: Array, part: int, h: int) -> tuple[int, int]:
    """Offset of x[0, part, h] in the flat array, and the distance to the next token."""
    return (part * x.shape[2] + h) * x.shape[3], x.shape[1] * x.shape[2] * x.shape[3]


@reassociate
def pack(x: Array, i: int, count: int, part: int, h: int, packed: Array, to: int, width: int) -> None:
    """`count` rows from row i on become columns of a panel [D, width], which begins at packed[to]."""
    at, step = place(x, part, h)
    for c in range(0, count, LANES):
        rows = min(LANES, count - c)
        pack_transposed(x.reshape(-1), at + (i + c) * step, step, rows, x.shape[3], packed, to + c, width)


@reassociate
def panels(x: Array, part: int, h: int) -> Array:
    """All rows, in panels of as many as a tile has."""
    L, size = len(x), x.shape[3] * LANES
    packed = np.zeros(-(-L // MR) * size, np.float32)
    for s in range(-(-L // MR)):
        pack(x, s * MR, min(MR, L - s * MR), part, h, packed, s * size, LANES)
    return packed


@reassociate
def times_queries(keys: Array, L: int, D: int, queries: Array, out: Array) -> None:
    """out [L, NR] = keys [L, D] queries [D, NR], both packed."""
    for j in range(0, L, MR):
        tile(min(MR, L - j), NR // LANES, keys, j // MR * D * LANES, LANES, queries, 0, NR,
             out, j * NR, NR, D, False)  # fmt: skip


@reassociate
def over_keys(p: Array, count: int, x: Array, part: int, h: int, out: Array, i: int) -> None:
    """Rows i to i + count of out = p^T x: p [L, NR] lies as the micro-kernel wants its first operand."""
    (at, step), (to, out_step) = place(x, part, h), place(out, 0, h)
    for c in range(0, count, MR):
        for d in range(0, x.shape[3], NR):
            tile(min(MR, count - c), min(NR, x.shape[3] - d) // LANES, p, c, NR,
                 x.reshape(-1), at + d, step,
                 out.reshape(-1), to + (i + c) * out_step + d, out_step, len(x), False)  # fmt: skip


@reassociate
def tiles(a: Arrays, begin: int, end: int, h: int) -> None:
    """Sums in registers: both products by the micro-kernel of docs/gemm.md, K and a block of Q packed."""
    x, out, L, D = a.qkv[begin:end], a.out[begin:end], end - begin, a.qkv.shape[3]
    scale = np.float32(1 / math.sqrt(D))
    keys, queries = panels(x, 1, h), np.zeros(D * NR, np.float32)
    p = np.empty((L, NR), np.float32)
    top, total = np.empty(NR, np.float32), np.empty(NR, np.float32)
    for i in range(0, L, NR):
        count = min(NR, L - i)
        pack(x, i, count, 0, h, queries, 0, NR)
        times_queries(keys, L, D, queries, p.reshape(-1))
        top[:], total[:] = -np.inf, 0
        for j in range(L):
            for c in range(NR):
                top[c] = max(top[c], p[j, c])
        for j in range(L):
            for c in range(NR):
                p[j, c] = vector_math.exp((p[j, c] - top[c]) * scale)
                total[c] += p[j, c]
        for j in range(L):
            for c in range(NR):
                p[j, c] /= total[c]
        over_keys(p.reshape(-1), count, x, 2, h, out.reshape(L, 1, -1, D), i)


@reassociate
def exponentials(x: Array, scale: Any) -> None:
    for i in range(len(x)):
        x[i] = vector_math.exp(x[i] * scale)


@reassociate
def factors(drop: Drop, t: int, count: int, h: int, L: int, drawn: Array, out: Array) -> None:
    """Dropout's factors [L, NR] for queries t to t + count: drawn a query a row, then transposed."""
    for c in range(count):
        fill_factors(drawn[c], L, drop, t + c, h)
    step = drawn.shape[1]
    for c in range(0, count, LANES):
        pack_transposed(drawn.reshape(-1), c * step, step, min(LANES, count - c), L, out, c, NR)


@reassociate
def registers(a: Arrays, begin: int, end: int, h: int) -> None:
    """Maxima and sums in registers too, eight at once; with dropout, its factors are drawn here."""
    x, out, L, D = a.qkv[begin:end], a.out[begin:end], end - begin, a.qkv.shape[3]
    scale = np.float32(1 / math.sqrt(D))
    keys, queries = panels(x, 1, h), np.zeros(D * NR, np.float32)
    p = np.empty(-(-L * NR // GROUP) * GROUP, np.float32)
    top, total = np.empty(GROUP, np.float32), np.empty(GROUP, np.float32)
    drawn, kept = np.empty((NR, L + 3), np.float32), np.zeros(L * NR, np.float32)
    for i in range(0, L, NR):
        count = min(NR, L - i)
        pack(x, i, count, 0, h, queries, 0, NR)
        times_queries(keys, L, D, queries, p)
        p[L * NR :] = -np.inf
        column_maxima(p, len(p), NR, top)
        subtract_row(p, len(p), top)
        exponentials(p, scale)
        column_sums(p, len(p), NR, total)
        multiply_row(p, len(p), 1 / total)
        if a.drop.on:
            factors(a.drop, begin + i, count, h, L, drawn, kept)
            for m in range(L * NR):
                p[m] *= kept[m]
        over_keys(p, count, x, 2, h, out.reshape(L, 1, -1, D), i)


# --- Backward -----------------------------------------------------------------------------------------------


@reassociate
def again(a: Arrays, begin: int, end: int, h: int) -> None:
    """The probabilities of a row again, from its maximum and sum: nothing of size L x L was kept."""
    x, dx, L, D = a.qkv[begin:end], a.dqkv[begin:end], end - begin, a.qkv.shape[3]
    scale = np.float32(1 / math.sqrt(D))
    keys, values = transposed(x, 1, h), transposed(x, 2, h)
    p, dp = np.empty(L, np.float32), np.empty(L, np.float32)
    for j in range(L):
        dx[j, 1, h] = 0
        dx[j, 2, h] = 0
    for i in range(begin, end):
        q, o, do, dq = a.qkv[i, 0, h], a.out[i, h], a.dout[i, 0, h], a.dqkv[i, 0, h]
        along = np.float32(0)
        for d in range(D):
            along += do[d] * o[d]
        against_all(q, keys, p)
        against_all(do, values, dp)
        for j in range(L):
            p[j] = vector_math.exp(p[j] * scale - a.row_maxima[i, h]) / a.row_sums[i, h]
        dq[:] = 0
        for j in range(L):
            k, dk, dv, share, slope = (
                x[j, 1, h],
                dx[j, 1, h],
                dx[j, 2, h],
                p[j],
                p[j] * (dp[j] - along) * scale,
            )
            for d in range(D):
                dv[d] += share * do[d]
                dq[d] += slope * k[d]
                dk[d] += slope * q[d]


@reassociate
def add_over_queries(p: Array, L: int, count: int, x: Array, i: int, part: int, h: int, out: Array) -> None:
    """out [L, D] += p [L, count] x, rows i to i + count."""
    at, step = place(x, part, h)
    packed, D = np.empty(NR * LANES, np.float32), x.shape[3]
    for j in range(0, L, MR):
        height = min(MR, L - j)
        pack_transposed(p, j * NR, NR, height, NR, packed, 0, LANES)
        for d in range(0, D, NR):
            tile(height, min(NR, D - d) // LANES, packed, 0, LANES,
                 x.reshape(-1), at + i * step + d, step,
                 out.reshape(-1), j * D + d, D, count, True)  # fmt: skip


@reassociate
def again_tiles(a: Arrays, begin: int, end: int, h: int) -> None:
    """32 queries at a time, five products by the micro-kernel."""
    x, dout, dx, L, D = a.qkv[begin:end], a.dout[begin:end], a.dqkv[begin:end], end - begin, a.qkv.shape[3]
    scale = np.float32(1 / math.sqrt(D))
    keys, values = panels(x, 1, h), panels(x, 2, h)
    queries, douts = np.zeros(D * NR, np.float32), np.zeros(D * NR, np.float32)
    size = -(-L * NR // GROUP) * GROUP
    p, ds = np.empty(size, np.float32), np.empty(size, np.float32)
    top, along = np.zeros(GROUP, np.float32), np.zeros(GROUP, np.float32)
    dk, dv = np.zeros((L, D), np.float32), np.zeros((L, D), np.float32)
    for i in range(0, L, NR):
        count = min(NR, L - i)
        pack(x, i, count, 0, h, queries, 0, NR)
        pack(dout, i, count, 0, h, douts, 0, NR)
        times_queries(keys, L, D, queries, p)
        times_queries(values, L, D, douts, ds)
        p[L * NR :], ds[L * NR :] = 0, 0
        for g in range(GROUP):  # a row of `p` again and again, up to GROUP
            t = begin + i + min(g % NR, count - 1)
            top[g] = (a.row_maxima[t, h] + math.log(a.row_sums[t, h])) / scale
            along[g] = (a.dout[t, 0, h] * a.out[t, h]).sum()
        subtract_row(p, size, top)
        exponentials(p, scale)
        subtract_row(ds, size, along)
        for m in range(size):
            ds[m] *= p[m] * scale
        add_over_queries(p, L, count, dout, i, 0, h, dv)
        add_over_queries(ds, L, count, x, i, 0, h, dk)
        over_keys(ds, count, x, 1, h, dx, i)
    for j in range(L):
        dx[j, 1, h], dx[j, 2, h] = dk[j], dv[j]
