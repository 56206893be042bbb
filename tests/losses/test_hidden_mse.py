"""Hidden states through a projection, by hand and from all sides."""

import numpy as np
import pytest

from minidistil.errors import InputError
from minidistil.losses import hidden_mse, mean_squared_error

rng = np.random.default_rng(0)
STUDENT, TEACHER, PROJECTION = rng.normal(size=(6, 3)), rng.normal(size=(6, 5)), rng.normal(size=(5, 3))


def test_by_hand():
    """s = (1, 2), rows of W (1, 0), (0, 1), (1, 1): W s = (1, 2, 3). t = (1, 5, 0): differences 0, -3, 3,
    mean of squares 6. dL/dp = 2/3 (0, -3, 3) = (0, -2, 2); W^T of it (2, 0); its outer product with s."""
    loss = hidden_mse(
        np.array([[1.0, 2.0]]), np.array([[1.0, 5.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    )
    assert (loss.sum, loss.count, loss.mean) == (6, 1, 6)
    np.testing.assert_allclose(loss.grad, [[2, 0]], atol=1e-15)
    np.testing.assert_allclose(loss.dprojection, [[0, 0], [-2, -4], [2, 4]], atol=1e-15)


def test_without_a_projection_it_is_the_mean_squared_error():
    plain, expected = hidden_mse(TEACHER, TEACHER + 1), mean_squared_error(TEACHER, TEACHER + 1)
    assert (plain.sum, plain.count) == (expected.sum, expected.count)
    np.testing.assert_array_equal(plain.grad, expected.grad)
    assert plain.dprojection is None
    through = hidden_mse(TEACHER, TEACHER + 1, np.eye(5))
    assert through.sum == pytest.approx(expected.sum, rel=1e-14)
    np.testing.assert_allclose(through.grad, expected.grad, rtol=1e-14)


def test_everything_adds_up_over_micro_batches():
    whole = hidden_mse(STUDENT, TEACHER, PROJECTION)
    parts = [hidden_mse(STUDENT[rows], TEACHER[rows], PROJECTION) for rows in (slice(0, 2), slice(2, 6))]
    assert whole.count == sum(part.count for part in parts)
    assert whole.sum == pytest.approx(sum(part.sum for part in parts), rel=1e-14)
    np.testing.assert_allclose(whole.dprojection, sum(part.dprojection for part in parts), rtol=1e-12)
    np.testing.assert_allclose(whole.grad, np.concatenate([part.grad for part in parts]), rtol=1e-12)


def test_a_mask_leaves_the_other_rows_out():
    mask, student, teacher = np.array([1, 0, 1, 0, 1, 1]) == 1, STUDENT.copy(), TEACHER.copy()
    student[1], teacher[3] = np.nan, np.inf  # what is left out cannot harm
    got = hidden_mse(student, teacher, PROJECTION, mask=mask)
    expected = hidden_mse(STUDENT[mask], TEACHER[mask], PROJECTION)
    assert (got.sum, got.count) == (expected.sum, 4)
    np.testing.assert_array_equal(got.grad[mask], expected.grad)
    np.testing.assert_array_equal(got.dprojection, expected.dprojection)
    assert (got.grad[~mask] == 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_keep_the_students_dtype(dtype):
    loss = hidden_mse(STUDENT.astype(dtype), TEACHER, PROJECTION)
    assert loss.grad.dtype == loss.dprojection.dtype == dtype
    assert (type(loss.sum), type(loss.count)) == (float, int)


def test_no_rows():
    loss = hidden_mse(STUDENT[:0], TEACHER[:0], PROJECTION)
    assert (loss.sum, loss.count, loss.mean) == (0, 0, 0)
    assert loss.grad.shape == (0, 3)
    np.testing.assert_array_equal(loss.dprojection, np.zeros((5, 3)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf_show(bad):
    student = STUDENT.copy()
    student[2, 1] = bad
    loss = hidden_mse(student, TEACHER, PROJECTION)
    assert not np.isfinite(loss.sum)
    assert np.isfinite(np.delete(loss.grad, 2, axis=0)).all()
    assert not np.isfinite(loss.dprojection).all()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((STUDENT, TEACHER), r"student has width 3, teacher 5: give a projection of shape \[5, 3\]"),
        (
            (STUDENT, TEACHER, PROJECTION.T),
            r"student \[6, 3\], teacher \[6, 5\] and projection \[3, 5\] do not",
        ),
        ((STUDENT, TEACHER[:5], PROJECTION), r"teacher \[5, 5\]"),
        ((STUDENT, TEACHER, PROJECTION[0]), r"projection must be a 2-d array of floats, not float64 \[3\]"),
        ((STUDENT, TEACHER.astype(int), PROJECTION), r"teacher must be a 2-d array of floats, not int64"),
        ((STUDENT[:5], STUDENT), r"teacher has shape \[6, 3\], student has \[5, 3\]"),
    ],
)
def test_what_does_not_fit_is_refused(args, message):
    with pytest.raises(InputError, match=message):
        hidden_mse(*args)
