"""Losses of every token with every token of its own sequence, from queries, keys and values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array, IntArray, floats
from minidistil.errors import InputError, UsageError
from minidistil.losses.base import Loss

PARTS = "qkv"  # as they lie in a row


class BiasedLoss(NamedTuple):
    """A `Loss` that also has a gradient by the student's bias.

    Attributes
    ----------
    sum, count, grad
        As in `Loss`.
    dbias : [A, 2N - 1]
        Gradient of `sum` by the number for each head and distance.
    """

    sum: float
    count: int | float  # type: ignore[assignment]  # hides tuple.count, as in Loss
    grad: Array
    dbias: Array

    @property
    def mean(self) -> float:
        return self.sum / self.count if self.count else 0.0


def split_parts(qkv: Array, heads: int) -> Array:
    """[L, 3H] -> [3, A, L, D]: queries, keys, values, by heads."""
    return qkv.reshape(len(qkv), 3, heads, -1).transpose(1, 2, 0, 3)


def merge_parts(parts: Array) -> Array:
    """[3, A, L, D] -> [L, 3H]."""
    return parts.transpose(2, 0, 1, 3).reshape(parts.shape[2], -1)


def compare_scores(
    student_qkv: npt.ArrayLike,
    teacher_qkv: npt.ArrayLike,
    cu_seqlens: npt.ArrayLike,
    heads: int,
    pairs: Iterable[str],
    row_loss: Callable[[Array, Array], Loss],
    student_bias: Array | None = None,
    teacher_bias: Array | None = None,
) -> Loss | BiasedLoss:
    """Sum `row_loss` over the rows of the scores a b^T / sqrt(D), of student and teacher.

    Parameters
    ----------
    student_qkv, teacher_qkv, cu_seqlens
        As for `attention_scores_mse`.
    heads : int
        A, into how many parts each vector is split: D is H_s / A for the student, H_t / A for the teacher.
    pairs : str, each of two letters
        Names of a and b, each "q", "k" or "v".
    row_loss : (student's scores [A L, L], teacher's) -> Loss
    student_bias, teacher_bias : [A, 2N - 1], optional
        Added to the scores: number j - i + N - 1 of a head to that of i and j. N is at least the length of
        the longest sequence.

    Returns
    -------
    Loss, or BiasedLoss with a student's bias
        `sum` is over pairs, sequences, heads and rows; `count` is A * T, the rows of one pair; `grad` is
        [T, 3H_s].

    Raises
    ------
    InputError
        Shapes, dtypes, widths or lengths that do not fit.
    UsageError
        A number of heads below 1.

    Notes
    -----
    Forward, for one head of one sequence and s = 1 / sqrt(D): S = s a b^T. So, with dS from `row_loss`,

        da = s dS b,   db = s dS^T a

    Where a and b are the same array, both go to it.
    """
    mine, theirs, cu = checked(student_qkv, teacher_qkv, cu_seqlens, heads)
    for name, bias in (("student_bias", student_bias), ("teacher_bias", teacher_bias)):
        check_bias(name, bias, heads, int(np.diff(cu).max(initial=0)))
    dbias = None if student_bias is None else np.zeros_like(student_bias)
    total = 0.0
    grad = np.zeros_like(mine)
    for start, stop in pairwise(cu):
        s_parts = split_parts(mine[start:stop], heads)  # [3, A, L, D_s]
        t_parts = split_parts(theirs[start:stop], heads)  # [3, A, L, D_t]
        ds_parts = np.zeros_like(s_parts)
        for a, b in (map(PARTS.index, pair) for pair in pairs):
            scores = scaled_scores(s_parts[a], s_parts[b], student_bias)  # [A, L, L]
            length = scores.shape[-1]
            t_scores = scaled_scores(t_parts[a], t_parts[b], teacher_bias)
            loss = row_loss(scores.reshape(-1, length), t_scores.reshape(-1, length))
            total += loss.sum
            dscores = loss.grad.reshape(scores.shape)  # [A, L, L]
            if dbias is not None:
                np.add.at(dbias.T, places(length, dbias), dscores.transpose(1, 2, 0))
            dscores *= 1 / math.sqrt(s_parts.shape[-1])
            ds_parts[a] += dscores @ s_parts[b]  # [A, L, L] @ [A, L, D]
            ds_parts[b] += dscores.transpose(0, 2, 1) @ s_parts[a]
        grad[start:stop] = merge_parts(ds_parts)
    loss = Loss(total, heads * len(mine), grad)
    return loss if dbias is None else BiasedLoss(*loss, dbias)


def scaled_scores(a: Array, b: Array, bias: Array | None = None) -> Array:
    """a b^T / sqrt(D), and the bias of each distance: [A, L, D] and [A, L, D] -> [A, L, L]."""
    scores: Array = a @ b.transpose(0, 2, 1)
    scores *= 1 / math.sqrt(a.shape[-1])
    if bias is not None:
        scores += bias[:, places(scores.shape[-1], bias)]
    return scores


def places(length: int, bias: Array) -> IntArray:
    """Column of a bias [A, 2N - 1] for each query and key, [L, L]: distance 0 is in the middle."""
    i = np.arange(length)
    return np.asarray(bias.shape[1] // 2 + i - i[:, None])


def check_bias(name: str, bias: Array | None, heads: int, longest: int) -> None:
    """Raise an InputError unless a bias has a number for each head and each distance."""
    if bias is None:
        return
    shape = floats(name, bias, "A distances").shape
    if shape[0] != heads or shape[1] % 2 == 0 or shape[1] < 2 * longest - 1:
        raise InputError(
            f"{name} has shape {list(shape)}; {heads} heads and sequences of up to {longest} tokens need "
            f"[{heads}, {2 * longest - 1}], or more distances, as many on either side"
        )


def checked(
    student_qkv: npt.ArrayLike, teacher_qkv: npt.ArrayLike, cu_seqlens: npt.ArrayLike, heads: int
) -> tuple[Array, Array, npt.NDArray[np.integer[Any]]]:
    """The three arrays, if they fit together."""
    if heads < 1:
        raise UsageError(f"the number of heads must be at least 1, not {heads}")
    mine = floats("student_qkv", student_qkv, "T 3H")
    theirs = floats("teacher_qkv", teacher_qkv, "T 3H")
    if len(theirs) != len(mine):
        raise InputError(f"teacher_qkv has {len(theirs)} tokens, student_qkv has {len(mine)}")
    for name, qkv in (("student_qkv", mine), ("teacher_qkv", theirs)):
        if qkv.shape[1] == 0 or qkv.shape[1] % (3 * heads):
            raise InputError(
                f"{name} has {qkv.shape[1]} columns, and q, k and v of {heads} heads need a multiple of "
                f"{3 * heads}"
            )
    cu = np.asarray(cu_seqlens)
    if cu.ndim != 1 or not np.issubdtype(cu.dtype, np.integer) or len(cu) == 0:
        raise InputError(f"cu_seqlens must be integers of shape [B + 1], not {cu.dtype} {list(cu.shape)}")
    if cu[0] != 0 or cu[-1] != len(mine) or (np.diff(cu) < 1).any():
        raise InputError(
            f"cu_seqlens must rise from 0 to {len(mine)}, the number of tokens, not {cu.tolist()[:8]}"
        )
    return mine, theirs, cu
