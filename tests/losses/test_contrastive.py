"""Contrastive loss by hand, by its definition, and where nothing is compared."""

import numpy as np
import pytest

from minidistil.errors import InputError, UsageError
from minidistil.losses import contrastive, cross_entropy

rng = np.random.default_rng(0)
X = rng.normal(size=(9, 4))
Y = np.array([0, 1, 0, 2, 1, 1, 0, 3, 1])


def test_by_hand():
    """Rows (1, 0), (0, 2), (0, 1), the first two of one class, T = 1. Cosines: 0, 0 and 1. Anchor 1 sees the
    scores 0, 0 and anchor 2 the scores 0, 1: ln 2 and ln(1 + e). The third has no positive.
    """
    loss = contrastive([[1.0, 0.0], [0.0, 2.0], [0.0, 1.0]], [5, 5, 6], temperature=1.0)
    assert loss.count == 2
    assert loss.sum == pytest.approx(np.log(2) + np.log(1 + np.e))
    # dL/ds: 1/2 - 1 and 1/(1 + e) - 1 by s_12, 1/2 by s_13; e/(1 + e) by s_23, which is at its top.
    both = 1 / (1 + np.e) - 1.5
    np.testing.assert_allclose(
        loss.grad, [[0, both + 0.5], [both / 2, 0], [0.5, 0]], atol=1e-12
    )  # s_12's slope by row 2 is along (1, 0), by its length 2; that by row 1 is along (0, 1)


def test_by_its_definition():
    """Every anchor by itself: a cross-entropy over the others, for each of its positives."""
    temperature, total, count = 0.3, 0.0, 0
    u = X / np.linalg.norm(X, axis=1, keepdims=True)
    for i in range(len(X)):
        others = [j for j in range(len(X)) if j != i]
        scores = u[others] @ u[i] / temperature
        positives = [k for k, j in enumerate(others) if Y[j] == Y[i]]
        if positives:
            count += 1
            total += np.mean([cross_entropy(scores[None], np.array([k])).sum for k in positives])
    loss = contrastive(X, Y, temperature=temperature)
    assert loss.count == count == 7
    assert loss.sum == pytest.approx(total, rel=1e-12)


def test_gradient():
    loss, step = contrastive(X, Y, temperature=0.3), 1e-6
    for i in np.ndindex(X.shape):
        up, down = X.copy(), X.copy()
        up[i] += step
        down[i] -= step
        slope = (contrastive(up, Y, temperature=0.3).sum - contrastive(down, Y, temperature=0.3).sum) / (
            2 * step
        )
        assert loss.grad[i] == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_nothing_to_compare():
    for x, y in (
        (X[:0], []),
        (X[:1], [3]),
        (X[:3], [0, 1, 2]),
        (X[:2], [-100, -100]),
    ):
        loss = contrastive(x, np.array(y, int))
        assert (loss.sum, loss.count) == (0, 0)
        np.testing.assert_array_equal(loss.grad, np.zeros_like(x))


def test_rows_without_a_class_take_no_part():
    y = np.where(Y == 1, -100, Y)
    x = np.where((Y == 1)[:, None], np.nan, X)
    loss, rest = contrastive(x, y), contrastive(X[Y != 1], Y[Y != 1])
    assert (loss.sum, loss.count) == (rest.sum, rest.count)
    np.testing.assert_array_equal(loss.grad[Y != 1], rest.grad)
    assert not loss.grad[Y == 1].any()
    x[0] = np.nan
    assert np.isnan(contrastive(x, y).sum), "NaN elsewhere shows"


def test_dtype_stays_and_large_scores_are_finite():
    loss = contrastive(np.float32(X), Y, temperature=1e-3)
    assert loss.grad.dtype == np.float32
    assert np.isfinite(loss.sum)
    assert np.isfinite(loss.grad).all()


def test_only_directions_count():
    loss = contrastive(X, Y)
    assert contrastive(X * rng.uniform(1, 9, (9, 1)), Y).sum == pytest.approx(loss.sum)
    np.testing.assert_allclose((loss.grad * X).sum(1), 0, atol=1e-9)


@pytest.mark.parametrize("temperature", [0, -1.0, np.inf, np.nan])
def test_a_bad_temperature(temperature):
    with pytest.raises(UsageError, match="temperature must be positive"):
        contrastive(X, Y, temperature=temperature)


def test_other_shapes():
    with pytest.raises(InputError):
        contrastive(X[0], Y)
    with pytest.raises(InputError, match="labels must be integers"):
        contrastive(X, Y[:3])
