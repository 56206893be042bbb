"""exp, erf and tanh of one number, without branches, so that loops over them run in vector lanes.

Calling libm costs a function call an element. In float32 these are polynomials that LLVM turns into vector
code; in float64 they are libm's, since float64 is for checking, not speed. How they work and what they are
worth is in docs/ops/elementary.md. Over all float32 (benchmarks/ulp.py) the error is at most

    exp   1.0 ulp, subnormal results included: underflow is gradual
    erf   2.0 ulp (1.7 where products and sums are fused), never above 1 in size
    tanh  2.5 ulp, never above 1 in size

wherever they are inlined: each instruction keeps the fast-math flags of this file, which allow fusing and no
reordering. NaN gives NaN: a comparison with NaN is false, and each one here is written with that in mind.

The coefficients are minimax fits made for this file: Lawson's iteration (least squares, weighted anew by the
error until its peaks are level) on the error as a share of the result, or the absolute error for 1 - B(x)^8.
They were rounded to float32 one by one from the constant upward, the rest fitted again each time. The first
of E and of A were not fitted but are those of the Taylor series.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba.extending import overload

from minidistil.kernels.engine.compile import OPTIONS, contract

f32 = np.float32
HALF, ONE, TWO = f32(0.5), f32(1), f32(2)
LOG2_E = f32(1 / math.log(2))
# ln 2 in two parts: the first has so few bits that n * LN2_HIGH is exact, the second is the rest.
LN2_HIGH = f32(355 / 512)
LN2_LOW = f32(math.log(2) - 355 / 512)
# exp(r) = 1 + r + r^2 (E0 + E1 r + ...) for |r| <= ln(2) / 2, relative error 1e-10.
E0, E1, E2 = f32(0.5), f32(0.16666666), f32(0.041666463)
E3, E4, E5 = f32(0.0083335713), f32(0.0013935084), f32(0.00019739462)
EXP_MIN = f32(-104)  # below it exp is 0 in float32
N_MAX = f32(129)  # from there on exp is infinity in float32, whatever the rest r
TANH_MAX = f32(10)  # beyond it tanh is 1 in float32

# erf(x) = x + x A(x^2) for |x| <= ERF_JOINT, relative error 1.4e-8. 1 + A0 is 2 / sqrt(pi).
ERF_JOINT = f32(1.1875)
A0, A1, A2, A3 = f32(0.12837917), f32(-0.37612575), f32(0.11282938), f32(-0.026827147)
A4, A5, A6 = f32(0.0051404433), f32(-0.00076192105), f32(0.00006662313)
# erf(x) = 1 - B(x)^8 for ERF_JOINT < x <= ERF_MAX, absolute error 4.4e-9; beyond, erf is 1 in float32.
ERF_MAX = f32(4)
B0, B1, B2, B3 = f32(1.0013163), f32(-0.14680672), f32(-0.05883445), f32(-0.013387878)
B4, B5, B6 = f32(0.013789576), f32(-0.002663326), f32(0.0001675591)


@contract
def power_of_two(n: Any) -> Any:
    """2^n for an integer -126 <= n <= 127, written straight into the exponent bits."""
    return np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@contract
def split(z: Any) -> Any:
    """n and exp(r) - 1, where n is the nearest integer to z / ln 2 and r the rest: exp(z) = 2^n exp(r)."""
    n = np.floor(z * LOG2_E + HALF)
    n = n if n < N_MAX else N_MAX  # NaN too becomes N_MAX here: it must not reach the integers
    r = (z - n * LN2_HIGH) - n * LN2_LOW
    q = r + r * r * (E0 + r * (E1 + r * (E2 + r * (E3 + r * (E4 + r * E5)))))
    return np.int32(n), q


@contract
def exp_float32(x: Any) -> Any:
    """exp(x) = 2^n exp(r)."""
    n, q = split(EXP_MIN if x < EXP_MIN else x)
    # In two factors, since 2^n alone leaves the range of float32 where exp(x) is still in it.
    half = n >> np.int32(1)
    return (ONE + q) * power_of_two(half) * power_of_two(n - half)


@contract
def erf_float32(x: Any) -> Any:
    """The error function: an odd polynomial around 0, and 1 minus a small rest beyond."""
    t = x * x
    near = x + x * (A0 + t * (A1 + t * (A2 + t * (A3 + t * (A4 + t * (A5 + t * A6))))))
    a = abs(x)
    z = a if a < ERF_MAX else ERF_MAX
    z2 = z * z
    b = B0 + z * ((B1 + z * B2) + z2 * ((B3 + z * B4) + z2 * (B5 + z * B6)))  # in pairs, which do not wait
    b = b * b
    far = np.copysign(ONE - (b * b) * (b * b), x)
    return far if a > ERF_JOINT else near  # NaN is not above it, and x + ... is NaN


@contract
def tanh_float32(x: Any) -> Any:
    """tanh(|x|) = m / (m + 2) with m = exp(2 |x|) - 1, which keeps its relative precision down to 0."""
    a = abs(x)
    n, q = split(TWO * (TANH_MAX if a > TANH_MAX else a))
    power = power_of_two(n)
    m = power * q + (power - ONE)
    return np.copysign(m / (m + TWO), x)


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
