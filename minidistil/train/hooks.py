"""Hook of a training: a function that is called after every step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minidistil.train.trainer import Trainer


@dataclass(frozen=True)
class Step:
    """Record of one optimiser step.

    Attributes
    ----------
    step : int
        Steps done, this one included.
    epoch : float
        Passes over the data that are done.
    losses : mapping of str to float
        Mean of each term over the examples of the step, and their weighted sum, "loss". Empty if no term had
        an item, as where no word could be masked.
    lr : float
        Learning rate of the step.
    grad_norm : float
        Norm of the gradient before it was clipped.
    trainer : Trainer
        Its `model`, `optimizer` and `state` are those after the step.
    """

    step: int
    epoch: float
    losses: Mapping[str, float]
    lr: float
    grad_norm: float
    trainer: Trainer


class StopTraining(Exception):  # noqa: N818  # a request, as StopIteration is
    """Request to end a run after this step, raised by a hook. Its text is the reason.

    The run is saved, if it has a directory, and `train` returns. The same run, started again, goes on.
    """
