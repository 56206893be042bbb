"""Lesson 4: training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minidistil import ops
from minidistil.arrays import Array
from minidistil.course.exercises import Call, Choice, Function, Lesson, Number
from minidistil.losses import IGNORE_INDEX
from minidistil.train.schedule import schedule


def first_step() -> float:
    p, g, m, v = np.array([2.0]), np.array([-0.001]), np.zeros(1), np.zeros(1)
    ops.adamw_step(p, g, m, v, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-12, weight_decay=0.0, step=1)
    return float(p[0])


def schedule_calls(rng: np.random.Generator) -> Iterator[Call]:
    for step, total, warmup in (
        (0, 100, 10),
        (4, 100, 10),
        (10, 100, 10),
        (55, 100, 10),
        (99, 100, 10),
        (0, 8, 0),
    ):
        given = {"step": step, "total": total, "warmup": warmup}
        yield Call(given, {"factor": schedule("linear", step, total, warmup)})


def adamw_step_calls(rng: np.random.Generator) -> Iterator[Call]:
    for step, eps, decay in ((1, 1e-8, 0.0), (3, 0.1, 0.0), (3, 1e-8, 0.5)):
        p, g = rng.normal(size=6), rng.normal(size=6)
        m, v = (np.zeros(6), np.zeros(6)) if step == 1 else (rng.normal(size=6), rng.random(6))
        settings: dict[str, Any] = {"lr": 0.1, "beta1": 0.8, "beta2": 0.95, "eps": eps}
        settings |= {"weight_decay": decay, "step": step}
        after = p.copy(), m.copy(), v.copy()
        ops.adamw_step(after[0], g, after[1], after[2], **settings)
        yield Call({"p": p, "g": g, "m": m, "v": v}, dict(zip("pmv", after, strict=True)), settings)


def clip_calls(rng: np.random.Generator) -> Iterator[Call]:
    grads = [rng.normal(size=(3, 4)), 5 * rng.normal(size=4), 0.1 * rng.normal(size=2)]
    for limit in (1.0, 100.0):
        norm = ops.global_norm(np.concatenate([g.ravel() for g in grads]))
        scale = min(1.0, limit / (norm + 1e-6))
        expected = {f"grads[{i}]": g * scale for i, g in enumerate(grads)}
        yield Call({"grads": grads, "limit": limit}, expected)


def window_gradient_calls(rng: np.random.Generator) -> Iterator[Call]:
    counts = (1, 6, 0)
    parts = [(rng.normal(size=4) * (count > 0), count) for count in counts]
    total: Array = np.sum([grad for grad, _ in parts], axis=0)
    yield Call({"parts": parts}, {"grad": total / sum(counts)})


def dropout_calls(rng: np.random.Generator) -> Iterator[Call]:
    x, draws = rng.normal(size=(4, 6)), rng.random((4, 6))
    for rate in (0.3, 0.0):
        given = {"x": x, "draws": draws, "rate": rate}
        yield Call(given, {"y": np.where(draws < rate, 0, x) / (1 - rate)})


def mask_tokens_calls(rng: np.random.Generator) -> Iterator[Call]:
    ids, random_ids = rng.integers(5, 50, 12), rng.integers(5, 50, 12)
    chosen, draws = np.arange(12) % 3 != 1, np.linspace(0.02, 0.98, 12)[rng.permutation(12)]
    hidden = np.where(draws < 0.8, 4, np.where(draws < 0.9, ids, random_ids))
    given = {"ids": ids, "chosen": chosen, "draws": draws, "mask_id": 4, "random_ids": random_ids}
    expected = {"inputs": np.where(chosen, hidden, ids), "labels": np.where(chosen, ids, IGNORE_INDEX)}
    yield Call(given, expected)


LESSON = Lesson(
    4,
    "training",
    "training",
    (
        Number(
            "first_step",
            "The first step of Adam",
            """
            A parameter is 2, its gradient -0.001. lr = 0.1, beta1 = 0.9, beta2 = 0.999, eps is too small to
            matter, no weight decay. What is the parameter after the first step?
            """,
            first_step,
        ),
        Function(
            "schedule",
            "Warm-up and decay",
            """
            Return the factor on the learning rate of update number step, counted from 0, in a run of total
            updates: it rises in a straight line from 0 at step 0 to 1 at step = warmup, and falls in one to 0
            at step = total.
            """,
            "step, total, warmup",
            schedule_calls,
        ),
        Function(
            "adamw_step",
            "AdamW",
            """
            Return (p, m, v) after one update, from parameters p [N], their gradients g, and the running means
            m and v; step counts from 1. The arguments must not change.
            """,
            "p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, step",
            adamw_step_calls,
        ),
        Function(
            "clip",
            "Clipping",
            """
            grads is a list of arrays, the gradients of a model's parameters. Return a list of the same arrays
            times min(1, limit / (norm + 1e-6)), where norm is the Euclidean norm of all of them together.
            """,
            "grads, limit",
            clip_calls,
        ),
        Function(
            "window_gradient",
            "Mean of means",
            """
            A window of micro-batches has given parts, a list of (grad, count): the gradient [N] of the sum of
            the loss over the items of a micro-batch, and their number, which may be 0. Return the gradient of
            the mean over all items of the window.
            """,
            "parts",
            window_gradient_calls,
        ),
        Function(
            "dropout",
            "Dropout",
            """
            draws are random numbers, uniform from 0 to 1, in the shape of x. Return x with the entries whose
            draw is below rate dropped, and the others scaled so that the expectation stays. What is its
            backward pass?
            """,
            "x, draws, rate",
            dropout_calls,
        ),
        Function(
            "mask_tokens",
            "Masked words",
            """
            Return (inputs, labels) of a masked LM, both [T], from ids [T]. Where chosen [T] is true, the
            label is the id; elsewhere it is -100 and the input is the id. Of the chosen, draws [T] decide:
            below 0.8 the input is mask_id, from 0.8 to 0.9 it stays, and from 0.9 on it is that of random_ids
            [T].
            """,
            "ids, chosen, draws, mask_id, random_ids",
            mask_tokens_calls,
        ),
        Choice(
            "checkpoint",
            "Stopped and resumed",
            """
            A run of this project is stopped between two steps. Which of these must its checkpoint hold, so
            that the resumed run ends with the same bits? Settings, data and first weights are the same.
            """,
            (
                "the parameters",
                "both moments of AdamW",
                "the state of a random number generator",
                "the number of steps done",
                "the dropout masks of the last step",
                "the order of the examples in this epoch",
            ),
            "689f16846ce93c6c",
        ),
    ),
)
