"""Binary cross-entropy by hand, and where the naive formula breaks."""

from math import log

import numpy as np
import pytest

from minidistil.errors import InputError
from minidistil.losses import binary_cross_entropy, cross_entropy


def test_by_hand():
    """Logit 0 is p = 1/2: either answer costs log 2, gradient 1/2 - y. Logit log 3 is p = 3/4: yes costs
    log 4/3 with gradient -1/4, no costs log 4 with gradient 3/4."""
    loss = binary_cross_entropy(np.array([[0.0, 0.0], [log(3), log(3)]]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert loss.sum == pytest.approx(2 * log(2) + log(4 / 3) + log(4), rel=1e-15)
    assert loss.count == 4
    np.testing.assert_allclose(loss.grad, [[-1 / 2, 1 / 2], [-1 / 4, 3 / 4]], rtol=1e-15)


def test_far_out_it_is_linear_and_does_not_overflow():
    """log(1 - sigmoid(1000)) is -Inf when computed step by step; the loss is simply 1000."""
    loss = binary_cross_entropy(np.array([[1000.0, -1000.0, 1000.0, -1000.0]]), np.array([[0, 1, 1, 0]]))
    assert loss.sum == 2000
    np.testing.assert_array_equal(loss.grad, [[1, -1, 0, 0]])


def test_small_differences_survive():
    """p near 1 leaves log1p(exp(-40)), which 1 - p would round to 0."""
    loss = binary_cross_entropy(np.array([[40.0]]), np.array([[1.0]]))
    assert loss.sum == pytest.approx(np.exp(-40.0), rel=1e-12, abs=0)


def test_yes_or_no_is_a_softmax_over_two_classes():
    z = np.random.default_rng(0).normal(size=(7, 1))
    y = np.array([0, 1, 1, 0, 1, 0, 0])
    binary, two = binary_cross_entropy(z, y[:, None]), cross_entropy(np.hstack([0 * z, z]), y)
    assert binary.sum == pytest.approx(two.sum, rel=1e-14)
    np.testing.assert_allclose(binary.grad[:, 0], two.grad[:, 1], rtol=1e-13)


def test_answering_no_to_the_opposite_question_costs_the_same():
    r = np.random.default_rng(1)
    z, y = r.normal(size=(3, 4)), r.uniform(size=(3, 4))
    plain, mirrored = binary_cross_entropy(z, y), binary_cross_entropy(-z, 1 - y)
    assert mirrored.sum == pytest.approx(plain.sum, rel=1e-14)
    np.testing.assert_allclose(mirrored.grad, -plain.grad, atol=1e-15)


def test_targets_must_have_the_shape_of_the_logits():
    with pytest.raises(InputError, match=r"targets has shape \[3\], logits has \[3, 2\]"):
        binary_cross_entropy(np.zeros((3, 2)), np.zeros(3))
