"""State and results of a training run."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minidistil.errors import CheckpointError, ConfigError
from minidistil.settings import build
from minidistil.train.checkpoint import Position

DIVERGED = 1e4  # times what the loss usually was at first, or 1 if that was less
STEPS = 10  # in a row beyond it: one batch of outliers is no divergence, and no run comes back from so many
USUAL = 20  # losses that say what is usual


@dataclass
class Interval:
    """Sums since the last line of the log; `asked` counts the steps that a term of the loss had a part in."""

    losses: dict[str, float] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    examples: int = 0
    seconds: float = 0.0

    def add(self, losses: Mapping[str, float], tokens: int, examples: int) -> None:
        """Add a step."""
        for term, value in losses.items():
            self.losses[term] = self.losses.get(term, 0.0) + value
            self.asked[term] = self.asked.get(term, 0) + 1
        self.tokens += tokens
        self.examples += examples

    def means(self) -> dict[str, float | None]:
        """Mean of the loss, and of each of its terms, over the steps that asked for it."""
        means = {name: value / self.asked[name] for name, value in self.losses.items()}
        return {"loss": means.pop("loss", None), **means}


@dataclass
class TrainState:
    """Progress of a run: all that a checkpoint holds besides arrays. Counts begin at 0.

    Attributes
    ----------
    step : int
        Optimiser steps done.
    epoch, batch : int
        The epoch under way, and its micro-batches that finished steps have used.
    micro : int
        Micro-batches already in the gradient of the step under way.
    sums : dict
        Sum of each term of the loss over those micro-batches.
    interval : Interval
    seconds : float
        Time spent on steps, over all processes that had a part in the run.
    usual : tuple of float
        Sizes of the first losses, to tell whether it diverges.
    beyond : int
        Steps in a row whose loss was far beyond them.
    metrics : dict
        Result of the last evaluation.
    best_step, best_value, stale
        The best evaluation, and how many have come since.
    finished, stopped_early : bool
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    micro: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    interval: Interval = field(default_factory=Interval)
    seconds: float = 0.0
    usual: tuple[float, ...] = ()
    beyond: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    best_step: int | None = None
    best_value: float | None = None
    stale: int = 0
    finished: bool = False
    stopped_early: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], path: Path) -> TrainState:
        """The state of the checkpoint at `path`.

        Raises
        ------
        CheckpointError
            It is not what this version writes.
        """
        try:
            return build(cls, values, str(path))
        except ConfigError as error:
            raise CheckpointError(
                f"{error}; remove {path} to go on from the checkpoint before, or from the start"
            ) from error

    def diverges(self, loss: float) -> bool:
        """True if the loss of a step, though it is still a number, has exploded, as in steps before it.

        What is usual is the median of the first losses that were not beyond it themselves. Targets may lie
        far apart, so that a batch with the largest is far from the first batch, whatever is learnt.
        """
        usual = statistics.median(self.usual) if self.usual else abs(loss)
        if abs(loss) > DIVERGED * max(usual, 1.0):
            self.beyond += 1
        else:
            self.beyond = 0
            if len(self.usual) < USUAL:
                self.usual = (*self.usual, abs(loss))
        return self.beyond >= STEPS

    def is_best(self, value: float, best_is: str) -> bool:
        """True if the value of a metric is the best so far, which is then noted; else it counts as stale."""
        best = self.best_value
        better = best is None or (value > best if best_is == "max" else value < best)
        if better and not math.isnan(value):
            self.best_step, self.best_value, self.stale = self.step, value, 0
            return True
        self.stale += 1
        return False

    def stop_early(self) -> None:
        """End the run, unless this was its last step anyway."""
        if not self.finished:
            self.finished = self.stopped_early = True

    def record(self, epoch: float, lr: float, grad_norm: float) -> dict[str, Any]:
        """Values of a line of the log: means and sums since the line before."""
        interval = self.interval
        return {
            "epoch": epoch,
            **interval.means(),
            "lr": lr,
            "grad_norm": grad_norm,
            "tokens": interval.tokens,
            "examples": interval.examples,
            "seconds": self.seconds,
            "tokens_per_second": interval.tokens / interval.seconds,
            "examples_per_second": interval.examples / interval.seconds,
        }

    def count_seconds(self, began: float) -> None:
        """Add the time since `began`, of `time.perf_counter`."""
        seconds = time.perf_counter() - began
        self.seconds += seconds
        self.interval.seconds += seconds

    def result(self, history: list[dict[str, Any]], stopped: str | None = None) -> TrainResult:
        """The results of a run that ends so; `stopped` is the reason of a hook."""
        return TrainResult(
            self.step,
            self.metrics,
            self.best_step,
            self.best_value,
            self.stopped_early,
            self.seconds,
            history,
            stopped,
        )

    @property
    def position(self) -> Position:
        return Position(self.step, self.micro)


@dataclass(frozen=True)
class TrainResult:
    """Results of a run.

    Attributes
    ----------
    steps : int
        Optimiser steps done.
    metrics : dict
        Result of the last evaluation.
    best_step, best_value : int and float, or None
        Step at which `keep_best` was best. The model then has the parameters of that step.
    stopped_early : bool
    seconds : float
        Time spent on steps: without evaluation and saving.
    history : list of dict
        The records of metrics.jsonl.
    stopped : str or None
        Reason of a hook that ended the run before its last step; see `StopTraining`.
    """

    steps: int
    metrics: dict[str, float]
    best_step: int | None
    best_value: float | None
    stopped_early: bool
    seconds: float
    history: list[dict[str, Any]] = field(repr=False)
    stopped: str | None = None
