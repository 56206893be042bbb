import numpy as np
import pytest

from minidistil.kernels.engine.compile import strict
from minidistil.kernels.engine.diagonals import add_diagonals, sum_diagonals
from minidistil.kernels.engine.native import LANES, NR

# Compiled functions, since only these reach what is written for registers.


@strict
def add(x, rows, width, line, at):
    add_diagonals(x, rows, width, line, at)


@strict
def sums(x, rows, width, line, at):
    sum_diagonals(x, rows, width, line, at)


@pytest.fixture(params=[np.float32, np.float64])
def dtype(request):
    return request.param


def inputs(rows, width, dtype):
    """A matrix, a line with room for it, where the matrix begins on it, and where each number lies on it."""
    rng, at = np.random.default_rng(0), rows + 2
    place = at - np.arange(rows)[:, None] + np.arange(width)
    x, line = rng.standard_normal((rows, width)), rng.standard_normal(at + width + 2)
    return x.astype(dtype), line.astype(dtype), at, place


cases = pytest.mark.parametrize(
    ("rows", "width"), [(rows, width) for rows in (1, 2, 7, LANES, 3 * NR + 1) for width in (LANES, NR)]
)


@cases
def test_each_diagonal_gets_its_number(rows, width, dtype):
    x, line, at, place = inputs(rows, width, dtype)
    got = np.append(x.ravel(), dtype(7))  # what follows stays
    add(got, rows, width, line, at)
    np.testing.assert_array_equal(got[:-1].reshape(x.shape), x + line[place])
    assert got[-1] == 7


@cases
def test_each_diagonal_is_summed_up(rows, width, dtype):
    x, line, at, place = inputs(rows, width, dtype)
    got, expected = line.copy(), line.astype(np.float64)
    np.add.at(expected, place, x.astype(np.float64))
    sums(x.ravel(), rows, width, got, at)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    untouched = np.setdiff1d(np.arange(len(line)), place)
    np.testing.assert_array_equal(got[untouched], line[untouched])


@cases
def test_a_nan_spoils_its_own_diagonal(rows, width, dtype):
    x, line, at, place = inputs(rows, width, dtype)
    x[-1, 1] = np.nan
    sums(x.ravel(), rows, width, line, at)
    assert np.flatnonzero(np.isnan(line)).tolist() == [place[-1, 1]]
