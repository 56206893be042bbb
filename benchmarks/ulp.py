"""The table of docs/ops/elementary.md: how far exp, erf and tanh of the kernels are off, over every float32.

    python benchmarks/ulp.py                   all three on all 2^32 inputs: several minutes on two cores
    python benchmarks/ulp.py erf --stride 997  one of them on every 997th input: seconds

The reference is libm in float64, good to about 2e-9 of the unit here. That unit, an ulp, is the distance
between neighbouring float32 at the exact result rounded to float32; infinity counts as 2^128. Rounding
alone makes up to 0.5 ulp. The mean and the share that is correctly rounded leave out inputs whose result
rounds to 0, 1, -1 or infinity: they are easy, and many.
"""

from __future__ import annotations

import argparse
import json
import math
import threading
import time
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from minidistil.kernels.engine import vector_math as scalar
from minidistil.kernels.engine.compile import OPTIONS
from minidistil.kernels.engine.pool import parallel_for
from minidistil.progress import Progress

Array = npt.NDArray[Any]
HALF = 2**31  # bit patterns of one sign
CHUNK = 2**18  # of them done at once
LEAST = {"exp": 0.0, "erf": -1.0, "tanh": -1.0}
MOST = {"exp": math.inf, "erf": 1.0, "tanh": 1.0}
POINTWISE, SUMMING = {"contract"}, {"contract", "reassoc", "nsz"}  # as in kernels/engine/compile.py


def over(function: Any, dtype: Any, flags: Any) -> Any:
    """A loop that calls `function` on every element as a `dtype`."""

    @numba.njit(fastmath=flags, **OPTIONS)
    def loop(x: Array) -> Array:
        out = np.empty(x.shape[0], dtype)
        for i in range(x.shape[0]):
            out[i] = function(dtype(x[i]))
        return out

    return loop


def unfused(function: Any) -> Any:
    """The kernel function, and those it calls, compiled with every product and sum rounded by itself."""
    plain = function.py_func
    names = {name: plain.__globals__.get(name) for name in plain.__code__.co_names}
    called = {name: unfused(value) for name, value in names.items() if hasattr(value, "py_func")}
    copy = FunctionType(plain.__code__, {**plain.__globals__, **called}, plain.__name__)
    return numba.njit(fastmath=False, **OPTIONS)(copy)


@numba.njit(fastmath=False, **OPTIONS)
def measure(x: Array, y: Array, exact: Array, own: int, sign: float, least: float, most: float) -> Any:
    """Errors of the first `own` results; one more, if there, is only the neighbour of the last.

    Returns three tuples: largest errors (ulp where the result is normal and where it is subnormal, absolute
    for results in [-1, 1], backward step in ulp), the input of the first of them, and sums (ulp, correctly
    rounded, counted, wrong, outside, backward steps).
    """
    normal = subnormal = absolute = back = total = 0.0
    correct = counted = wrong = outside = steps = at = 0
    for i in range(own):
        rounded = np.float32(exact[i])
        if math.isnan(exact[i]) or math.isnan(y[i]):
            wrong += math.isnan(exact[i]) != math.isnan(y[i])
            continue
        wrong += math.copysign(1.0, y[i]) != math.copysign(1.0, exact[i])
        outside += not least <= y[i] <= most
        exponent = int(np.float32(abs(exact[i])).view(np.int32) >> 23) - 127
        power = min(max(exponent, -126), 127) - 23
        ulp = np.int64((power + 1023) << 52).view(np.float64)  # 2^power
        error = abs(min(max(np.float64(y[i]), -(2.0**128)), 2.0**128) - min(exact[i], 2.0**128)) / ulp
        if exponent < -126:
            subnormal = max(subnormal, error)
        elif error > normal:
            normal, at = error, i
        if abs(exact[i]) <= 1:
            absolute = max(absolute, error * ulp)
        if rounded != 0 and abs(rounded) != 1 and not math.isinf(rounded):
            counted += 1
            correct += y[i] == rounded
            total += error
        if i + 1 < y.shape[0] and sign * (y[i + 1] - y[i]) < 0:
            steps += 1
            back = max(back, abs(y[i + 1] - y[i]) / ulp)
    return (normal, subnormal, absolute, back), x[at], (total, correct, counted, wrong, outside, steps)


def report(measured: tuple[Any, ...]) -> dict[str, float]:
    """Largest errors and sums over what `measure` found in all chunks."""
    normal, subnormal, absolute, back = np.max([largest for largest, _, _ in measured], axis=0).tolist()
    total, correct, counted, wrong, outside, steps = np.sum([sums for _, _, sums in measured], axis=0)
    return {
        "largest_ulp": normal,
        "at": next(at for largest, at, _ in measured if largest[0] == normal),
        "largest_ulp_subnormal": subnormal,
        "mean_ulp": total / counted,
        "correctly_rounded": correct / counted,
        "largest_absolute": absolute,
        "wrong": int(wrong),
        "outside": int(outside),
        "backward_steps": int(steps),
        "largest_backward_step_ulp": back,
    }


def run(name: str, stride: int) -> dict[str, Any]:
    """Errors of one function on every `stride`-th bit pattern of either sign."""
    function = getattr(scalar, name)
    pointwise, summing = (over(function, np.float32, flags) for flags in (POINTWISE, SUMMING))
    plain = over(unfused(getattr(scalar, f"{name}_float32")), np.float32, False)
    reference = over(getattr(math, name), np.float64, False)

    inputs = -(-HALF // stride)  # of one sign
    chunks = -(-inputs // CHUNK)
    found: list[Any] = [None] * (2 * chunks)
    lock = threading.Lock()

    def chunk(number: int) -> None:
        negative, part = divmod(number, chunks)
        first, last = part * CHUNK, min((part + 1) * CHUNK, inputs)
        bits = np.arange(first, min(last + 1, inputs), dtype=np.uint64) * np.uint64(stride)
        x = (bits + np.uint64(negative * HALF)).astype(np.uint32).view(np.float32)
        y, z = pointwise(x), plain(x)
        how = (reference(x), last - first, -1.0 if negative else 1.0, LEAST[name], MOST[name])
        differ = (y.view(np.int32) != summing(x).view(np.int32))[: last - first]
        found[number] = measure(x, y, *how), measure(x, z, *how), int(differ.sum())
        with lock:
            progress.update()

    began = time.perf_counter()
    with Progress(2 * chunks, name, "chunks") as progress:
        parallel_for(chunk, 2 * chunks)
    fused, rounded, differing = zip(*found, strict=True)
    return {
        "inputs": 2 * inputs,
        **report(fused),
        "unfused": report(rounded),
        "other_bits_when_summing": sum(differing),
        "seconds": time.perf_counter() - began,
    }


ROWS: dict[str, Callable[[dict[str, Any]], str]] = {
    "largest error, ulp": lambda r: f"{r['largest_ulp']:.3f} at {r['at']:.9g}",
    "... where the result is subnormal": lambda r: f"{r['largest_ulp_subnormal']:.3f}",
    "... without fused multiply-add": lambda r: (
        f"{r['unfused']['largest_ulp']:.3f} at {r['unfused']['at']:.9g}"
    ),
    "mean error, ulp": lambda r: f"{r['mean_ulp']:.3f}",
    "correctly rounded": lambda r: f"{100 * r['correctly_rounded']:.1f} %",
    "largest absolute error in [-1, 1]": lambda r: f"{r['largest_absolute']:.1e}",
    "NaN or sign wrong": lambda r: f"{r['wrong'] + r['unfused']['wrong']}",
    "out of range": lambda r: f"{r['outside'] + r['unfused']['outside']}",
    "neighbours in the wrong order": lambda r: f"{r['backward_steps']:,}",
    "... by at most, ulp": lambda r: f"{r['largest_backward_step_ulp']:.0f}",
    "other bits in a `reassociate` kernel": lambda r: f"{r['other_bits_when_summing']}",
    "inputs": lambda r: f"{r['inputs']:,}",
    "seconds": lambda r: f"{r['seconds']:.0f}",
}


def table(results: dict[str, dict[str, Any]]) -> str:
    """One column a function, as Markdown."""
    lines = ["| | " + " | ".join(results) + " |", "| --- |" + " --- |" * len(results)]
    for label, cell in ROWS.items():
        lines.append(f"| {label} | {' | '.join(map(cell, results.values()))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("functions", nargs="*", choices=[*LEAST, []], help="default: all three")
    parser.add_argument("--stride", type=int, default=1, help="measure every N-th bit pattern", metavar="N")
    parser.add_argument("--json", action="store_true", help="the same numbers as JSON")
    args = parser.parse_args()
    results = {name: run(name, args.stride) for name in args.functions or LEAST}
    print(json.dumps(results, indent=2) if args.json else table(results))


if __name__ == "__main__":
    main()
