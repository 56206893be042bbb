"""exp, erf and tanh of the kernels against libm."""

import math

import numba
import numpy as np
import pytest

from minidistil.kernels import scalar


def mapped(function):
    @numba.njit
    def run(x):
        out = np.empty_like(x)
        for i in range(len(x)):
            out[i] = function(x[i])
        return out

    return run


exp, erf, tanh = mapped(scalar.exp), mapped(scalar.erf), mapped(scalar.tanh)
GRID = np.concatenate(
    [np.linspace(-12, 12, 20_001), np.geomspace(1e-30, 1, 1000), -np.geomspace(1e-30, 1, 1000)]
)


def ulps(ours, exact):
    return (np.abs(ours.astype(np.float64) - exact) / np.spacing(np.abs(exact).astype(np.float32))).max()


def exactly(function, x):
    return np.array([function(float(v)) for v in x])


def test_exp_in_float32():
    x = np.linspace(-87, 88.7, 20_001).astype(np.float32)
    assert ulps(exp(x), exactly(math.exp, x)) <= 3


def test_exp_at_its_ends():
    x = np.array([-1000, -104, -95, 0, 88.72, 89, 1000, np.inf, -np.inf], np.float32)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(exp(x), np.exp(x.astype(np.float64)).astype(np.float32), rtol=1e-2)


def test_erf_in_float32():
    x = GRID.astype(np.float32)
    assert ulps(erf(x), exactly(math.erf, x)) <= 7
    assert np.abs(erf(x)).max() <= 1 + 2**-22


def test_tanh_in_float32_to_an_absolute_error():
    x = GRID.astype(np.float32)
    assert np.abs(tanh(x) - exactly(math.tanh, x)).max() <= 2e-7


@pytest.mark.parametrize(("function", "exact"), [(exp, math.exp), (erf, math.erf), (tanh, math.tanh)])
def test_float64_is_libm(function, exact):
    np.testing.assert_allclose(function(GRID), exactly(exact, GRID), rtol=4e-16)


@pytest.mark.parametrize("function", [exp, erf, tanh])
def test_nan_stays_nan(function):
    for dtype in (np.float32, np.float64):
        assert np.isnan(function(np.array([np.nan, 1, np.nan], dtype))[[0, 2]]).all()


@pytest.mark.parametrize(("function", "limit"), [(erf, 1), (tanh, 1)])
def test_infinity(function, limit):
    np.testing.assert_allclose(function(np.array([np.inf, -np.inf], np.float32)), [limit, -limit], rtol=1e-6)
