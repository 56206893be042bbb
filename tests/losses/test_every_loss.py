"""What holds for every objective: the gradient is the loss's, sums add up, dtypes stay, NaN shows."""

from collections.abc import Callable

import numpy as np
import pytest

import minidistil.losses
from minidistil.errors import InputError
from minidistil.losses import (
    Loss,
    binary_cross_entropy,
    cosine,
    cross_entropy,
    hidden_mse,
    logits_mse,
    mean_squared_error,
    pkd,
    soft_binary_kl,
    soft_cross_entropy,
    soft_label_kl,
)

N, C = 6, 5
rng = np.random.default_rng(7)
LABELS = np.array([0, 4, -100, 2, 1, -100])
OTHER = rng.normal(size=(N, C))
PROBABILITIES = rng.dirichlet(np.ones(C), N)

# name: (loss of some rows [N, C] and of what they are compared with, what they are compared with)
LOSSES: dict[str, tuple[Callable[..., Loss], np.ndarray]] = {
    "cross_entropy": (cross_entropy, LABELS),
    "soft_cross_entropy": (soft_cross_entropy, PROBABILITIES),
    "soft_binary_kl": (soft_binary_kl, OTHER),
    "soft_label_kl": (soft_label_kl, OTHER),
    "cosine": (cosine, OTHER),
    "mean_squared_error": (mean_squared_error, OTHER),
    "binary_cross_entropy": (binary_cross_entropy, PROBABILITIES),
    "logits_mse": (logits_mse, OTHER),
    "hidden_mse": (hidden_mse, OTHER),
    "pkd": (pkd, OTHER),
}
# Losses in which rows meet have files of their own, with tests of all this.
NOT_BY_ROW = {
    "triplet_margin",
    "contrastive",
    "attention_scores_mse",
    "attention_probabilities_kl",
    "self_attention_relations",
}
every_loss = pytest.mark.parametrize(("loss", "target"), LOSSES.values(), ids=LOSSES.keys())
masked = pytest.mark.parametrize(
    "loss", [soft_label_kl, cosine, mean_squared_error, logits_mse, hidden_mse, pkd]
)


def numeric_gradient(f, x, step=1e-5):
    """Central differences, entry by entry."""
    out = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += step
        down[i] -= step
        out[i] = (f(up) - f(down)) / (2 * step)
    return out


def test_no_loss_is_forgotten():
    others = {"IGNORE_INDEX", "BiasedLoss", "Loss", "ProjectedLoss", "log_softmax"}
    assert set(minidistil.losses.__all__) - others == set(LOSSES) | NOT_BY_ROW


@every_loss
def test_gradient_is_that_of_the_sum(loss, target):
    x = np.random.default_rng(0).normal(size=(N, C)) * 3
    expected = numeric_gradient(lambda x: loss(x, target).sum, x)
    got = loss(x, target).grad
    assert np.linalg.norm(got - expected) <= 1e-8 * np.linalg.norm(expected)
    assert np.linalg.norm(expected) > 0.1


@every_loss
def test_sums_and_counts_add_up_over_micro_batches(loss, target):
    x = np.random.default_rng(1).normal(size=(N, C))
    whole, first, second = loss(x, target), loss(x[:2], target[:2]), loss(x[2:], target[2:])
    assert whole.count == first.count + second.count
    np.testing.assert_allclose(whole.sum, first.sum + second.sum, rtol=1e-14)
    np.testing.assert_array_equal(whole.grad, np.concatenate([first.grad, second.grad]))
    assert whole.mean == whole.sum / whole.count


@every_loss
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradient_keeps_the_dtype_and_the_inputs(loss, target, dtype):
    x = np.random.default_rng(2).normal(size=(N, C)).astype(dtype)
    before, target_before = x.copy(), target.copy()
    result = loss(x, target)
    assert result.grad.dtype == dtype
    assert result.grad.shape == x.shape
    assert type(result.sum) is float
    assert type(result.count) is int
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(target, target_before)
    exact = loss(x.astype(np.float64), target)
    np.testing.assert_allclose(result.sum, exact.sum, rtol=1e-5)
    np.testing.assert_allclose(result.grad, exact.grad, rtol=1e-4, atol=1e-6)


@every_loss
def test_nothing_costs_nothing(loss, target):
    result = loss(np.zeros((0, C)), target[:0])
    assert (result.sum, result.count, result.mean) == (0, 0, 0)
    assert result.grad.shape == (0, C)


@every_loss
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf_show_in_the_sum_or_the_gradient_without_a_warning(loss, target, bad):
    x = np.random.default_rng(3).normal(size=(N, C))
    x[1, 2] = bad
    result = loss(x, target)
    assert not np.isfinite(result.sum)
    others = np.arange(N) != 1
    assert np.isfinite(result.grad[others]).all()
    assert not np.isfinite(result.grad[1]).all() or np.isinf(bad)


@every_loss
def test_large_inputs_stay_finite(loss, target):
    x = np.array([[-2e4, 3e4, 0, 1e4, -1e4]] * N, dtype=np.float32)
    result = loss(x, target)
    assert np.isfinite(result.sum)
    assert np.isfinite(result.grad).all()


@every_loss
def test_inputs_that_are_not_rows_of_floats_are_refused(loss, target):
    with pytest.raises(InputError, match="array of floats, not int64"):
        loss(np.zeros((N, C), np.int64), target)
    with pytest.raises(InputError, match=r"float64 \[6, 5, 1\]"):
        loss(np.zeros((N, C, 1)), target)


@every_loss
def test_shapes_that_differ_are_refused(loss, target):
    with pytest.raises(InputError, match=r"shape|\[5\]"):
        loss(np.zeros((N - 1, C)), target)


@masked
def test_a_mask_leaves_the_other_rows_out(loss):
    r = np.random.default_rng(4)
    student, teacher, mask = r.normal(size=(N, C)), r.normal(size=(N, C)), np.array([1, 0, 1, 1, 0, 0]) == 1
    student[1] = np.nan  # what is left out cannot harm
    got, expected = loss(student, teacher, mask=mask), loss(student[mask], teacher[mask])
    assert (got.sum, got.count) == (expected.sum, 3)
    np.testing.assert_array_equal(got.grad[mask], expected.grad)
    assert (got.grad[~mask] == 0).all()
    empty = loss(student, teacher, mask=np.zeros(N, bool))
    assert (empty.sum, empty.count) == (0, 0)
    assert (empty.grad == 0).all()


@masked
@pytest.mark.parametrize("mask", [np.ones(N), np.ones(N - 1, bool)])
def test_a_mask_of_another_kind_is_refused(loss, mask):
    with pytest.raises(InputError, match=r"mask must be bool of shape \[6\]"):
        loss(OTHER, OTHER, mask=mask)
