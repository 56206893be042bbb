"""Relations: how the queries, keys or values of a sequence relate to one another, for any number of heads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from minidistil.errors import UsageError
from minidistil.losses.attention_scores import PARTS, compare_scores
from minidistil.losses.base import Loss
from minidistil.losses.soft_labels import soft_label_kl


@np.errstate(invalid="ignore", over="ignore")  # a NaN or an Inf goes through; the trainer names it
def self_attention_relations(
    student_qkv: npt.ArrayLike,
    teacher_qkv: npt.ArrayLike,
    cu_seqlens: npt.ArrayLike,
    *,
    relation_heads: int,
    relations: Sequence[str] = ("q", "k", "v"),
) -> Loss:
    """KL(teacher's relation || student's), summed over relations, relation heads and tokens.

    A relation is softmax(a a^T / sqrt(D_r)), a being the queries, the keys or the values.

    Parameters
    ----------
    student_qkv, teacher_qkv, cu_seqlens
        As for `attention_scores_mse`. The widths may differ.
    relation_heads : int
        A_r. Vectors of all attention heads are put together (they lie so) and split into A_r parts, of
        D_r = H_s / A_r columns for the student and H_t / A_r for the teacher. It must divide both widths.
    relations : sequence of "q", "k", "v"
        Relations, each at most once.

    Returns
    -------
    Loss
        `count` is A_r * T: the rows of one relation, so that `mean` is the sum of the relations' means.
        `grad` is [T, 3H_s], zero in the columns of parts that have no relation.

    Raises
    ------
    InputError
        Shapes, dtypes, widths or lengths that do not fit.
    UsageError
        Relations or a number of heads that cannot be.

    Notes
    -----
    For one head of one sequence, S = a a^T / sqrt(D_r), P = softmax(S) by rows for the student, R likewise
    for the teacher. As in `attention_probabilities_kl`, dS = P - R. Now a stands on both sides of S:

        da = (dS + dS^T) a / sqrt(D_r)

    P and R are [L, L] whatever the widths, so nothing has to be projected. The scale takes D_r of each
    model, as an attention head would.

    With relations ("q", "k", "v"), of one layer of the teacher and the student's last, this is MiniLMv2
    (Wang et al. 2021, arXiv:2012.15828, section 3.1): sum by count is 1/(A_r |x|) sum over heads and
    tokens, added up over relations, each with weight 1. There may be more relation heads than attention
    heads, which compares finer pieces (the paper takes 48 for the 12 heads of a base model).

    With relations ("v",) and relation_heads the number of attention heads of both, it is L_VR of the first
    MiniLM (Wang et al. 2020, arXiv:2002.10957, section 3.2), whose objective is
    `attention_probabilities_kl` plus it.
    """
    names = list(relations)
    if not names or len(set(names)) < len(names) or not set(names) <= set(PARTS):
        raise UsageError(f"relations must be some of 'q', 'k', 'v', each at most once, not {relations!r}")
    row_kl = partial(soft_label_kl, temperature=1.0)
    pairs = [2 * name for name in names]
    loss = compare_scores(student_qkv, teacher_qkv, cu_seqlens, relation_heads, pairs, row_kl)
    assert isinstance(loss, Loss)  # without a bias
    return loss
