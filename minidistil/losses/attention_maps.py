"""Attention maps: every head of the student looks where the same head of the teacher looks."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array
from minidistil.errors import InputError
from minidistil.losses.attention_scores import BiasedLoss, compare_scores
from minidistil.losses.base import Loss
from minidistil.losses.mse import mean_squared_error
from minidistil.losses.soft_labels import soft_label_kl


@np.errstate(invalid="ignore", over="ignore")  # a NaN or an Inf goes through; the trainer names it
def attention_scores_mse(
    student_qkv: npt.ArrayLike,
    teacher_qkv: npt.ArrayLike,
    cu_seqlens: npt.ArrayLike,
    heads: int,
    teacher_heads: int | None = None,
    *,
    student_bias: Array | None = None,
    teacher_bias: Array | None = None,
) -> Loss | BiasedLoss:
    """The mean over keys of (student's score - teacher's score)^2, summed over heads and queries.

    Scores are q k^T / sqrt(D), before the softmax, and a relative bias where a model has one.

    Parameters
    ----------
    student_qkv : float [T, 3H_s]
        Queries, keys and values side by side, of packed sequences.
    teacher_qkv : float [T, 3H_t]
        Of the same tokens. The widths may differ.
    cu_seqlens : int [B + 1]
        Cumulative lengths, from 0 to T. No sequence is empty.
    heads : int
        A, of the student and the teacher: head is compared with head.
    teacher_heads : int, optional
        The teacher's, if it is to be checked that they are as many.
    student_bias, teacher_bias : float [A, 2N - 1], optional
        What a model adds to the scores by distance: its output "attention_bias".

    Returns
    -------
    Loss, or BiasedLoss with a student's bias
        `count` is A * T: one row a head and query. `grad` is [T, 3H_s], zero in the columns of the values;
        `dbias` is like the bias.

    Raises
    ------
    InputError
        Numbers of heads that differ, or shapes, dtypes or lengths that do not fit.
    UsageError
        A number of heads below 1.

    Notes
    -----
    For query i of one head of a sequence of L tokens, with scores S of the student and U of the teacher,

        L_i = 1/L sum_j (S_ij - U_ij)^2,    dS_ij = 2/L (S_ij - U_ij)

    and, undoing S = q k^T / sqrt(D),

        dq = dS k / sqrt(D),    dk = dS^T q / sqrt(D),    db[d] = the sum of dS_ij over j - i = d

    This is TinyBERT's L_attn (Jiao et al. 2020, arXiv:1909.10351, equation 7). For one sequence, sum by
    count is 1/A sum_heads MSE(S, U), as there. Several are averaged over rows, so that a token counts the
    same in a long sequence and in a short one. The paper takes scores rather than probabilities since it
    learns faster from them; unlike the softmax they do see a constant added to a row.
    """
    check_heads(heads, teacher_heads)
    return compare_scores(
        student_qkv, teacher_qkv, cu_seqlens, heads, ("qk",), mean_squared_error, student_bias, teacher_bias
    )


@np.errstate(invalid="ignore", over="ignore")
def attention_probabilities_kl(
    student_qkv: npt.ArrayLike,
    teacher_qkv: npt.ArrayLike,
    cu_seqlens: npt.ArrayLike,
    heads: int,
    teacher_heads: int | None = None,
    *,
    student_bias: Array | None = None,
    teacher_bias: Array | None = None,
) -> Loss | BiasedLoss:
    """KL(teacher's attention probabilities || student's), summed over heads and queries.

    Parameters, the result's shape and the errors are those of `attention_scores_mse`. `count` is A * T: one
    distribution a head and query.

    Notes
    -----
    A row of scores is a row of logits over the keys, so this is `soft_label_kl` at temperature 1. With the
    student's probabilities P and the teacher's R, one row costs sum_j R_ij log(R_ij / P_ij), and

        dS = P - R,    dq = dS k / sqrt(D),    dk = dS^T q / sqrt(D)

    A token that is alone in its sequence looks at itself, whatever it thinks: it costs nothing, and counts.

    This is MiniLM's L_AT, for the last layer (Wang et al. 2020, arXiv:2002.10957, section 3.1): sum by
    count is the paper's 1/(A |x|) sum over heads and queries. `self_attention_relations` has the other
    half, L_VR, and the second version, which does not ask for equal numbers of heads.
    """
    check_heads(heads, teacher_heads)
    row_kl = partial(soft_label_kl, temperature=1.0)
    return compare_scores(
        student_qkv, teacher_qkv, cu_seqlens, heads, ("qk",), row_kl, student_bias, teacher_bias
    )


def check_heads(heads: int, teacher_heads: int | None) -> None:
    """Raise InputError where heads cannot be compared one by one."""
    if teacher_heads is not None and teacher_heads != heads:
        raise InputError(
            f"the student has {heads} heads, the teacher {teacher_heads}, and maps are compared head by "
            f"head: self_attention_relations compares models with different heads"
        )
