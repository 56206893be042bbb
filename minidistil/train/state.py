"""State, results and identity of a training run."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minidistil.errors import CheckpointError, ConfigError
from minidistil.settings import build
from minidistil.train.checkpoint import Position
from minidistil.train.objective import Objective, Trainable, TrainingData
from minidistil.train.settings import TrainSettings

# Settings that say what is written down, not what is computed: they may change between stop and resume.
BOOKKEEPING = ("save_every", "keep", "log_every")


@dataclass
class Interval:
    """Sums since the last line of the log; `asked` counts the steps that a term of the loss had a part in."""

    losses: dict[str, float] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    examples: int = 0
    seconds: float = 0.0


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
    """

    steps: int
    metrics: dict[str, float]
    best_step: int | None
    best_value: float | None
    stopped_early: bool
    seconds: float
    history: list[dict[str, Any]]


def fingerprint(
    settings: TrainSettings,
    objective: Objective,
    dataset: TrainingData,
    model: Trainable,
    identity: Mapping[str, Any],
) -> dict[str, Any]:
    """Identity of a run, equal for all its checkpoints: settings, data, first weights."""
    params = model.params
    labels = getattr(objective, "labels", None)
    if labels is not None and labels.class_weights is not None:
        identity = {"class weights": labels.class_weights.tolist(), **identity}
    return {
        "settings": {k: v for k, v in dataclasses.asdict(settings).items() if k not in BOOKKEEPING},
        "objective": {"kind": type(objective).__name__, "weights": dict(objective.weights)},
        "data": {"examples": len(dataset), "sha256": dataset.content_hash()},
        "model": {
            "config": model.config.to_dict(),
            "backend": model.backend.name,
            "dtype": params.dtype.name,
            "layout": hashlib.sha256(repr([(s.name, s.shape) for s in params.specs]).encode()).hexdigest(),
            "frozen": sorted(model.frozen),
            "first weights": hashlib.sha256(params.flat.data).hexdigest(),
        },
        **identity,
    }
