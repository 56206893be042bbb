"""Everything one can choose about a training run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from minidistil.errors import ConfigError

ScheduleName = Literal["linear", "constant", "cosine"]
Every = int | Literal["epoch"] | None


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a run. Those that shape the result are part of its fingerprint.

    Attributes
    ----------
    epochs : int
        Passes over the data. `max_steps`, where given, decides instead.
    max_steps : int or None
        Optimiser steps in all.
    batch_size : int
        Examples in a micro-batch.
    accumulation : int
        Micro-batches of one optimiser step. Each term of the loss is divided by its count over the whole
        window, so 4 x 8 examples give the same step as 1 x 32, however uneven the counts.
    lr, betas, eps, weight_decay : float
        AdamW's. Weights and embeddings decay; biases and the gains of layernorms never do.
    schedule : {"linear", "constant", "cosine"}
        See `minidistil.train.schedule`.
    warmup : float or int
        A float is a share of all steps (rounded up), an int a number of steps.
    clip : float or None
        Largest global norm of the gradient; longer ones are scaled down to it.
    seed : int
        Of the order of examples and of dropout.
    group_by_length : bool
        Batches of similar lengths: see `minidistil.text.batching` for why this is off.
    dropout : bool
        Whether the dropout rates of the model's config apply.
    eval_every : int, "epoch" or None
        How often to evaluate, besides the end.
    save_every : int, "epoch" or None
        How often to save a checkpoint, besides the end.
    keep : int
        Checkpoints kept.
    keep_best : str or None
        Name of the metric by which the best model is kept, saved in `best/` and handed back at the end.
    best_is : {"max", "min"}
        Whether more of that metric is better.
    patience : int or None
        Stop after so many evaluations in a row without a better `keep_best`.
    log_every : int or None
        Steps between two lines of the log; None: 10, or in a run of less than 100 steps a tenth of them.
    """

    epochs: int = 3
    max_steps: int | None = None
    batch_size: int = 32
    accumulation: int = 1
    lr: float = 5e-5
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01
    schedule: ScheduleName = "linear"
    warmup: float | int = 0.1
    clip: float | None = 1.0
    seed: int = 0
    group_by_length: bool = False
    dropout: bool = True
    eval_every: Every = "epoch"
    save_every: Every = "epoch"
    keep: int = 2
    keep_best: str | None = None
    best_is: Literal["max", "min"] = "max"
    patience: int | None = None
    log_every: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "max_steps", "batch_size", "accumulation", "keep", "patience", "log_every"):
            value = getattr(self, name)
            _check(value is None or (isinstance(value, int) and value >= 1), name, value, "an integer >= 1")
        for name in ("eval_every", "save_every"):
            value = getattr(self, name)
            good = value is None or value == "epoch" or (isinstance(value, int) and value >= 1)
            _check(good, name, value, 'an integer >= 1, "epoch", or nothing')
        _check(self.seed >= 0, "seed", self.seed, "an integer >= 0")
        _check(0 <= self.lr < math.inf, "lr", self.lr, "a number >= 0")
        _check(all(0 <= beta < 1 for beta in self.betas), "betas", self.betas, "two numbers in [0, 1)")
        _check(0 < self.eps < math.inf, "eps", self.eps, "a number > 0")
        _check(0 <= self.weight_decay < math.inf, "weight_decay", self.weight_decay, "a number >= 0")
        _check(self.clip is None or self.clip > 0, "clip", self.clip, "a number > 0, or nothing")
        if isinstance(self.warmup, int):
            _check(self.warmup >= 0, "warmup", self.warmup, "a number of steps >= 0")
        else:
            _check(0 <= self.warmup <= 1, "warmup", self.warmup, "a share of all steps in [0, 1]")
        schedules = get_args(ScheduleName)
        _check(self.schedule in schedules, "schedule", self.schedule, "one of " + ", ".join(schedules))
        _check(self.best_is in ("max", "min"), "best_is", self.best_is, '"max" or "min"')
        if self.patience is not None and self.keep_best is None:
            raise ConfigError("patience needs keep_best: the name of the metric that must get better")

    def check_best(self, lower_is_better: Sequence[str]) -> None:
        """A ConfigError if the worst would be kept: the most of what less is better of, or the least."""
        best, lower = self.keep_best, self.keep_best in lower_is_better
        if best is not None and lower != (self.best_is == "min"):
            less, right = ("less", "min") if lower else ("more", "max")
            raise ConfigError(
                f"{less} {best} is better: train.keep_best={best} goes with train.best_is={right}"
            )

    def warmup_steps(self, total: int) -> int:
        """Number of warm-up steps in a run of `total` steps."""
        return self.warmup if isinstance(self.warmup, int) else math.ceil(total * self.warmup)


def _check(good: bool, name: str, value: object, expected: str) -> None:
    if not good:
        raise ConfigError(f"{name} is {value!r}: expected {expected}")
