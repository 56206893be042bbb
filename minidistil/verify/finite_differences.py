"""Compare a backward pass with finite differences, in float64.

A derivative is what happens to the output when the input moves a little. So: move it, look, and compare
with what the backward pass said. The method is that of HIPS/autograd's `test_util`, reported tensor by
tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from minidistil.arrays import Array

TOLERANCE = 1e-6
EPS = float(np.finfo(np.float64).eps)
NOISE = 16  # rounding error of a value, in units of EPS: a chain of operations rounds more than once
DIRECTIONS = 4  # random directions tried for every tensor


@dataclass(frozen=True)
class Case:
    """A function, its backward pass, and where to check it.

    Attributes
    ----------
    inputs : dict of str to float64 array
        Arrays to differentiate by. The checker moves these arrays in place and puts them back, so
        `forward` must read them afresh each time.
    forward : () -> dict of str to array
        The outputs, by name.
    backward : (gradients of the outputs, by name) -> gradients of the inputs, by name
    entrywise : int
        Inputs with no more entries than this are also checked entry by entry.
    """

    inputs: Mapping[str, Array]
    forward: Callable[[], Mapping[str, Array]]
    backward: Callable[[dict[str, Array]], Mapping[str, Array]]
    entrywise: int = 160


@dataclass(frozen=True)
class CheckResult:
    """Result for one tensor.

    Attributes
    ----------
    name : str
        The case, "ops.linear".
    tensor : str
        The input whose gradient was checked, "weight".
    relative_error : float
        |a - b| / max(|a|, |b|) in the Euclidean norm, a from the backward pass, b from differences.
        Infinite where a is missing, has another shape, or holds NaN or Inf.
    norm : float
        |b|: a gradient that is zero proves nothing.
    passed : bool
        `relative_error` is within the tolerance.
    """

    name: str
    tensor: str
    relative_error: float
    norm: float
    passed: bool


def check_gradient(
    case: Case, *, name: str = "", seed: int = 0, tolerance: float = TOLERANCE
) -> list[CheckResult]:
    """Compare every gradient that `case.backward` gives with central differences.

    Parameters
    ----------
    case : Case
    name : str
        Goes into the results.
    seed : int
        Of the random cotangents and directions.
    tolerance : float
        Largest relative error that passes.

    Returns
    -------
    list of CheckResult, one for each input

    Notes
    -----
    Outputs are made one number by random cotangents u: f(x) = sum u * out(x), whose gradient is what the
    backward pass returns for `dout` = u. (Never ones: through a softmax they give zero, whatever it does.)
    For a direction v, Taylor's theorem gives

        (f(x + h v) - f(x - h v)) / 2h = <grad f, v> + O(h^2)

    Every tensor is checked along `DIRECTIONS` random v, and, unless it is large, entry by entry (v = one
    unit vector after the other); the worse of the two errors is reported.

    *Step.* The O(h^2) shrinks with h, while the rounding error of f, of relative size eps, is divided by
    h: h = eps^(1/3) balances the two at about 1e-10 (Press et al., Numerical Recipes, section 5.7). It is
    multiplied by the typical size of x where that is above 1.

    *Floor.* Differences smaller than `NOISE` * eps * sum |u * out| / h are rounding noise, in each of n
    entries: sqrt(n) times that in the norm. Divided by the tolerance, this is the least denominator of the
    relative error: a gradient smaller than that only has to agree within the noise. The standing example
    is the bias of BERT's keys. It shifts all scores of a query alike, which the softmax ignores, so its
    gradient is exactly zero.
    """
    rng = np.random.default_rng(seed)
    outputs = case.forward()
    cotangents = {key: rng.standard_normal(np.shape(out)) for key, out in outputs.items()}
    magnitude = sum(float(np.abs(u * outputs[key]).sum()) for key, u in cotangents.items())

    def f() -> float:
        out = case.forward()
        return sum(float((u * out[key]).sum()) for key, u in cotangents.items())

    def slope(x: Array, v: Array, h: float) -> float:
        """Central difference of f along `v`; `x` is put back bit for bit."""
        at = x.copy()
        x[...] = at + h * v
        up = f()
        x[...] = at - h * v
        down = f()
        x[...] = at
        return (up - down) / (2 * h)

    gradients = case.backward({key: u.copy() for key, u in cotangents.items()})
    results = []
    for tensor, x in case.inputs.items():
        analytic = gradients.get(tensor)
        if analytic is None or analytic.shape != x.shape or not np.isfinite(analytic).all():
            results.append(CheckResult(name, tensor, float("inf"), float("nan"), False))
            continue
        h = EPS ** (1 / 3) * max(1.0, float(np.sqrt(np.mean(x * x))))
        floor = NOISE * EPS * magnitude / h / tolerance
        directions = [rng.standard_normal(x.shape) for _ in range(DIRECTIONS)]
        numeric = np.array([slope(x, v, h) for v in directions])
        expected = np.array([float((analytic * v).sum()) for v in directions])
        error = relative_error(expected, numeric, floor * DIRECTIONS**0.5)
        norm = float(np.linalg.norm(numeric)) / DIRECTIONS**0.5  # <grad f, v>^2 is |grad f|^2 on average
        if x.size <= case.entrywise:
            units = np.eye(x.size).reshape(x.size, *x.shape)
            numeric = np.array([slope(x, v, h) for v in units])
            error = max(error, relative_error(analytic.ravel(), numeric, floor * x.size**0.5))
            norm = float(np.linalg.norm(numeric))
        results.append(CheckResult(name, tensor, error, norm, error <= tolerance))
    return results


def relative_error(a: Array, b: Array, floor: float = 0.0) -> float:
    """|a - b| / max(|a|, |b|, floor) in the Euclidean norm; 0 where all are zero, Inf for NaN or Inf."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    scale = max(float(np.linalg.norm(a)), float(np.linalg.norm(b)), floor)
    return float(np.linalg.norm(a - b)) / scale if scale else 0.0
