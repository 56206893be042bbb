"""exp, erf and tanh of one number, without branches, so that loops over them run in vector lanes.

Calling libm costs a function call an element. In float32 these are polynomials and rational functions
that LLVM turns into vector code; in float64 they are libm's, since float64 is for checking, not speed.
The coefficients are minimax fits (Lawson's iteration on the relative error) made for this file.

NaN goes in and out, and infinities behave: every function ends by choosing `x` itself where x is NaN.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba.extending import overload

from minidistil.kernels.jit import OPTIONS, pointwise

f32 = np.float32
LOG2_E = f32(1 / math.log(2))
# ln 2 in two parts: the first has so few bits that n * LN2_HIGH is exact, the second is the rest.
LN2_HIGH = f32(355 / 512)
LN2_LOW = f32(math.log(2) - 355 / 512)
# exp(r) = 1 + r + r^2 (E0 + E1 r + ...), |r| <= ln(2)/2, relative error 3.1e-9.
E0, E1, E2, E3, E4 = f32(0.49999994), f32(0.16666521), f32(0.04166839), f32(0.0083687454), f32(0.001381454)
EXP_MIN, EXP_MAX = f32(-104), f32(89)  # beyond them exp is 0 and infinity in float32
HALF, ONE, TWO = f32(0.5), f32(1), f32(2)

# erf(x) = x P(x^2) / Q(x^2) for |x| <= 3.93, relative error 1.9e-8; beyond, erf is 1 in float32.
ERF_MAX = f32(3.93)
P0, P1, P2 = f32(1.1283791453714418), f32(0.19078440103985972), f32(0.05279031206506883)
P3, P4, P5 = f32(0.0037796206413635226), f32(0.0002848065901628993), f32(2.0419362765550867e-06)
Q1, Q2, Q3 = f32(0.5024109929044458), f32(0.11425771326994318), f32(0.014997461480822505)
Q4, Q5 = f32(0.001165211290536789), f32(3.8003612867997266e-05)


@pointwise
def power_of_two(n: Any) -> Any:
    """2^n for an integer -126 <= n <= 127, written straight into the exponent bits."""
    return np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@pointwise
def exp_float32(x: Any) -> Any:
    """exp(x) = 2^n exp(r) with n the nearest integer to x / ln 2 and r the rest."""
    z = x if x < EXP_MAX else EXP_MAX  # NaN too becomes EXP_MAX here: it must not reach the integers
    z = z if z > EXP_MIN else EXP_MIN
    n = np.floor(z * LOG2_E + HALF)
    r = (z - n * LN2_HIGH) - n * LN2_LOW
    y = ONE + (r + r * r * (E0 + r * (E1 + r * (E2 + r * (E3 + r * E4)))))
    # In two factors, since 2^n alone leaves the range of float32 where exp(x) is still in it.
    half = np.int32(n) >> np.int32(1)
    y = y * power_of_two(half) * power_of_two(np.int32(n) - half)
    return y if x == x else x


@pointwise
def erf_float32(x: Any) -> Any:
    """The error function as an odd rational function."""
    z = x if x < ERF_MAX else ERF_MAX
    z = z if z > -ERF_MAX else -ERF_MAX
    t = z * z
    p = P0 + t * (P1 + t * (P2 + t * (P3 + t * (P4 + t * P5))))
    q = ONE + t * (Q1 + t * (Q2 + t * (Q3 + t * (Q4 + t * Q5))))
    y = z * p / q
    return y if x == x else x


@pointwise
def tanh_float32(x: Any) -> Any:
    """tanh(x) = 1 - 2 / (exp(2 x) + 1): absolute error 1e-7, which is what 1 + tanh(x) needs."""
    return ONE - TWO / (exp_float32(TWO * x) + ONE)


def exp(x: Any) -> Any:
    """exp in the precision of `x`."""
    return exp_float32(x) if isinstance(x, np.float32) else math.exp(x)


def erf(x: Any) -> Any:
    """erf in the precision of `x`."""
    return erf_float32(x) if isinstance(x, np.float32) else math.erf(x)


def tanh(x: Any) -> Any:
    """tanh in the precision of `x`."""
    return tanh_float32(x) if isinstance(x, np.float32) else math.tanh(x)


IN_KERNELS: Any = {"fastmath": {"contract"}, **OPTIONS}


def _by_type(fast: Any, exact: Any) -> Any:
    return lambda x: (lambda x: fast(x)) if x == numba.float32 else (lambda x: exact(x))


for _function, _fast, _exact in (
    (exp, exp_float32, math.exp),
    (erf, erf_float32, math.erf),
    (tanh, tanh_float32, math.tanh),
):
    overload(_function, jit_options=IN_KERNELS)(_by_type(_fast, _exact))
