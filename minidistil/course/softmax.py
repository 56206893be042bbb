"""Lesson 1: softmax and cross-entropy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minidistil import ops
from minidistil.course.comparison import as_numbers, slopes
from minidistil.course.exercises import BY_DIFFERENCES, Call, Choice, Function, Lesson, Number
from minidistil.losses import cross_entropy


def softmax_calls(rng: np.random.Generator) -> Iterator[Call]:
    for x in (rng.normal(size=(4, 6)), 1000 * rng.normal(size=(3, 5))):
        yield Call({"x": x}, {"p": ops.softmax_forward(x)[0]})


def softmax_backward_calls(rng: np.random.Generator) -> Iterator[Call]:
    x, dout = rng.normal(size=(3, 5)), rng.normal(size=(3, 5))
    p, cache = ops.softmax_forward(x)
    given = {"dout": dout, "p": p}
    yield Call(given, {"dx": ops.softmax_backward(dout, cache)})
    yield Call(given, {"dx": slopes(lambda x: ops.softmax_forward(x)[0], x, dout)}, **BY_DIFFERENCES)


def cross_entropy_calls(rng: np.random.Generator) -> Iterator[Call]:
    labels = np.array([2, -100, 0, 3, -100, 1])
    for size in (1000, 1):
        logits = size * rng.normal(size=(6, 4))
        loss = cross_entropy(logits, labels)
        given, expected = {"logits": logits, "labels": labels}, loss._asdict()
        yield Call(given, expected)
    numeric = slopes(lambda z: np.float64(cross_entropy(z, labels).sum), logits)
    yield Call(given, {**expected, "grad": numeric}, **BY_DIFFERENCES)


def blind_cotangent_calls(rng: np.random.Generator) -> Iterator[Call]:
    p = ops.softmax_forward(rng.normal(size=(3, 5)))[0]

    def judge(result: Any) -> str:
        dout = as_numbers("dout", result)
        if dout.shape != p.shape or not np.isfinite(dout).all():
            return f"dout has shape {list(dout.shape)}, expected {list(p.shape)}, and finite numbers"
        if np.abs(dout - dout.flat[0]).max() < 1e-3:
            return "all numbers of dout are the same: find another"
        largest = np.abs(ops.softmax_backward(dout, p)).max()
        return (
            "" if largest < 1e-9 * np.abs(dout).max() else f"the gradient is not zero but up to {largest:.3g}"
        )

    yield Call({"p": p}, judge)


def softplus_backward_calls(rng: np.random.Generator) -> Iterator[Call]:
    x = np.concatenate([3 * rng.normal(size=6), [0.0, 1000.0, -1000.0]])
    dout = rng.normal(size=x.shape)
    yield Call(
        {"dout": dout, "x": x}, {"dx": slopes(lambda x: np.logaddexp(0, x), x, dout)}, **BY_DIFFERENCES
    )


LESSON = Lesson(
    1,
    "softmax",
    "softmax and cross-entropy",
    (
        Number(
            "uniform_loss",
            "A model that knows nothing",
            """
            A classifier of 5 classes gives all of them the same logit. What is its cross-entropy in nats?
            (The first line of a training's log should show about this number.)
            """,
            lambda: cross_entropy(np.zeros((1, 5)), [0]).mean,
        ),
        Choice(
            "shift",
            "A constant on all logits",
            """
            1000 is added to all logits of a row. Which are true, the first three on paper and the others of
            `exp(z) / exp(z).sum()` in float32?
            """,
            (
                "every probability grows by the same factor",
                "no probability changes",
                "the largest probability grows and the others shrink",
                "the result is the same as before",
                "the result is 0 for every class",
                "the result is NaN for every class",
            ),
            "ff53f6da5d0d2ed1",
        ),
        Function(
            "softmax",
            "A softmax that does not overflow",
            """
            Return exp(x) / sum exp(x) along the rows of x [N, C]. Logits of some thousands are allowed.
            """,
            "x",
            softmax_calls,
        ),
        Function(
            "softmax_backward",
            "Its gradient",
            """
            Return dx [N, C], the gradient of softmax, from dout [N, C], the gradient of its result, and p [N,
            C], that result. Every probability of a row depends on every logit of the row.
            """,
            "dout, p",
            softmax_backward_calls,
        ),
        Function(
            "cross_entropy",
            "Cross-entropy",
            """
            Return (sum, count, grad) for logits [N, C] and labels [N]: the sum of -log p[label] over the rows
            that have a label, the number of these rows, and the gradient of the sum by the logits [N, C]. A
            row with the label -100 has none: it adds nothing to sum and count, and its gradient is zero.
            Logits of some thousands are allowed.
            """,
            "logits, labels",
            cross_entropy_calls,
        ),
        Function(
            "blind_cotangent",
            "A check that cannot fail",
            """
            Someone's `softmax_backward` returns zeros, and a check with dout = ones passes. Return another
            dout [N, C], not all of its numbers the same, with which it passes too, given the probabilities p
            [N, C]. Why can no random dout be one?
            """,
            "p",
            blind_cotangent_calls,
        ),
        Function(
            "softplus_backward",
            "A slope that you have met",
            """
            softplus is y = log(1 + exp(x)), a cross-entropy of two classes, one of them with logit 0. Return
            its gradient from dout [N] and x [N]; it must be right at x = 1000 and at x = -1000.
            """,
            "dout, x",
            softplus_backward_calls,
        ),
    ),
)
