"""AdamW at speed: one pass over memory instead of a dozen. The twin of `minidistil.ops.adamw`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidistil.arrays import Array
from minidistil.kernels.engine.compile import reassociate, strict
from minidistil.kernels.engine.parallel import run
from minidistil.kernels.engine.pool import awake_pool
from minidistil.ops.adamw import CHUNK


# No fast-math flag: memory is the limit here, and each element then rounds exactly as in the textbook.
@strict
def _adamw(
    p: Array, g: Array, m: Array, v: Array,
    shrink: Any, b1: Any, c1: Any, b2: Any, c2: Any, rate: Any, root: Any, eps: Any, scale: Any,
    start: int, stop: int,
) -> None:  # fmt: skip
    p, g, m, v = p[start:stop], g[start:stop], m[start:stop], v[start:stop]
    for i in range(p.shape[0]):
        gi = g[i] * scale
        m[i] = m[i] * b1 + c1 * gi
        v[i] = v[i] * b2 + c2 * (gi * gi)
        p[i] = p[i] * shrink - rate * m[i] / (np.sqrt(v[i]) / root + eps)


@strict
def _run_adamw(pool: Any, arrays: Any, scalars: Any) -> None:
    run(pool, _adamw, arrays + scalars, arrays[0].shape[0], CHUNK)


def adamw_step(
    params: Array,
    grads: Array,
    m: Array,
    v: Array,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    step: int,
    scale: float = 1.0,
) -> None:
    """One AdamW update in place; see `minidistil.ops.adamw.adamw_step`, which it equals bit for bit."""
    bc1, bc2 = 1 - beta1**step, 1 - beta2**step
    # Scalars in the dtype of the arrays: one float64 among them would widen the whole loop.
    scalars = tuple(
        params.dtype.type(x)
        for x in (
            1 - lr * weight_decay,
            beta1,
            1 - beta1,
            beta2,
            1 - beta2,
            lr / bc1,
            math.sqrt(bc2),
            eps,
            scale,
        )
    )
    _run_adamw(awake_pool(), (params, grads, m, v), scalars)


# reassoc lets the sum run in vector lanes. The chunks are fixed, so each is always summed the same way;
# NaN and Inf survive, since neither flag that may assume them away is set.
@reassociate
def _sum_of_squares(x: Array) -> float:
    total = 0.0
    for i in range(x.shape[0]):
        wide = np.float64(x[i])
        total += wide * wide
    return total


@strict
def _sums(x: Array, sums: Array, start: int, stop: int) -> None:
    for i in range(start, stop):
        sums[i] = _sum_of_squares(x[i * CHUNK : (i + 1) * CHUNK])


@strict
def _run_sums(pool: Any, x: Array, sums: Array) -> None:
    run(pool, _sums, (x, sums), sums.shape[0], 1)


def global_norm(grads: Array) -> float:
    """Euclidean norm of all gradients together; see `minidistil.ops.adamw.global_norm`."""
    sums = np.zeros(-(-len(grads) // CHUNK))
    _run_sums(awake_pool(), grads, sums)
    return math.sqrt(sum(sums.tolist()))
