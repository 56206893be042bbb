"""The fused linear layer and cross-entropy by hand: from labels, from a teacher, from its best words."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from minidistil.ops.linear_cross_entropy import LinearHead, TopKLogits

X = np.array([[1.0], [2]])  # 2 tokens of one number
BIAS = np.zeros(2)
LOG3, LOG9 = np.log(3), np.log(9)


def test_by_hand(backend):
    """A vocabulary of two words with W = (log 3, 0). Token 0 has logits (log 3, 0) and p = (3/4, 1/4).

    Its label is word 0, which costs -log 3/4. The gradient by the logits is p - (1, 0) = (-1/4, 1/4), so dx =
    -1/4 log 3 + 1/4 * 0, and dW and db are (-1/4, 1/4) too, since x = 1. Token 1 has no label: it costs
    nothing, and its logits are never computed.
    """
    weight, labels = np.array([[LOG3], [0]]), np.array([0, -100])
    sums, dx, dweight, dbias = backend.linear_cross_entropy(X, weight, BIAS, labels=labels)
    assert sums == pytest.approx((np.log(4 / 3), 0), rel=1e-12)
    assert_allclose(dx, [[-LOG3 / 4], [0]], rtol=1e-12)
    assert_allclose(dweight, [[-1 / 4], [1 / 4]], rtol=1e-12)
    assert_allclose(dbias, [-1 / 4, 1 / 4], rtol=1e-12)


def test_soft_labels_by_hand(backend):
    """A teacher of another width, whose logits are (0, 0) for token 0 and so p_t = (1/2, 1/2). At temperature
    2 the student's (log 9, 0) become (log 3, 0), p_s = (3/4, 1/4), and

        T^2 KL = 4 (1/2 log (1/2 : 3/4) + 1/2 log (1/2 : 1/4)) = 2 log 4/3

    with gradient T (p_s - p_t) = (1/2, -1/2). For token 1 both have logits (2 log 9, 0): no cost.
    """
    weight = np.array([[LOG9], [0]])
    teacher = LinearHead(np.array([[0.0, 0], [2, 2]]), np.array([[LOG9, 0], [0, 0]]), BIAS)
    sums, dx, dweight, dbias = backend.linear_cross_entropy(X, weight, BIAS, teacher=teacher, temperature=2.0)
    assert sums == pytest.approx((0, 2 * np.log(4 / 3)), rel=1e-12)
    assert_allclose(dx, [[LOG9 / 2], [0]], rtol=1e-12, atol=1e-15)
    assert_allclose(dweight, [[1 / 2], [-1 / 2]], rtol=1e-12, atol=1e-15)
    assert_allclose(dbias, [1 / 2, -1 / 2], rtol=1e-12, atol=1e-15)


def test_of_a_teachers_best_words_the_rest_are_impossible(backend):
    """Only word 1 is known of this teacher, so its soft label is (0, 1) and costs like a hard one."""
    weight, teacher = np.array([[LOG3], [0]]), TopKLogits(np.array([[1], [1]]), np.array([[5.0], [7]]), 2)
    soft = backend.linear_cross_entropy(X, weight, BIAS, teacher=teacher, temperature=1.0)
    hard = backend.linear_cross_entropy(X, weight, BIAS, labels=np.array([1, 1]))
    assert soft[0].soft == pytest.approx(hard[0].labels, rel=1e-12)
    for a, b in zip(soft[1:], hard[1:], strict=True):
        assert_allclose(a, b, rtol=1e-12, atol=1e-15)
