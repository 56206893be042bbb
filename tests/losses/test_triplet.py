"""Triplets by hand, by brute force, and where there are none."""

from itertools import product

import numpy as np
import pytest

from minidistil.errors import InputError, UsageError
from minidistil.losses import cosine, triplet_margin

rng = np.random.default_rng(0)
X = rng.normal(size=(9, 4))
Y = np.array([0, 1, 0, 2, 1, 1, 0, 3, 1])
DISTANCES = {
    "euclidean": lambda x, y: np.linalg.norm(x - y),
    "squared_euclidean": lambda x, y: ((x - y) ** 2).sum(),
    "cosine": lambda x, y: cosine(x[None], y[None]).sum,
}
every_distance = pytest.mark.parametrize("distance", DISTANCES)
every_mining = pytest.mark.parametrize("mining", ["batch_hard", "all"])

LINE = np.array([[0.0], [2.0], [3.0], [7.0]])  # two of class 0, two of class 1
LINE_LABELS = [0, 0, 1, 1]


def test_batch_hard_by_hand():
    """Margin 2. Anchor 0: 2 + 2 - 3 = 1. Anchor 2: 2 + 2 - 1 = 3. Anchor 3: 2 + 4 - 1 = 5. Anchor 7: 2 + 4 -
    5 = 1. Together 2 d(0,2) - d(0,3) - 2 d(2,3) + 2 d(3,7) - d(2,7), by the first point -2 + 1, and so on."""
    loss = triplet_margin(LINE, LINE_LABELS, margin=2.0)
    assert (loss.sum, loss.count, loss.mean) == (10, 4, 2.5)
    np.testing.assert_array_equal(loss.grad, [[-1], [5], [-5], [1]])


def test_all_triplets_by_hand():
    """Margin 2; of the triplets (anchor, positive, negative) (0,2,3) costs 1, (2,0,3) 3, (3,7,0) 3, (3,7,2) 5
    and (7,3,2) 1, while (0,2,7), (2,0,7) and (7,3,0) are satisfied."""
    loss = triplet_margin(LINE, LINE_LABELS, margin=2.0, mining="all")
    assert (loss.sum, loss.count) == (13, 8)
    # 2 d(0,2) + 3 d(3,7) - 2 d(0,3) - 2 d(2,3) - d(2,7)
    np.testing.assert_allclose(loss.grad, [[-2 + 2], [2 + 2 + 1], [-3 - 2 - 2], [3 - 1]], atol=1e-15)


@every_distance
def test_every_triplet_by_brute_force(distance):
    d = np.array([[DISTANCES[distance](x, y) for y in X] for x in X])
    n = range(len(X))
    triplets = [t for t in product(n, n, n) if t[0] != t[1] and Y[t[0]] == Y[t[1]] != Y[t[2]]]
    costs = [max(0, 1 + d[a, p] - d[a, n]) for a, p, n in triplets]
    loss = triplet_margin(X, Y, margin=1.0, distance=distance, mining="all")
    assert loss.count == len(triplets)
    assert loss.sum == pytest.approx(sum(costs), rel=1e-12)
    hardest = {}
    for (a, _, _), cost in zip(triplets, costs, strict=True):
        hardest[a] = max(hardest.get(a, 0), cost)
    loss = triplet_margin(X, Y, margin=1.0, distance=distance)
    assert loss.count == len(hardest) == 7  # classes 2 and 3 have one member each
    assert loss.sum == pytest.approx(sum(hardest.values()), rel=1e-12)


@every_distance
@every_mining
def test_nothing_to_learn_where_all_are_apart(distance, mining):
    """Two tight bunches in opposite directions: counted, but free."""
    x = np.array([[1, 0.0], [1, 0.01], [-1, 0.0], [-1, 0.01]])
    loss = triplet_margin(x, LINE_LABELS, margin=0.5, distance=distance, mining=mining)
    assert (loss.sum, loss.count) == (0, 8 if mining == "all" else 4)
    np.testing.assert_array_equal(loss.grad, 0)


@every_distance
@every_mining
@pytest.mark.parametrize(
    "labels", [[], [4], [0, 0, 0], [0, 1, 2], [-100, 0, 0], [-100, -100, 1]], ids=lambda labels: f"{labels}"
)
def test_batches_without_a_triplet(distance, mining, labels):
    """One class, nobody of the same class, no labels, nobody at all."""
    x = X[: len(labels)]
    loss = triplet_margin(x, labels, margin=1.0, distance=distance, mining=mining)
    assert (loss.sum, loss.count, loss.mean) == (0, 0, 0)
    np.testing.assert_array_equal(loss.grad, np.zeros(x.shape))


@every_distance
@every_mining
def test_equal_embeddings_have_no_slope_but_cost_the_margin(distance, mining):
    x = np.ones((4, 3))
    loss = triplet_margin(x, LINE_LABELS, margin=0.5, distance=distance, mining=mining)
    assert loss.mean == pytest.approx(0.5)
    np.testing.assert_allclose(loss.grad, 0, atol=1e-12)  # the eps of the cosine


@every_mining
def test_one_equal_pair_does_not_hide_the_other_distances(mining):
    """Anchor and positive equal: only the negative has a slope."""
    x = np.array([[1.0, 1.0], [1.0, 1.0], [4.0, 5.0]])
    loss = triplet_margin(x, [0, 0, 1], margin=6.0, mining=mining)
    assert (loss.sum, loss.count) == (2, 2)
    np.testing.assert_allclose(loss.grad, [[0.6, 0.8], [0.6, 0.8], [-1.2, -1.6]])


@every_mining
def test_zero_vectors_have_a_cosine(mining):
    x = np.zeros((4, 3))
    loss = triplet_margin(x, LINE_LABELS, margin=0.5, distance="cosine", mining=mining)
    assert loss.mean == 0.5
    np.testing.assert_array_equal(loss.grad, 0)


def test_the_hinge_itself_is_free():
    """Margin 1 and distances 2 and 3: exactly satisfied."""
    loss = triplet_margin(np.array([[0.0], [2.0], [-3.0]]), [0, 0, 1], margin=1.0)
    assert (loss.sum, loss.count) == (0, 2)
    np.testing.assert_array_equal(loss.grad, 0)


@every_distance
@every_mining
def test_rows_without_a_class_take_no_part(distance, mining):
    """Two rows labelled -100 are no class of their own, even if NaN."""
    x, y = np.concatenate([X, np.full((2, 4), np.nan)]), np.append(Y, [-100, -100])
    got = triplet_margin(x, y, margin=1.0, distance=distance, mining=mining)
    expected = triplet_margin(X, Y, margin=1.0, distance=distance, mining=mining)
    assert got.sum == pytest.approx(expected.sum, rel=1e-14)
    assert got.count == expected.count
    np.testing.assert_allclose(got.grad[:-2], expected.grad, rtol=1e-13)
    assert (got.grad[-2:] == 0).all()
    again = triplet_margin(
        x[:-1], np.append(Y, 9), margin=1.0, distance=distance, mining=mining, ignore_index=9
    )
    assert again.sum == got.sum


@every_distance
def test_a_shift_or_a_turn_changes_nothing(distance):
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    plain = triplet_margin(X, Y, margin=1.0, distance=distance)
    turned = triplet_margin(X @ turn, Y, margin=1.0, distance=distance)
    assert turned.sum == pytest.approx(plain.sum, rel=1e-12)
    np.testing.assert_allclose(turned.grad, plain.grad @ turn, atol=1e-12)
    if distance != "cosine":
        shifted = triplet_margin(X + 5, Y, margin=1.0, distance=distance)
        assert shifted.sum == pytest.approx(plain.sum, rel=1e-12)
        np.testing.assert_allclose(plain.grad.sum(0), 0, atol=1e-12)


def test_small_distances_far_from_the_origin_keep_their_digits():
    """1e-3 apart at 100, in float32: |x|^2 - 2 x.y + |y|^2 would be off by its own size."""
    x = np.array([[100, 0], [100, 0.001], [100, 0.003]], np.float32)
    loss = triplet_margin(x, [0, 0, 1], margin=0.01)
    assert loss.sum == pytest.approx(0.01 + 0.001 - 0.003 + 0.01 + 0.001 - 0.002, rel=1e-5)


@every_distance
@every_mining
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_stay_and_inputs_too(distance, mining, dtype):
    x = X.astype(dtype)
    before = x.copy()
    loss = triplet_margin(x, Y, margin=1.0, distance=distance, mining=mining)
    assert loss.grad.dtype == dtype
    assert (type(loss.sum), type(loss.count)) == (float, int)
    np.testing.assert_array_equal(x, before)
    exact = triplet_margin(X, Y, margin=1.0, distance=distance, mining=mining)
    assert loss.sum == pytest.approx(exact.sum, rel=1e-5)
    np.testing.assert_allclose(loss.grad, exact.grad, rtol=1e-4, atol=1e-5)


@every_distance
@every_mining
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf_show_without_a_warning(distance, mining, bad):
    x = X.copy()
    x[1, 2] = bad
    loss = triplet_margin(x, Y, margin=1.0, distance=distance, mining=mining)
    assert not np.isfinite(loss.sum)
    assert not np.isfinite(loss.grad[1]).all()


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ({"margin": -1.0}, UsageError, "margin must be finite and at least 0, not -1.0"),
        ({"margin": float("nan")}, UsageError, "margin must be finite"),
        ({"margin": float("inf")}, UsageError, "margin must be finite"),
        (
            {"distance": "manhattan"},
            UsageError,
            "distance must be one of euclidean, squared_euclidean, cosine",
        ),
        ({"mining": "soft"}, UsageError, "mining must be one of batch_hard, all, not 'soft'"),
        (
            {"labels": Y[:8]},
            InputError,
            r"labels must be integers of shape \[9\], one a row, not int64 \[8\]",
        ),
        ({"labels": Y.astype(float)}, InputError, r"not float64 \[9\]"),
        ({"embeddings": X[0]}, InputError, "embeddings must be a 2-d array of floats"),
        ({"embeddings": X.astype(int)}, InputError, "embeddings must be a 2-d array of floats, not int64"),
    ],
)
def test_what_does_not_fit_is_refused(args, error, message):
    with pytest.raises(error, match=message):
        triplet_margin(**{"embeddings": X, "labels": Y, "margin": 1.0, **args})
