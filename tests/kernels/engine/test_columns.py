import numpy as np
import pytest

from minidistil.kernels.engine.columns import GROUP, column_maxima, column_sums, multiply_row, subtract_row
from minidistil.kernels.engine.compile import strict
from minidistil.kernels.engine.native import LANES, NR

# Compiled functions, since only these reach what is written for registers.


@strict
def maxima(x, width, out):
    column_maxima(x, x.size, width, out)


@strict
def sums(x, width, out):
    column_sums(x, x.size, width, out)


@strict
def subtract(x, row):
    subtract_row(x, x.size, row)


@strict
def multiply(x, row):
    multiply_row(x, x.size, row)


@pytest.fixture(params=[np.float32, np.float64])
def dtype(request):
    return request.param


@pytest.mark.parametrize("width", [LANES, NR])
@pytest.mark.parametrize("groups", [1, 2, 7])
def test_results_of_each_column_fill_a_group(groups, width, dtype):
    x = np.random.default_rng(0).standard_normal(groups * GROUP).astype(dtype) - 5
    table, out = x.reshape(-1, width), np.empty(GROUP, dtype)
    maxima(x, width, out)
    assert (out.reshape(-1, width) == table.max(0)).all()
    sums(x, width, out)
    assert (out.reshape(-1, width) == out[:width]).all()
    np.testing.assert_allclose(out[:width], table.sum(0), rtol=1e-5)


@pytest.mark.parametrize("width", [LANES, NR])
@pytest.mark.parametrize("row", [0, 1, -1])
def test_a_nan_is_left_out_of_a_maximum_and_spoils_the_sum_of_its_own_column(row, width, dtype):
    x = np.random.default_rng(0).standard_normal(3 * GROUP).astype(dtype)
    table, out = x.reshape(-1, width), np.empty(GROUP, dtype)
    table[row, 2] = np.nan
    table[:, 4] = -np.inf
    maxima(x, width, out)
    assert (out[:width] == np.nanmax(table, axis=0)).all()
    sums(x, width, out)
    assert (np.isnan(out[:width]) == (np.arange(width) == 2)).all()


@pytest.mark.parametrize("groups", [1, 4])
def test_a_row_meets_every_group(groups, dtype):
    rng = np.random.default_rng(0)
    x, row = rng.standard_normal(groups * GROUP).astype(dtype), rng.standard_normal(GROUP).astype(dtype)
    for act, want in (
        (subtract, x.reshape(-1, GROUP) - row),
        (multiply, x.reshape(-1, GROUP) * row),
    ):
        got = np.append(x, dtype(7))  # what follows stays
        act(got[:-1], row)
        assert (got[:-1].reshape(-1, GROUP) == want).all()
        assert got[-1] == 7
