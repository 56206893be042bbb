"""Losses of attention maps and relations together: sequence by sequence, dtypes, what is refused."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from minidistil.errors import InputError
from minidistil.losses import (
    attention_probabilities_kl,
    attention_scores_mse,
    self_attention_relations,
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
