"""Attention maps and relations: by hand, against attention itself, and sequence by sequence."""

from functools import partial
from itertools import pairwise
from math import log

import numpy as np
import pytest

from minidistil import ops
from minidistil.errors import InputError, UsageError
from minidistil.losses import (
    attention_probabilities_kl,
    attention_scores_mse,
    mean_squared_error,
    self_attention_relations,
    soft_label_kl,
)

rng = np.random.default_rng(0)
CU = np.array([0, 1, 3, 8])
STUDENT, TEACHER = rng.normal(size=(8, 12)), rng.normal(size=(8, 24))  # widths 4 and 8
Q, K, V = (slice(i, i + 4) for i in (0, 4, 8))

# name: (loss of student, teacher, cu_seqlens; columns that it leaves alone)
LOSSES = {
    "scores": (partial(attention_scores_mse, heads=2), [V]),
    "probabilities": (partial(attention_probabilities_kl, heads=2), [V]),
    "relations": (partial(self_attention_relations, relation_heads=2), []),
    "values": (partial(self_attention_relations, relation_heads=4, relations=("v",)), [Q, K]),
    "queries and keys": (partial(self_attention_relations, relation_heads=1, relations="qk"), [V]),
}
every_loss = pytest.mark.parametrize(("loss", "untouched"), LOSSES.values(), ids=LOSSES.keys())


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


def test_a_relation_by_hand():
    """Values (1, 0): scores (1, 0), (0, 0), probabilities (e, 1) / (1 + e) and halves. The teacher's values
    are zero: halves. dS = (p - 1/2, 1/2 - p), (0, 0). v_0 is on both sides: 2 (p - 1/2); v_1: 1/2 - p."""
    student, teacher = np.zeros((2, 3)), np.zeros((2, 3))
    student[0, 2] = 1
    p = np.e / (1 + np.e)
    loss = self_attention_relations(student, teacher, [0, 2], relation_heads=1, relations=("v",))
    assert loss.sum == pytest.approx(-log(2) - (log(p) + log(1 - p)) / 2, rel=1e-14)
    np.testing.assert_allclose(loss.grad, [[0, 0, 2 * p - 1], [0, 0, 0.5 - p]], atol=1e-15)


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


def test_relations_add_up():
    together = self_attention_relations(STUDENT, TEACHER, CU, relation_heads=2)
    one_by_one = [
        self_attention_relations(STUDENT, TEACHER, CU, relation_heads=2, relations=(name,)) for name in "qkv"
    ]
    assert together.sum == pytest.approx(sum(one.sum for one in one_by_one), rel=1e-13)
    assert together.count == one_by_one[0].count == 2 * 8
    np.testing.assert_allclose(together.grad, sum(one.grad for one in one_by_one), rtol=1e-12)


@every_loss
def test_sums_and_counts_add_up_over_sequences(loss, untouched):
    whole = loss(STUDENT, TEACHER, CU)
    parts = [loss(STUDENT[a:b], TEACHER[a:b], [0, b - a]) for a, b in pairwise(CU)]
    assert whole.count == sum(part.count for part in parts)
    assert whole.sum == pytest.approx(sum(part.sum for part in parts), rel=1e-14)
    np.testing.assert_array_equal(whole.grad, np.concatenate([part.grad for part in parts]))


@every_loss
def test_only_what_is_compared_has_a_gradient(loss, untouched):
    grad = loss(STUDENT, TEACHER, CU).grad
    for part in (Q, K, V):
        assert (grad[:, part] == 0).all() == (part in untouched)


@every_loss
def test_the_teacher_itself_costs_nothing(loss, untouched):
    result = loss(TEACHER, TEACHER, CU)
    assert result.sum == 0
    np.testing.assert_array_equal(result.grad, 0)


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "scores"])
def test_a_token_alone_looks_at_itself(name):
    """Its row has one entry, 1 for both: it costs nothing and counts."""
    loss = LOSSES[name][0]
    result = loss(STUDENT[:1], TEACHER[:1], [0, 1])
    assert result.sum == 0
    assert result.count > 0
    np.testing.assert_array_equal(result.grad, 0)


@every_loss
def test_no_sequences(loss, untouched):
    result = loss(STUDENT[:0], TEACHER[:0], [0])
    assert (result.sum, result.count, result.mean) == (0, 0, 0)
    assert result.grad.shape == (0, 12)


@every_loss
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_stay_and_inputs_too(loss, untouched, dtype):
    student, teacher = STUDENT.astype(dtype), TEACHER.copy()
    before = student.copy()
    result = loss(student, teacher, CU)
    assert result.grad.dtype == dtype
    assert (type(result.sum), type(result.count)) == (float, int)
    np.testing.assert_array_equal(student, before)
    np.testing.assert_array_equal(teacher, TEACHER)
    exact = loss(STUDENT, TEACHER, CU)
    assert result.sum == pytest.approx(exact.sum, rel=1e-5)
    np.testing.assert_allclose(result.grad, exact.grad, rtol=1e-4, atol=1e-5)


@every_loss
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf_show_in_their_own_sequence_only(loss, untouched, bad):
    student = STUDENT.copy()
    student[2] = bad
    result = loss(student, TEACHER, CU)
    assert not np.isfinite(result.sum)
    assert not np.isfinite(result.grad[1:3]).all()
    assert np.isfinite(result.grad[[0, 3, 4, 5, 6, 7]]).all()


@every_loss
@pytest.mark.parametrize(
    ("student", "teacher", "cu", "message"),
    [
        (STUDENT, TEACHER[:7], CU, "teacher_qkv has 7 tokens, student_qkv has 8"),
        (STUDENT[:, :11], TEACHER, CU, "student_qkv has 11 columns"),
        (STUDENT, TEACHER[:, :23], CU, "teacher_qkv has 23 columns"),
        (STUDENT[:, :0], TEACHER, CU, "student_qkv has 0 columns"),
        (STUDENT.astype(int), TEACHER, CU, "student_qkv must be a 2-d array of floats, not int64"),
        (STUDENT, TEACHER[None], CU, r"teacher_qkv must be a 2-d array of floats, not float64 \[1, 8, 24\]"),
        (STUDENT, TEACHER, [0, 3, 7], "cu_seqlens must rise from 0 to 8, the number of tokens"),
        (STUDENT, TEACHER, [1, 8], "must rise from 0 to 8"),
        (STUDENT, TEACHER, [0, 3, 3, 8], r"must rise from 0 to 8, the number of tokens, not \[0, 3, 3, 8\]"),
        (STUDENT, TEACHER, [0, 5, 3, 8], "must rise"),
        (STUDENT, TEACHER, [0.0, 8.0], r"cu_seqlens must be integers of shape \[B \+ 1\], not float64 \[2\]"),
        (STUDENT, TEACHER, np.zeros(0, int), r"cu_seqlens must be integers of shape \[B \+ 1\]"),
    ],
)
def test_what_does_not_fit_is_refused(loss, untouched, student, teacher, cu, message):
    with pytest.raises(InputError, match=message):
        loss(student, teacher, cu)


@pytest.mark.parametrize("loss", [attention_scores_mse, attention_probabilities_kl])
def test_heads_must_be_as_many(loss):
    assert loss(STUDENT, TEACHER, CU, 2, teacher_heads=2) is not None
    with pytest.raises(InputError, match=r"the student has 2 heads, the teacher 4.*self_attention_relations"):
        loss(STUDENT, TEACHER, CU, 2, teacher_heads=4)
    with pytest.raises(InputError, match="student_qkv has 12 columns, and q, k and v of 8 heads need"):
        loss(STUDENT, TEACHER, CU, 8)
    with pytest.raises(UsageError, match="the number of heads must be at least 1, not 0"):
        loss(STUDENT, TEACHER, CU, 0)


@pytest.mark.parametrize("relations", [(), ("q", "q"), ("x",), "qkvq", ("qk",), ("",)])
def test_relations_that_cannot_be(relations):
    with pytest.raises(UsageError, match="relations must be some of 'q', 'k', 'v', each at most once"):
        self_attention_relations(STUDENT, TEACHER, CU, relation_heads=2, relations=relations)
