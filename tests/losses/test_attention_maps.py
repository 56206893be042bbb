"""Attention maps: by hand, and against attention itself."""

from math import log

import numpy as np
import pytest

from minidistil import ops
from minidistil.errors import InputError, UsageError
from minidistil.losses import (
    BiasedLoss,
    attention_probabilities_kl,
    attention_scores_mse,
    mean_squared_error,
    soft_label_kl,
)

rng = np.random.default_rng(0)
CU = np.array([0, 1, 3, 8])
STUDENT, TEACHER = rng.normal(size=(8, 12)), rng.normal(size=(8, 24))  # widths 4 and 8
Q, K = slice(0, 4), slice(4, 8)


def test_scores_by_hand():
    """One head of one column. The student's q (1, 0) and k (2, 3) score (2, 3), (0, 0); the teacher's q
    (1, 1) and k (2, 1) score (2, 1), (2, 1). Differences (0, 2), (-2, -1): means of squares 2 and 5/2. With
    L = 2 they are dS; dq = dS k = (6, -7), dk = dS^T q = (0, 2)."""
    student = np.array([[1.0, 2.0, 9.0], [0.0, 3.0, 9.0]])
    teacher = np.array([[1.0, 2.0, 0.0], [1.0, 1.0, 0.0]])
    loss = attention_scores_mse(student, teacher, [0, 2], 1)
    assert (loss.sum, loss.count) == (4.5, 2)
    np.testing.assert_array_equal(loss.grad, [[6, 0, 0], [-7, 2, 0]])


def test_probabilities_by_hand():
    """The student looks equally at both keys (q = 0), the teacher's query log 3 at keys 1, 0 with 3/4, 1/4:
    KL = 3/4 log(3/2) + 1/4 log(1/2). dS = (-1/4, 1/4), so dq = (9 - 5) / 4 and dk = 0. The second token's
    queries are 0 in both."""
    student, teacher = np.array([[0.0, 5.0, 1.0], [0.0, 9.0, 1.0]]), np.array([[log(3), 1.0, 0], [0, 0, 0]])
    loss = attention_probabilities_kl(student, teacher, [0, 2], 1)
    assert loss.sum == pytest.approx(0.75 * log(1.5) - 0.25 * log(2), rel=1e-14)
    assert loss.count == 2
    np.testing.assert_allclose(loss.grad, [[1, 0, 0], [0, 0, 0]], atol=1e-15)


def test_maps_are_those_of_attention():
    """The KL of the probabilities that the textbook's attention has, over heads and rows."""
    mine = ops.attention_probabilities(STUDENT, CU, 2)
    theirs = ops.attention_probabilities(TEACHER, CU, 2)
    kl = sum(float((r * np.log(r / p)).sum()) for p, r in zip(mine, theirs, strict=True))
    loss = attention_probabilities_kl(STUDENT, TEACHER, CU, 2)
    assert loss.sum == pytest.approx(kl, rel=1e-13)
    assert loss.count == 2 * 8


def test_one_sequence_is_the_mean_over_heads_of_the_maps():
    """TinyBERT's equation 7, with q and k cut up by hand."""
    expected = []
    for head in range(2):
        mine = STUDENT[:, 2 * head : 2 * head + 2] @ STUDENT[:, 4 + 2 * head : 6 + 2 * head].T / 2**0.5
        theirs = TEACHER[:, 4 * head : 4 * head + 4] @ TEACHER[:, 8 + 4 * head : 12 + 4 * head].T / 2
        expected.append(((mine - theirs) ** 2).mean())
    assert attention_scores_mse(STUDENT, TEACHER, [0, 8], 2).mean == pytest.approx(
        np.mean(expected), rel=1e-13
    )


def test_rows_are_the_losses_of_rows():
    """One head, one sequence: plain losses between [L, L]."""
    mine, theirs = STUDENT[:, Q] @ STUDENT[:, K].T / 2, TEACHER[:, :8] @ TEACHER[:, 8:16].T / 8**0.5
    mse, kl = mean_squared_error(mine, theirs), soft_label_kl(mine, theirs, temperature=1.0)
    assert attention_scores_mse(STUDENT, TEACHER, [0, 8], 1).sum == pytest.approx(mse.sum, rel=1e-13)
    assert attention_probabilities_kl(STUDENT, TEACHER, [0, 8], 1).sum == pytest.approx(kl.sum, rel=1e-13)


@pytest.mark.parametrize("loss", [attention_scores_mse, attention_probabilities_kl])
def test_heads_must_be_as_many(loss):
    assert loss(STUDENT, TEACHER, CU, 2, teacher_heads=2) is not None
    with pytest.raises(InputError, match=r"the student has 2 heads, the teacher 4.*self_attention_relations"):
        loss(STUDENT, TEACHER, CU, 2, teacher_heads=4)
    with pytest.raises(InputError, match="student_qkv has 12 columns, and q, k and v of 8 heads need"):
        loss(STUDENT, TEACHER, CU, 8)
    with pytest.raises(UsageError, match="the number of heads must be at least 1, not 0"):
        loss(STUDENT, TEACHER, CU, 0)


@pytest.mark.parametrize("loss", [attention_scores_mse, attention_probabilities_kl])
def test_a_bias_is_part_of_the_scores(loss):
    """Head by head from its definition; a distance gets the sum of what its scores get."""
    mine, theirs = rng.normal(size=(2, 9)), rng.normal(size=(2, 11))  # up to distances of 4 and 5
    found = loss(STUDENT, TEACHER, CU, 2, student_bias=mine, teacher_bias=theirs)
    assert isinstance(found, BiasedLoss)
    total, dbias = 0.0, np.zeros_like(mine)
    for begin, end in ((0, 1), (1, 3), (3, 8)):
        L = end - begin
        place = np.arange(L) - np.arange(L)[:, None]
        for head in range(2):
            s = STUDENT[begin:end, 2 * head :][:, :2] @ STUDENT[begin:end, 4 + 2 * head :][:, :2].T / 2**0.5
            t = TEACHER[begin:end, 4 * head :][:, :4] @ TEACHER[begin:end, 8 + 4 * head :][:, :4].T / 2
            rows = mean_squared_error if loss is attention_scores_mse else soft_label_kl
            options = {} if rows is mean_squared_error else {"temperature": 1.0}
            part = rows(s + mine[head, 4 + place], t + theirs[head, 5 + place], **options)
            total += part.sum
            for i, j in np.ndindex(L, L):
                dbias[head, 4 + j - i] += part.grad[i, j]
    assert (found.sum, found.count) == (pytest.approx(total, rel=1e-12), 16)
    np.testing.assert_allclose(found.dbias, dbias, rtol=1e-10, atol=1e-14)
    assert type(loss(STUDENT, TEACHER, CU, 2, teacher_bias=theirs)) is type(loss(STUDENT, TEACHER, CU, 2))


@pytest.mark.parametrize("shape", [(3, 9), (2, 7), (2, 10), (9,)])
def test_a_bias_of_another_shape(shape):
    with pytest.raises(InputError, match=r"^student_bias (has shape|must be a 2-d array)"):
        attention_scores_mse(STUDENT, TEACHER, CU, 2, student_bias=np.zeros(shape))
    with pytest.raises(InputError, match=r"^teacher_bias "):
        attention_scores_mse(STUDENT, TEACHER, CU, 2, teacher_bias=np.zeros(shape))
