"""Soft labels by hand, and the identities their page states."""

from math import log

import numpy as np
import pytest

from minidistil.errors import InputError, UsageError
from minidistil.losses import mean_squared_error, soft_cross_entropy, soft_label_kl

rng = np.random.default_rng(0)
STUDENT, TEACHER = rng.normal(size=(4, 6)), rng.normal(size=(4, 6))


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_by_hand():
    """T = 2. The student's 0, 0 are 1/2, 1/2. The teacher's 0, 2 log 3, divided by 2, are 1/4, 3/4.
    KL = 1/4 log(1/2) + 3/4 log(3/2) = log 3 * 3/4 - log 2, times T^2 = 4; gradient 2 (1/4, -1/4)."""
    loss = soft_label_kl(np.zeros((1, 2)), np.array([[0, 2 * log(3)]]), temperature=2.0)
    assert loss.sum == pytest.approx(4 * (0.75 * log(3) - log(2)), rel=1e-14)
    assert loss.count == 1
    np.testing.assert_allclose(loss.grad, [[0.5, -0.5]], rtol=1e-14)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 8.0])
def test_gradient_is_temperature_times_the_difference_of_probabilities(temperature):
    loss = soft_label_kl(STUDENT, TEACHER, temperature=temperature)
    expected = temperature * (softmax(STUDENT / temperature) - softmax(TEACHER / temperature))
    np.testing.assert_allclose(loss.grad, expected, rtol=1e-13, atol=1e-15)


def test_the_teacher_itself_costs_nothing():
    loss = soft_label_kl(TEACHER, TEACHER)
    assert loss.sum == 0
    np.testing.assert_array_equal(loss.grad, 0)


def test_it_is_positive_and_not_symmetric():
    there, back = soft_label_kl(STUDENT, TEACHER), soft_label_kl(TEACHER, STUDENT)
    assert there.sum > 0
    assert back.sum > 0
    assert there.sum != pytest.approx(back.sum, rel=1e-3)


def test_shifts_of_either_change_nothing():
    plain, shifted = soft_label_kl(STUDENT, TEACHER), soft_label_kl(STUDENT + 5, TEACHER - 9)
    assert shifted.sum == pytest.approx(plain.sum, rel=1e-12)
    np.testing.assert_allclose(shifted.grad, plain.grad, atol=1e-14)


def test_cross_entropy_minus_the_teachers_entropy():
    p = softmax(TEACHER)
    ce, kl = soft_cross_entropy(STUDENT, p), soft_label_kl(STUDENT, TEACHER, temperature=1.0)
    entropy = -float((p * np.log(p)).sum())
    assert ce.sum - entropy == pytest.approx(kl.sum, rel=1e-12)
    np.testing.assert_allclose(ce.grad, kl.grad, atol=1e-15)


def test_the_gradient_keeps_its_size_at_high_temperature():
    """T (p_s - p_t) tends to (z_s - z_t) / C for logits of mean zero: half of the squared error's."""
    s, t = (z - z.mean(-1, keepdims=True) for z in (STUDENT, TEACHER))
    hot = soft_label_kl(s, t, temperature=1e4)
    np.testing.assert_allclose(hot.grad, (s - t) / 6, atol=1e-4)
    np.testing.assert_allclose(hot.grad, mean_squared_error(s, t).grad / 2, atol=1e-4)
    assert hot.sum == pytest.approx(mean_squared_error(s, t).sum / 2, rel=1e-3)


def test_classes_the_teacher_rules_out():
    """A teacher's logit of -Inf costs nothing; a student's, where the teacher has hope, infinitely much."""
    out = np.array([[0.0, 0.0, -np.inf]])
    assert soft_label_kl(np.zeros((1, 3)), out, temperature=1.0).sum == pytest.approx(log(3 / 2))
    assert soft_label_kl(out, np.zeros((1, 3))).sum == np.inf
    assert soft_label_kl(out, out).sum == 0


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_temperatures_that_cannot_be(temperature):
    with pytest.raises(UsageError, match="temperature must be positive and finite"):
        soft_label_kl(STUDENT, TEACHER, temperature=temperature)


def test_vocabularies_must_match():
    with pytest.raises(InputError, match=r"teacher_logits has shape \[4, 7\], student_logits has \[4, 6\]"):
        soft_label_kl(STUDENT, np.zeros((4, 7)))
