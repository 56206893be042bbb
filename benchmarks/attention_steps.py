"""Attention from the definition's loops to the kernel, step by step: the tables of docs/attention-kernel.md.

    python -m benchmarks.attention_steps                      eight sequences of 40 to 240 tokens, 12 heads
    python -m benchmarks.attention_steps --lengths 512 512    long ones: a head's scores are a megabyte
    python -m benchmarks.attention_steps --steps tiles registers
    python -m benchmarks.attention_steps --bias               the kernel with a bias by distance, and without

Each step computes softmax(Q K^T / sqrt(D)) V of every head of every sequence in float32, or its gradient, and
is compared with `minidistil.ops.attention` in float64 before it is timed. Only the arithmetic of the products
counts: two forward, 4 L^2 D a head, and five backward, since the scores are computed again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks import steps
from benchmarks.attention_heads import (
    Array,
    Arrays,
    across,
    again,
    again_tiles,
    lanes,
    loops,
    online,
    over_jobs,
    registers,
    rows,
    tiles,
)
from benchmarks.steps import Step
from minidistil import kernels, ops, threads
from minidistil.kernels.dropout import drop_of
from minidistil.kernels.engine.native import LANES, NR
from minidistil.kernels.engine.pool import parallel_for
from minidistil.ops import Dropout

LENGTHS = (240, 200, 160, 136, 112, 80, 56, 40)  # 1024 tokens in a batch of texts of all sizes
RATE = 0.1  # of dropout
TOLERANCE = 1e-5  # of a step in float32, as a share of the largest number


class Operands:
    """Random queries, keys, values and output gradients, and what the textbook makes of them in float64."""

    def __init__(self, lengths: Sequence[int], heads: int, width: int) -> None:
        rng, T = np.random.default_rng(0), sum(lengths)
        self.cu = np.cumsum([0, *lengths], dtype=np.int32)
        self.qkv: Array = rng.standard_normal((T, 3 * heads * width), np.float32)
        self.dout: Array = rng.standard_normal((T, heads * width), np.float32)
        positions = np.concatenate([np.arange(length) for length in lengths])
        self.mask = Dropout(0, 0).mask(RATE, 0, 0, np.repeat(np.arange(len(lengths)), lengths), positions)
        self.heads, self.jobs = heads, heads * len(lengths)
        self.operations = 4 * heads * width * sum(length**2 for length in lengths)

        qkv, dout = self.qkv.astype(np.float64), self.dout.astype(np.float64)
        self.bias: Array = rng.standard_normal((heads, 2 * max(lengths) - 1), np.float32)
        self.dbias, bias = np.zeros_like(self.bias), self.bias.astype(np.float64)
        out, cache = ops.attention_forward(qkv, self.cu, heads)
        biased, biased_cache = ops.attention_forward(qkv, self.cu, heads, None, bias)
        self.expected = {
            "forward": out,
            "dropout": ops.attention_forward(qkv, self.cu, heads, self.mask)[0],
            "backward": ops.attention_backward(dout, cache),
            "bias": biased,
            "bias-back": flat(*ops.attention_backward(dout, biased_cache, np.zeros_like(bias))),
        }
        self.textbook = ops.attention_forward(self.qkv, self.cu, heads)[1]
        self.cache = kernels.attention_forward(self.qkv, self.cu, heads)[1]
        self.biased_cache = kernels.attention_forward(self.qkv, self.cu, heads, None, self.bias)[1]

        def split(x: Any, parts: int) -> Array:
            return x.astype(np.float32).reshape(T, parts, heads, width)

        x, row_maxima = split(qkv, 3), np.empty((T, heads), np.float32)
        row_sums = np.empty_like(row_maxima)
        for begin, end in pairwise(self.cu):
            scores = np.einsum("iad,jad->iaj", x[begin:end, 0], x[begin:end, 1]) / math.sqrt(width)
            row_maxima[begin:end] = scores.max(-1)
            row_sums[begin:end] = np.exp(scores - scores.max(-1, keepdims=True)).sum(-1)
        no_drop, result = drop_of(None, np.dtype(np.float32)), np.empty((T, heads, width), np.float32)
        forward = Arrays(self.cu, x, result, split(dout, 1), row_maxima, row_sums, np.empty_like(x), no_drop)
        self.arrays = {
            "forward": forward,
            "dropout": forward._replace(drop=drop_of(self.mask, np.dtype(np.float32))),
            "backward": forward._replace(out=split(out, 1)[:, 0]),
        }


def flat(*arrays: Array) -> Array:
    """All numbers in a row."""
    return np.concatenate([array.ravel() for array in arrays])


def over_all(head: Any, which: str = "forward") -> Callable[[Operands], Array]:
    """All heads of all sequences, one after the other."""

    def run(o: Operands) -> Array:
        a = o.arrays[which]
        over_jobs(head, a, 0, o.jobs)
        return a.dqkv if which == "backward" else a.out

    return run


def equal_jobs(o: Operands) -> Array:
    """As many heads for each thread, however long their sequences are."""
    a, n = o.arrays["forward"], threads.get_num_threads()
    parallel_for(lambda i: over_jobs(registers, a, o.jobs * i // n, o.jobs * (i + 1) // n), n)
    return a.out


def numpy_forward(o: Operands) -> Array:
    with threads.single_threaded_blas():
        return ops.attention_forward(o.qkv, o.cu, o.heads)[0]


def numpy_backward(o: Operands) -> Array:
    with threads.single_threaded_blas():
        return ops.attention_backward(o.dout, o.textbook)


def kernel(o: Operands, mask: Any = None) -> Array:
    return kernels.attention_forward(o.qkv, o.cu, o.heads, mask)[0]


def kernel_backward(o: Operands) -> Array:
    return kernels.attention_backward(o.dout, o.cache)


def kernel_bias(o: Operands) -> Array:
    return kernels.attention_forward(o.qkv, o.cu, o.heads, None, o.bias)[0]


def kernel_bias_backward(o: Operands) -> Array:
    o.dbias[:] = 0
    return kernels.attention_backward(o.dout, o.biased_cache, o.dbias)[0]


_backward = partial(Step, work=2.5)  # five products, with the scores computed again, where forward has two
LADDERS = {
    "forward": (
        Step("loops", over_all(loops), "the definition, scores in a matrix"),
        Step("rows", over_all(rows), "one row of scores at a time"),
        Step("online", over_all(online), "one score at a time: the running maximum"),
        Step("lanes", over_all(lanes), "K transposed: scores in vector lanes, and exp too"),
        Step("across", over_all(across), f"{NR} queries at once, a lane each, in loops"),
        Step("tiles", over_all(tiles), "both products by the micro-kernel, K in panels"),
        Step("registers", over_all(registers), "maxima and sums of the lanes in registers"),
        Step("kernel", kernel, "the next head asked for in time, even tiles"),
        Step("equal-jobs", equal_jobs, "`registers` on all threads: as many heads each", parallel=True),
        Step("kernel-all", kernel, "`kernel` on all threads: as much work each", parallel=True),
        Step("numpy", numpy_forward, "the textbook: NumPy's matrix products"),
    ),
    "dropout": (
        Step("dropout", over_all(registers, "dropout"), "`registers`, factors drawn where they are used"),
        Step("kernel-dropout", lambda o: kernel(o, o.mask), "`kernel`, the same"),
    ),
    "backward": (
        _backward("again", over_all(again, "backward"), "probabilities again from maximum and sum, by rows"),
        _backward("again-tiles", over_all(again_tiles, "backward"), f"{NR} queries at once, in tiles"),
        _backward("kernel-back", kernel_backward, "as `kernel`"),
        _backward("kernel-back-all", kernel_backward, "`kernel-back` on all threads", parallel=True),
        _backward("numpy-back", numpy_backward, "the textbook, its probabilities kept"),
    ),
}
STEPS = tuple(step for ladder in LADDERS.values() for step in ladder)
BIAS = {
    "bias": (Step("kernel-bias", kernel_bias, "`kernel`, a number for each distance added to the scores"),),
    "bias-back": (
        _backward("kernel-back-bias", kernel_bias_backward, "`kernel-back`, these numbers' gradient"),
    ),
}
BIAS_STEPS = tuple(
    step for name in ("kernel", "kernel-bias", "kernel-back", "kernel-back-bias")
    for step in (*STEPS, *BIAS["bias"], *BIAS["bias-back"]) if step.name == name
)  # fmt: skip


def error(step: Step, o: Operands) -> float:
    """Largest error, in units of TOLERANCE times the largest number."""
    ladders = {**LADDERS, **BIAS}
    which = next(which for which, ladder in ladders.items() if step.name in {other.name for other in ladder})
    for result in (o.arrays["forward"].out, o.arrays["backward"].dqkv):
        result[:] = np.nan
    expected = o.expected[which]
    found = step.run(o)
    found = (flat(found, o.dbias) if which == "bias-back" else found).reshape(expected.shape)
    return float(np.abs(found - expected).max() / (TOLERANCE * np.abs(expected).max()))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = steps.parser("attention_steps", __doc__, STEPS)
    parser.add_argument(
        "--lengths", nargs="+", type=int, default=LENGTHS, metavar="L", help="tokens of each sequence"
    )
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--width", type=int, default=64, help=f"of a head: a multiple of {LANES}")
    parser.add_argument("--bias", action="store_true", help="only what a bias by distance costs the kernel")
    args = parser.parse_args(arguments)
    if args.width % LANES:
        parser.error(f"--width {args.width}: expected a multiple of {LANES}; only the kernel itself pads")
    shown = STEPS
    if args.bias:
        shown, args.steps = BIAS_STEPS, [step.name for step in BIAS_STEPS]
    steps.report(shown, Operands(args.lengths, args.heads, args.width), error, args, lengths=args.lengths)


if __name__ == "__main__":
    main()
