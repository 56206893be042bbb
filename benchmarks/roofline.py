"""Time of a workload by kernel, with arithmetic, bytes, and share of the roofline.

    python -m benchmarks.roofline                        MiniLM forward and the distillation step
    python -m benchmarks.roofline forward/minilm/1x16    any of `python -m benchmarks --list`

A kernel is limited by the multiply-add unit or by memory, whichever takes longer (Williams, Waterman and
Patterson 2009, "Roofline"). Both limits are measured first. Arithmetic is that of matrix products and
attention; bytes are those of all arrays a kernel is called with or returns, as if each went through memory
once, so that a kernel whose arrays are in cache, or that reads few rows of a table, may exceed the bandwidth.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks import steps
from benchmarks.engines.minidistil import build
from benchmarks.workloads import choose, find
from minidistil import kernels, threads
from minidistil.distill import layer_terms
from minidistil.kernels import feed_forward, linear
from minidistil.kernels.gemm.matmul import PackedWeight
from minidistil.memory import keep_freed_memory

vocabulary = importlib.import_module("minidistil.kernels.linear_cross_entropy")  # a function has its name

SECONDS = 4.0  # of each workload
READ = 100_000_000  # numbers read to measure the bandwidth, far beyond any cache
DEFAULT = ("forward/minilm/8x128", "distil/bert-base/8x128")
OTHERS = ("attention", "layernorm", "embedding", "dropout", "adamw", "global_norm", "tanh")


@dataclass
class Spent:
    """Calls, time, arithmetic and traffic of one kind of kernel."""

    calls: int = 0
    seconds: float = 0.0
    flops: float = 0.0
    bytes: float = 0.0


def arrays_in(value: Any) -> list[np.ndarray[Any, Any]]:
    """All large arrays in nested tuples."""
    if isinstance(value, tuple | list):
        return [array for item in value for array in arrays_in(item)]
    if isinstance(value, PackedWeight):
        return [value.array]
    return [value] if isinstance(value, np.ndarray) else []


def product(args: Any, settings: Any) -> tuple[str, float]:
    """Name of one of the three products of a linear layer, and its arithmetic."""
    a, b = args[0].shape, args[1].shape
    transpose_a, transpose_b = settings.get("transpose_a"), settings.get("transpose_b")
    m, k = a[::-1] if transpose_a else a
    n = b[0] if transpose_b else b[1]
    side = "weight gradient" if transpose_a else "forward" if transpose_b else "input gradient"
    return f"product, {side}", 2.0 * m * n * k


def named(name: str, args: Any, settings: Any) -> tuple[str, float]:
    """A kernel by its name. Attention has two products over all pairs of tokens, backwards five."""
    flops = 0.0
    if name in ("attention_forward", "attention_backward"):
        qkv, cu = args[:2] if name == "attention_forward" else args[1][:2]
        pairs = (np.diff(cu).astype(float) ** 2).sum()
        flops = (2 if name == "attention_forward" else 5) * 2.0 * pairs * qkv.shape[1] / 3
    return name.replace("_", " "), flops


class Watch:
    """Times kernels from outside while it is open: it replaces the functions by which they are called."""

    def __init__(self) -> None:
        self.spent: dict[str, Spent] = defaultdict(Spent)
        self._before: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Watch:
        for module in (linear, feed_forward, vocabulary):
            self._replace(module, "matmul", product)
        for module in (linear, vocabulary):
            self._replace(module, "add_column_sums", lambda a, s: ("column sums", 0.0))
        self._replace(vocabulary, "_run", lambda a, s: ("losses over words", 0.0))
        self._replace(feed_forward, "activation_backward", lambda a, s: ("activation, backward", 0.0))
        self._replace(layer_terms, "cosine", lambda a, s: ("cosine", 0.0))
        for name in kernels.__all__:
            if any(part in name for part in OTHERS) and callable(getattr(kernels, name)):
                self._replace(kernels, name, partial(named, name))
        return self

    def __exit__(self, *error: object) -> None:
        for module, name, function in self._before:
            setattr(module, name, function)

    def _replace(self, module: Any, name: str, count: Callable[[Any, Any], tuple[str, float]]) -> None:
        function = getattr(module, name)
        self._before.append((module, name, function))

        def timed(*args: Any, **settings: Any) -> Any:
            began = time.perf_counter()
            result = function(*args, **settings)
            seconds = time.perf_counter() - began
            kind, flops = count(args, settings)
            spent = self.spent[kind]
            spent.calls += 1
            spent.seconds += seconds
            spent.flops += flops
            distinct = {id(array): array.nbytes for array in arrays_in([args, *settings.values(), result])}
            spent.bytes += sum(distinct.values())
            return result

        setattr(module, name, timed)


def limits() -> tuple[float, float]:
    """Floating-point operations and bytes read from memory in a second, on all threads: the best seen."""
    peak = steps.measure([], None, rounds=3)["peak-all"]
    much = np.ones(READ, np.float32)
    kernels.global_norm(much)  # compiles it
    seconds = steps.best_time(lambda: kernels.global_norm(much), parallel=True)
    return 1e9 * peak, much.nbytes / seconds


def table(name: str, peak: float, bandwidth: float) -> str:
    """The kernels of one workload, by time, as Markdown."""
    job = build(find(name), threads.get_num_threads())
    for _ in range(2):
        job.run()
    runs, began = 0, time.perf_counter()
    with Watch() as watch:
        while time.perf_counter() - began < SECONDS:
            job.run()
            runs += 1
        whole = time.perf_counter() - began
    rest = whole - sum(spent.seconds for spent in watch.spent.values())
    watch.spent["everything else"] = Spent(runs, rest)
    lines = [
        f"{name}: {1000 * whole / runs:,.1f} ms",
        "",
        "| kernel | calls | ms | of the time | GFLOP/s | of the peak | GB/s | of the bandwidth |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, spent in sorted(watch.spent.items(), key=lambda item: -item[1].seconds):
        if spent.seconds < 0.001 * whole:
            continue
        rate, traffic = spent.flops / spent.seconds, spent.bytes / spent.seconds
        cells = [
            kind,
            f"{spent.calls // runs}",
            f"{1000 * spent.seconds / runs:,.2f}",
            f"{spent.seconds / whole:.1%}",
            f"{rate / 1e9:.0f}" if rate else "",
            f"{rate / peak:.0%}" if rate else "",
            f"{traffic / 1e9:.1f}" if traffic else "",
            f"{traffic / bandwidth:.0%}" if traffic else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workloads", nargs="*", default=list(DEFAULT), help="parts of names; * and ? allowed")
    args = parser.parse_args(arguments)
    keep_freed_memory()
    peak, bandwidth = limits()
    print(f"{threads.get_num_threads()} threads: {peak / 1e9:.0f} GFLOP/s, {bandwidth / 1e9:.1f} GB/s read")
    for workload in choose(args.workloads, quick=False):
        if workload.task != "start":
            print(f"\n{table(workload.name, peak, bandwidth)}", flush=True)


if __name__ == "__main__":
    main()
