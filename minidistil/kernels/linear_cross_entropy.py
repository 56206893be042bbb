"""Fused linear cross-entropy: logits of student and teacher for a chunk of tokens at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidistil.arrays import Array, IntArray
from minidistil.kernels.activations import BIAS
from minidistil.kernels.engine import vector_math
from minidistil.kernels.engine.compile import reassociate
from minidistil.kernels.engine.parallel import run
from minidistil.kernels.engine.pool import awake_pool
from minidistil.kernels.engine.workspace import empty
from minidistil.kernels.gemm.blocked import DIRECT_ROWS
from minidistil.kernels.gemm.matmul import matmul
from minidistil.kernels.linear import Weight, add_column_sums
from minidistil.losses.cross_entropy import IGNORE_INDEX
from minidistil.losses.soft_labels import check_temperature
from minidistil.ops.linear_cross_entropy import LinearHead, TopKLogits, VocabularySums, rows_with_loss

# Tokens whose logits exist at a time. Each chunk reads the whole weight and adds to its gradient; for more
# rows than this a product would pack a copy of the weight.
CHUNK = DIRECT_ROWS
PART = 1024  # numbers summed in their own precision before the sum goes on in float64


@reassociate
def _largest(x: Array) -> Any:
    top = x[0]
    for c in range(x.shape[0]):
        top = x[c] if x[c] > top else top
    return top


@reassociate
def _sum(x: Array) -> Any:
    total: Any = 0.0
    for begin in range(0, x.shape[0], PART):
        part = x[begin : begin + PART]
        subtotal = x.dtype.type(0)
        for c in range(part.shape[0]):
            subtotal += part[c]
        total += subtotal
    return total


@reassociate
def _exp(x: Array, scale: Any, top: Any, out: Array) -> None:
    """out = exp(scale (x - top))."""
    for c in range(x.shape[0]):
        out[c] = vector_math.exp((x[c] - top) * scale)


@reassociate
def _gradients(
    z: Array, teacher_logits: Array, soft: bool, labels: Any, label_scale: Any, soft_scale: Any,
    temperature: Any, hard_sums: Array, soft_sums: Array, start: int, stop: int,
) -> None:  # fmt: skip
    """Replace each row of logits z [C, V] by the gradient of the losses; `teacher_logits` go with them.

    With p = exp(z / T) / sum exp(z / T): d cross-entropy = p - [label] (T = 1), d soft = T (p - p_teacher).
    """
    V, dtype = z.shape[1], z.dtype
    one, inverse = dtype.type(1), dtype.type(1) / temperature
    p, q, term = np.empty(V, dtype), np.empty(V, dtype), np.empty(V, dtype)
    for t in range(start, stop):
        row, label = z[t], labels[t]
        top = _largest(row)
        for c in range(V):
            p[c] = 0
        if label >= 0:
            _exp(row, one, top, p)
            total = _sum(p)
            hard_sums[t] = np.float64(top) + np.log(total) - np.float64(row[label])
            share = dtype.type(label_scale / total)
            for c in range(V):
                p[c] *= share
            p[label] -= label_scale
        if soft:
            other = teacher_logits[t]
            other_top = _largest(other)
            _exp(row, inverse, top, q)
            share = dtype.type(1 / _sum(q))
            log_total = dtype.type(-np.log(np.float64(share)))
            _exp(other, inverse, other_top, term)
            other_share = dtype.type(1 / _sum(term))
            other_log_total = dtype.type(-np.log(np.float64(other_share)))
            weight = soft_scale * temperature
            for c in range(V):
                term[c] *= other_share
                q[c] *= share
            for c in range(V):
                p[c] += weight * (q[c] - term[c])
            for c in range(V):
                difference = ((other[c] - other_top) * inverse - other_log_total) - (
                    (row[c] - top) * inverse - log_total
                )
                # A word that the teacher excludes costs nothing, as the limit of p log p is 0.
                term[c] *= difference if term[c] != 0 else one
            soft_sums[t] = np.float64(temperature) * np.float64(temperature) * _sum(term)
        for c in range(V):
            row[c] = p[c]


@reassociate
def _run(
    pool: Any, z: Array, teacher_logits: Array, soft: bool, labels: Any, label_scale: Any, soft_scale: Any,
    temperature: Any, hard_sums: Array, soft_sums: Array,
) -> None:  # fmt: skip
    arguments = (z, teacher_logits, soft, labels, label_scale, soft_scale, temperature, hard_sums, soft_sums)
    run(pool, _gradients, arguments, z.shape[0], 1)


def linear_cross_entropy(
    features: Array,
    weight: Weight,
    bias: Array,
    *,
    labels: IntArray | None = None,
    label_scale: float = 1.0,
    teacher: LinearHead | TopKLogits | None = None,
    soft_scale: float = 1.0,
    temperature: float = 2.0,
    dweight: Array | None = None,
    dbias: Array | None = None,
) -> tuple[VocabularySums, Array, Array, Array]:
    """See `minidistil.ops.linear_cross_entropy.linear_cross_entropy`."""
    rows = rows_with_loss(len(features), len(weight), labels, teacher)
    if teacher is not None:
        check_temperature(temperature)
    number, chosen = features.dtype.type, features[rows]
    n = len(chosen)
    dchosen = empty(chosen.shape, features.dtype)
    dweight = np.zeros(weight.shape, features.dtype) if dweight is None else dweight
    dbias = np.zeros(len(weight), features.dtype) if dbias is None else dbias
    words = np.full(n, IGNORE_INDEX, np.int64) if labels is None else np.asarray(labels[rows], np.int64)
    hard, soft = np.zeros(n), np.zeros(n)
    scales = number(label_scale), number(soft_scale), number(temperature)
    buffers = [empty((min(CHUNK, n), len(weight)), features.dtype) for _ in range(1 + (teacher is not None))]
    for begin in range(0, n, CHUNK):
        part = slice(begin, min(begin + CHUNK, n))
        x = chosen[part]
        z, teacher_logits = buffers[0][: len(x)], buffers[-1][: len(x)]
        matmul(x, weight, transpose_b=True, epilogue=BIAS, bias=bias, out=z)  # [C, H] -> [C, V]
        if isinstance(teacher, TopKLogits):
            teacher.fill(teacher_logits, part)
        elif teacher is not None:
            matmul(
                teacher.features[part], teacher.weight,
                transpose_b=True, epilogue=BIAS, bias=teacher.bias, out=teacher_logits,
            )  # fmt: skip
        sums = hard[part], soft[part]
        _run(awake_pool(), z, teacher_logits, teacher is not None, words[part], *scales, *sums)
        matmul(z, weight, out=dchosen[part])  # [C, V] -> [C, H]
        matmul(z, x, transpose_a=True, out=dweight, accumulate=True)  # [V, C] @ [C, H] -> [V, H]
        add_column_sums(awake_pool(), z, dbias)
    dfeatures = dchosen
    if n < len(features):
        dfeatures = np.zeros_like(features)
        dfeatures[rows] = dchosen
    return VocabularySums(float(hard.sum()), float(soft.sum())), dfeatures, dweight, dbias
