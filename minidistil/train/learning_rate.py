"""Learning-rate finder: a trial in which the rate rises exponentially, on a copy of the model.

Smith, Cyclical Learning Rates for Training Neural Networks (2017, arXiv:1506.01186, section 3.3), lets the
rate rise during a short run, and looks where the loss begins to fall and where it stops. fastai's `lr_find`
made the rise exponential, smooths the loss, and suggests the rate at which it falls fastest: that is the rule
here.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np

from minidistil.arguments import check_integer, check_number, check_type
from minidistil.errors import TrainingError, UsageError
from minidistil.train.hooks import Step, StopTraining
from minidistil.train.objective import Objective, Trainable, TrainingData
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer

SMOOTHING = (
    0.8  # weight of the next step, of the one after it 0.64, and so on: on both sides, or it would lag
)
DIVERGED = 4.0  # times the lowest mean so far, as in fastai
FEWEST = 10  # steps that show anything
BEGINNING = 10  # one of so many steps, at the beginning, says nothing yet


@dataclass(frozen=True)
class LearningRates:
    """Losses of a trial in which the rate rises.

    Attributes
    ----------
    rates : tuple of float
        Learning rate of each step.
    losses : tuple of float
        Loss of each step, before its update.
    smoothed : tuple of float
        Mean over the losses around each step, with weights 0.8^distance.
    ended : str or None
        Reason if the trial ended before its highest rate.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    ended: str | None = None

    @property
    def suggestion(self) -> float | None:
        """Rate at which the smoothed loss falls fastest; None if it never falls.

        That is its steepest slope over the logarithm of the rate, between the first tenth of the steps and
        the lowest smoothed loss after it.
        """
        first = len(self.rates) // BEGINNING
        rates, smoothed = np.array(self.rates[first:]), np.array(self.smoothed[first:])
        last = int(smoothed.argmin()) + 1 if len(smoothed) else 0
        if last < 2:
            return None
        slopes = np.gradient(smoothed[:last], np.log10(rates[:last]))
        steepest = int(slopes.argmin())
        return float(rates[steepest]) if slopes[steepest] < 0 else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "suggestion": self.suggestion}


def find_learning_rate(
    model: Trainable,
    objective: Objective,
    dataset: TrainingData,
    *,
    settings: TrainSettings | None = None,
    lowest: float = 1e-7,
    highest: float = 1.0,
    steps: int = 100,
    quiet: bool = False,
) -> LearningRates:
    """Try learning rates on a copy of a model. The model, the objective and every file stay as they are.

    The trial is the beginning of a run with these settings, but for the rate: the same batches, the same
    dropout, the same bits every time. It ends early at a loss that is NaN, or as soon as its mean over the
    last steps is more than four times the lowest such mean, and above the first.

    Parameters
    ----------
    model, objective, dataset
        As for `Trainer`.
    settings : TrainSettings, optional
        All but the learning rate, its schedule, the number of steps, and what is measured and saved.
    lowest, highest : float
        Rates of the first step and of the last.
    steps : int
        At least 10.
    quiet : bool
        Show no progress.

    Raises
    ------
    UsageError
        A range that is none; an objective that cannot be copied. Others as of `Trainer`.
    """
    check_integer("steps", steps, FEWEST)
    check_number("highest", highest, 0, math.inf)
    check_number("lowest", lowest, 0, math.inf)
    if not 0 < lowest < highest < math.inf:
        raise UsageError(f"the rates rise from lowest to highest: {lowest!r} to {highest!r} is no such range")
    settings = settings or TrainSettings()
    check_type("settings", settings, TrainSettings)
    trial = replace(
        settings, lr=float(lowest), schedule="constant", warmup=0, max_steps=steps, log_every=steps,
        eval_every=None, save_every=None, keep_best=None, patience=None,
    )  # fmt: skip
    rates: list[float] = []
    losses: list[float] = []
    means: list[float] = []

    def on_step(step: Step) -> None:
        step.trainer.optimizer.lr = lowest * (highest / lowest) ** (step.step / (steps - 1))
        if "loss" not in step.losses:  # nothing was asked, as where no word could be masked
            return
        rates.append(step.lr)
        losses.append(step.losses["loss"])
        means.append(_recent(losses))
        best = min(means)
        if means[-1] - best > (DIVERGED - 1) * abs(best) and means[-1] > means[0]:
            raise StopTraining(f"the loss diverged at a rate of {step.lr:.1e}")

    ended = None
    trainer = Trainer(*_copies(model, objective, dataset), dataset, settings=trial, on_step=on_step,
                      label="trying rates", quiet=quiet)  # fmt: skip
    try:
        ended = trainer.train().stopped
    except TrainingError:
        if not losses:  # before any rate could have been at fault
            raise
        ended = f"the loss or the gradient was no number at a rate of {trainer.optimizer.lr:.1e}"
    return LearningRates(tuple(rates), tuple(losses), _smoothed(losses), ended)


def _recent(values: Sequence[float]) -> float:
    """Mean over the last values."""
    return _decayed(values)[-1] / _decayed([1.0] * len(values))[-1]


def _smoothed(values: Sequence[float]) -> tuple[float, ...]:
    """Mean around each value."""
    sums, weights = _around(values), _around([1.0] * len(values))
    return tuple(total / weight for total, weight in zip(sums, weights, strict=True))


def _around(values: Sequence[float]) -> list[float]:
    """Sum over all values, each times 0.8^distance, around each."""
    before, after = _decayed(values), _decayed(values[::-1])[::-1]
    return [a + b - value for a, b, value in zip(before, after, values, strict=True)]


def _decayed(values: Sequence[float]) -> list[float]:
    """Sum of each value and those before it, each times 0.8^distance."""
    return list(accumulate(values, lambda total, value: SMOOTHING * total + value))


def _copies(model: Any, objective: Any, dataset: Any) -> tuple[Any, Any]:
    """A copy of a model, and of the objective for it; data, backend and teacher are shared."""
    shared = [dataset, model.backend, *(getattr(objective, n, None) for n in ("teacher", "teacher_cache"))]
    memo = {id(x): x for x in shared if x is not None}
    try:
        pair: tuple[Any, Any] = copy.deepcopy((model, objective), memo)
    except TypeError as error:
        raise UsageError(
            f"the trial needs a copy of the model and of {type(objective).__name__}, and one cannot be "
            f"copied: {error}; give it a __deepcopy__"
        ) from error
    return pair
