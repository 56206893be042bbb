"""Cross-entropy by hand, and what ties its two forms together."""

from math import log

import numpy as np
import pytest

from minidistil.errors import InputError
from minidistil.losses import cross_entropy, soft_cross_entropy


def test_by_hand():
    """Logits log 1, log 2, log 5 are the probabilities 1/8, 1/4, 5/8. The label 1 costs log 4, and the
    gradient is p minus one at the label. In the second row all are 1/3, and the label costs log 3."""
    loss = cross_entropy(np.array([np.log([1, 2, 5]), [7, 7, 7]]), np.array([1, 2]))
    assert loss.sum == pytest.approx(log(4) + log(3), rel=1e-15)
    assert loss.count == 2
    np.testing.assert_allclose(loss.grad, [[1 / 8, 1 / 4 - 1, 5 / 8], [1 / 3, 1 / 3, 1 / 3 - 1]], rtol=1e-14)


def test_rows_without_a_label_do_not_count_even_if_nan():
    z = np.array([[1.0, 2.0], [np.nan, 0.0], [0.5, -1.0]])
    loss = cross_entropy(z, np.array([0, -100, 1]))
    only = cross_entropy(z[[0, 2]], np.array([0, 1]))
    assert (loss.sum, loss.count) == (only.sum, 2)
    np.testing.assert_array_equal(loss.grad, [only.grad[0], [0, 0], only.grad[1]])
    assert cross_entropy(z, np.array([0, 7, 1]), ignore_index=7).sum == loss.sum


def test_no_labels_at_all():
    loss = cross_entropy(np.ones((2, 3)), np.array([-100, -100]))
    assert (loss.sum, loss.count, loss.mean) == (0, 0, 0)
    np.testing.assert_array_equal(loss.grad, np.zeros((2, 3)))


def test_a_shift_of_the_logits_changes_nothing():
    z, y = np.random.default_rng(0).normal(size=(4, 5)), np.array([0, 1, 2, 4])
    plain, shifted = cross_entropy(z, y), cross_entropy(z + 100, y)
    assert shifted.sum == pytest.approx(plain.sum, rel=1e-13)
    np.testing.assert_allclose(plain.grad.sum(1), 0, atol=1e-15)  # so the gradient has no part along a shift


def test_one_hot_targets_equal_labels():
    z, y = np.random.default_rng(1).normal(size=(4, 5)), np.array([0, 1, 2, 4])
    hard, soft = cross_entropy(z, y), soft_cross_entropy(z, np.eye(5)[y])
    assert soft.sum == pytest.approx(hard.sum, rel=1e-15)
    assert soft.count == hard.count == 4
    np.testing.assert_allclose(soft.grad, hard.grad, atol=1e-16)


def test_soft_targets_by_hand():
    """Targets 1/2, 1/2 over probabilities 1/4, 3/4 cost (log 4 + log 4/3) / 2 = log(16/3) / 2. Targets
    that sum to 2 are twice as much of everything."""
    z = np.log([[1.0, 3.0]])
    loss = soft_cross_entropy(z, np.array([[0.5, 0.5]]))
    assert loss.sum == pytest.approx(log(16 / 3) / 2, rel=1e-15)
    np.testing.assert_allclose(loss.grad, [[-1 / 4, 1 / 4]], rtol=1e-15)
    double = soft_cross_entropy(z, np.array([[1.0, 1.0]]))
    assert double.sum == pytest.approx(2 * loss.sum)
    np.testing.assert_allclose(double.grad, 2 * loss.grad)


def test_a_class_of_no_weight_may_be_impossible():
    loss = soft_cross_entropy(np.array([[0.0, -np.inf]]), np.array([[1.0, 0.0]]))
    assert loss.sum == 0
    np.testing.assert_array_equal(loss.grad, [[0, 0]])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 3, -1], r"label 3 at index 1 is out of range: expected 0 to 2, or -100"),
        ([0, -1, 3], r"label -1 at index 1 is out of range"),
        ([0, 1], r"labels must be integers of shape \[3\], one a row, not int64 \[2\]"),
        ([0.0, 1.0, 2.0], r"not float64 \[3\]"),
        ([True, False, True], r"not bool \[3\]"),
    ],
)
def test_labels_that_cannot_be(labels, message):
    with pytest.raises(InputError, match=message):
        cross_entropy(np.zeros((3, 3)), labels)


def test_unsigned_labels_are_fine():
    assert cross_entropy(np.zeros((2, 4)), np.array([0, 3], np.uint8)).count == 2


def test_the_sum_of_many_float32_rows_is_accurate():
    """A million times log 2 in float32: adding up in float32 is off in the seventh digit."""
    loss = cross_entropy(np.zeros((1_000_000, 2), np.float32), np.zeros(1_000_000, np.int64))
    assert loss.sum == pytest.approx(1e6 * float(np.log(np.float32(2))), rel=1e-12)


def test_weights_of_classes():
    """p = 1/8, 1/4, 5/8 and thirds: the rows count 4 and 1/2, their sum is the mean's denominator."""
    z = np.array([np.log([1, 2, 5]), [7, 7, 7], [np.nan, 0, 0]])
    loss = cross_entropy(z, [1, 2, -100], class_weights=[3, 4, 0.5])
    assert loss.sum == pytest.approx(4 * log(4) + 0.5 * log(3), rel=1e-15)
    assert loss.count == 4.5
    np.testing.assert_allclose(
        loss.grad, [[4 / 8, 1 - 4, 20 / 8], [1 / 6, 1 / 6, 1 / 6 - 1 / 2], [0, 0, 0]], rtol=1e-14
    )
    plain = cross_entropy(z, [1, 2, -100])
    assert cross_entropy(z, [1, 2, -100], class_weights=[1, 1, 1])[:2] == plain[:2]
    with pytest.raises(InputError, match=r"class_weights have shape \[2\], not \[3\]"):
        cross_entropy(z, [1, 2, -100], class_weights=[1, 1])


def test_weighted_gradient_is_that_of_the_sum():
    rng = np.random.default_rng(0)
    z, y, w = rng.normal(size=(6, 4)), np.array([0, 3, -100, 1, 2, 1]), rng.random(4)
    grad = cross_entropy(z, y, class_weights=w).grad
    for i in np.ndindex(z.shape):
        up, down = z.copy(), z.copy()
        up[i] += 1e-6
        down[i] -= 1e-6
        sums = [cross_entropy(x, y, class_weights=w).sum for x in (up, down)]
        assert grad[i] == pytest.approx((sums[0] - sums[1]) / 2e-6, abs=1e-8)
