"""exp, erf and tanh of the kernels against libm, in ulp, with the bounds of docs/ops/elementary.md.

benchmarks/ulp.py measures every float32 there is. Here are a sample of all bit patterns, a denser one of
those for which the functions do something, and the inputs which that script found to be the worst.
"""

import functools
import math
import os

import numba
import numpy as np
import pytest

from minidistil.kernels.engine import vector_math as scalar
from minidistil.kernels.engine.compile import OPTIONS

COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"
STRIDE, DENSE = (20_011, 2003) if COMPILED else (5_000_011, 500_009)  # plain Python is slow

BOUND = {"exp": 1.0, "erf": 2.0, "tanh": 2.5}
MEAN = {"exp": 0.26, "erf": 0.26, "tanh": 0.10}
WORST = {  # with and without fused multiply-add
    "exp": [5.22742414, -81.3911591],
    "erf": [1.19027555, 1.15591836],
    "tanh": [0.00776717532, 0.0312026404],
}
# As in engine/compile.py, but never cached: a cached loop would not notice that a function in it has changed.
FLAGS = {"pointwise": {"contract"}, "summing": {"contract", "reassoc", "nsz"}}

every_function = pytest.mark.parametrize("name", ["exp", "erf", "tanh"])
every_kind = pytest.mark.parametrize("kind", FLAGS)


@functools.cache
def mapped(name, kind):
    function = getattr(scalar, name)

    @numba.njit(fastmath=FLAGS[kind], **OPTIONS)
    def run(x):
        out = np.empty_like(x)
        for i in range(len(x)):
            out[i] = function(x[i])
        return out

    return run


def patterns(first, last, stride):
    return np.arange(first, last, stride, dtype=np.uint64).astype(np.uint32).view(np.float32)


def sample():
    """Every STRIDE-th bit pattern: NaN, infinity, subnormal and all."""
    return patterns(0, 2**32, STRIDE)


def dense():
    """Both signs of the numbers from 2^-12 to 128."""
    x = patterns(*np.array([2**-12, 128], np.float32).view(np.uint32), DENSE)
    return np.concatenate([x, -x])


@functools.cache
def exactly(name, x):
    function = getattr(math, name)
    return np.array([math.inf if name == "exp" and v > 700 else function(v) for v in x])


def reference(name, x):
    return exactly(name, tuple(x.tolist()))


def ulps(ours, exact):
    """Errors in units of the spacing of float32 at the rounded result; infinity counts as 2^128."""
    with np.errstate(over="ignore"):
        spacing = np.spacing(np.minimum(np.abs(exact.astype(np.float32)), np.finfo(np.float32).max))
    difference = np.minimum(ours.astype(np.float64), 2.0**128) - np.minimum(exact, 2.0**128)
    return np.abs(difference) / spacing


@every_kind
@every_function
def test_largest_error(name, kind):
    worst = np.array(WORST[name], np.float32)
    for x in (sample(), dense(), worst):
        x = x[~np.isnan(x)]
        assert ulps(mapped(name, kind)(x), reference(name, x)).max() <= BOUND[name]


@every_function
def test_mean_error(name):
    """More sensitive to a wrong digit than the largest error is."""
    x = sample()
    x = x[~np.isnan(x)]
    exact = reference(name, x)
    with np.errstate(over="ignore"):
        rounded = np.abs(exact.astype(np.float32))
    at_work = (rounded != 0) & (rounded != 1) & (rounded != np.inf)
    assert ulps(mapped(name, "pointwise")(x), exact)[at_work].mean() <= MEAN[name]


@every_kind
@every_function
def test_not_a_number(name, kind):
    x = sample()
    np.testing.assert_array_equal(np.isnan(mapped(name, kind)(x)), np.isnan(x))
    assert np.isnan(mapped(name, kind)(np.array([np.nan, 1, np.nan]))[[0, 2]]).all()


@every_kind
@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("exp", [0.0, -0.0, np.inf, 88.8, 3e38], [1, 1, np.inf, np.inf, np.inf]),
        ("exp", [-103.5, -104.5, -3e38, -np.inf], [1e-45, 0, 0, 0]),
        ("erf", [0.0, -0.0, np.inf, -np.inf, 4, 3e38, -3e38, 1e-45], [0.0, -0.0, 1, -1, 1, 1, -1, 1e-45]),
        ("tanh", [0.0, -0.0, np.inf, -np.inf, 10, 3e38, -3e38, 1e-45], [0.0, -0.0, 1, -1, 1, 1, -1, 1e-45]),
    ],
)  # fmt: skip
def test_ends(name, x, y, kind):
    ours, exact = mapped(name, kind)(np.array(x, np.float32)), np.array(y, np.float32)
    np.testing.assert_array_equal(ours, exact)
    np.testing.assert_array_equal(np.signbit(ours), np.signbit(exact))


def test_exp_underflows_gradually():
    x = np.linspace(-103.9, -87.4, 10_000 if COMPILED else 100).astype(np.float32)
    y = mapped("exp", "pointwise")(x)
    assert (y > 0).all()
    assert ulps(y, reference("exp", x)).max() <= BOUND["exp"]


@pytest.mark.parametrize("name", ["erf", "tanh"])
def test_odd_and_never_above_one(name):
    x = np.concatenate([sample(), dense()])
    y, mirrored = mapped(name, "pointwise")(x), mapped(name, "pointwise")(-x)
    np.testing.assert_array_equal(y, -mirrored)
    assert np.nanmax(np.abs(y)) == 1


@every_function
def test_bits_depend_on_nothing_but_the_number(name):
    """Neither on the kind of kernel nor on whether a number is in a vector lane or in what is left over."""
    x = dense()[:: len(dense()) // 200]
    y = mapped(name, "pointwise")(x)
    np.testing.assert_array_equal(mapped(name, "summing")(x), y)
    for first in range(0, 40):
        np.testing.assert_array_equal(
            mapped(name, "pointwise")(x[first : 2 * first + 1]), y[first : 2 * first + 1]
        )


@every_function
def test_float64_is_libm(name):
    x = np.concatenate([np.linspace(-12, 12, 1001), np.geomspace(1e-30, 1, 100)])
    np.testing.assert_allclose(mapped(name, "pointwise")(x), reference(name, x), rtol=4e-16)


@every_function
def test_precision_follows_the_argument(name):
    function = getattr(scalar, name)
    assert isinstance(function(np.float32(0.5)), (np.float32, float))
    assert function(0.5) == getattr(math, name)(0.5)
