"""Settings of a training run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Self, get_args

from minidistil.arguments import did_you_mean
from minidistil.errors import ConfigError
from minidistil.settings import check_setting

ScheduleName = Literal["linear", "constant", "cosine"]
Every = int | Literal["epoch"] | None

LOSSES = ("loss", "hard")  # what an evaluation calls the loss, of a student against the labels

# Names in the TrainingArguments of transformers, for hints.
ELSEWHERE = {
    "learning_rate": "lr", "num_train_epochs": "epochs", "per_device_train_batch_size": "batch_size",
    "gradient_accumulation_steps": "accumulation", "adam_epsilon": "eps", "max_grad_norm": "clip",
    "lr_scheduler_type": "schedule", "warmup_ratio": "warmup", "warmup_steps": "warmup",
    "eval_steps": "eval_every", "evaluation_strategy": "eval_every", "eval_strategy": "eval_every",
    "save_steps": "save_every", "save_strategy": "save_every", "save_total_limit": "keep",
    "metric_for_best_model": "keep_best", "logging_steps": "log_every",
}  # fmt: skip


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a run. Those that shape the result are part of its fingerprint.

    Attributes
    ----------
    epochs : int >= 1
        Passes over the data. `max_steps`, where given, decides instead.
    max_steps : int >= 1 or None
        Optimiser steps in all.
    batch_size : int >= 1
        Examples in a micro-batch.
    accumulation : int >= 1
        Micro-batches of one optimiser step. Each term of the loss is divided by its count over the whole
        window, so 4 x 8 examples give the same step as 1 x 32, however uneven the counts.
    lr : float >= 0
        Highest learning rate of AdamW.
    betas : two floats in [0, 1)
        AdamW's: decay of its two moments.
    eps : float > 0
        AdamW's: added to the root of the second moment.
    weight_decay : float >= 0
        AdamW's. Weights and embeddings decay; biases and the gains of layernorms never do.
    schedule : {"linear", "constant", "cosine"}
        Course of the learning rate after the warm-up, see `minidistil.train.schedule`.
    warmup : float in [0, 1] or int >= 0
        Steps in which the learning rate grows from 0. A float is a share of all steps (rounded up), an int a
        number of steps.
    clip : float > 0 or None
        Largest global norm of the gradient; longer ones are scaled down to it. None: not clipped.
    seed : int >= 0
        Of the order of examples, of dropout and of new weights.
    group_by_length : bool
        Batches of similar lengths: see `minidistil.text.batching` for why this is off.
    dropout : bool
        Whether the dropout rates of the model's config apply.
    eval_every : int >= 1, "epoch" or None
        Steps between evaluations, or "epoch"; the last one is at the end in any case.
    save_every : int >= 1, "epoch" or None
        Steps between checkpoints, or "epoch"; the last one is at the end in any case.
    keep : int >= 1
        Checkpoints kept.
    keep_best : str or None
        Name of the metric by which the best model is kept, saved in `best/` and handed back at the end.
    best_is : {"max", "min"}
        Whether more of that metric is better.
    patience : int >= 1 or None
        Stop after so many evaluations in a row without a better `keep_best`, which it needs.
    log_every : int >= 1 or None
        Steps between two lines of the log; None: 10, or in a run of less than 100 steps a tenth of them.
    """

    elsewhere: ClassVar[Mapping[str, str]] = ELSEWHERE

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

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        """Refuse an unknown name with a ConfigError that says which one was meant."""
        names = [field.name for field in fields(cls)]
        for name in settings:
            if name not in names:
                meant = ELSEWHERE.get(name)
                hint = f" (did you mean {meant}?)" if meant else did_you_mean(name, names)
                raise ConfigError(f"TrainSettings has no setting {name!r}{hint}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name in ("epochs", "max_steps", "batch_size", "accumulation", "keep", "patience", "log_every"):
            value = getattr(self, name)
            good = _integer(value, 1) or (value is None and name in ("max_steps", "patience", "log_every"))
            check_setting(good, name, value, "an integer >= 1")
        for name in ("eval_every", "save_every"):
            value = getattr(self, name)
            good = value is None or value == "epoch" or _integer(value, 1)
            check_setting(good, name, value, 'an integer >= 1, "epoch", or nothing')
        check_setting(_integer(self.seed, 0), "seed", self.seed, "an integer >= 0")
        check_setting(_number(self.lr) and self.lr >= 0, "lr", self.lr, "a number >= 0")
        pair = isinstance(self.betas, Sequence) and len(self.betas) == 2
        good = pair and all(_number(beta) and 0 <= beta < 1 for beta in self.betas)
        check_setting(good, "betas", self.betas, "two numbers in [0, 1)")
        check_setting(_number(self.eps) and self.eps > 0, "eps", self.eps, "a number > 0")
        good = _number(self.weight_decay) and self.weight_decay >= 0
        check_setting(good, "weight_decay", self.weight_decay, "a number >= 0")
        good = self.clip is None or (_number(self.clip, infinite=True) and self.clip > 0)
        check_setting(good, "clip", self.clip, "a number > 0, or nothing")
        if isinstance(self.warmup, int):
            check_setting(_integer(self.warmup, 0), "warmup", self.warmup, "a number of steps >= 0")
        else:
            good = _number(self.warmup) and 0 <= self.warmup <= 1
            check_setting(good, "warmup", self.warmup, "a share of all steps in [0, 1]")
        for name in ("group_by_length", "dropout"):
            check_setting(isinstance(getattr(self, name), bool), name, getattr(self, name), "true or false")
        good = self.keep_best is None or isinstance(self.keep_best, str)
        check_setting(good, "keep_best", self.keep_best, "the name of a metric, or nothing")
        schedules = get_args(ScheduleName)
        check_setting(self.schedule in schedules, "schedule", self.schedule, "one of " + ", ".join(schedules))
        check_setting(self.best_is in ("max", "min"), "best_is", self.best_is, '"max" or "min"')
        if self.patience is not None and self.keep_best is None:
            raise ConfigError("patience needs keep_best: the name of the metric that must get better")

    def check_best(self, lower_is_better: Sequence[str]) -> None:
        """Raise a ConfigError if `best_is` contradicts the metric, so that the worst would be kept."""
        best, lower = self.keep_best, self.keep_best in (*lower_is_better, *LOSSES)
        if best is not None and lower != (self.best_is == "min"):
            known = f" (less is of {', '.join(lower_is_better)})" if lower_is_better else ""
            less, right = ("less", "min") if lower else ("more", "max")
            raise ConfigError(
                f"{less} {best} is better{'' if lower else known}: train.keep_best={best} goes with "
                f"train.best_is={right}"
            )

    def warmup_steps(self, total: int) -> int:
        """Number of warm-up steps in a run of `total` steps."""
        return self.warmup if isinstance(self.warmup, int) else math.ceil(total * self.warmup)


def _integer(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(value: object, *, infinite: bool = False) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) or (infinite and value == math.inf)


@dataclass(frozen=True)
class ClassifierSettings(TrainSettings):
    """Settings of a run for a task.

    Attributes
    ----------
    class_weights : "balanced", mapping of str to float or None
        Weight of an example of each class in the loss, see `minidistil.train.class_weights`: of some classes
        by their names; "balanced" gives each class the same total weight. None: every example counts alike.
    """

    class_weights: Literal["balanced"] | Mapping[str, float] | None = None
