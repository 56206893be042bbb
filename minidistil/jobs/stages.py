"""Two stages of a student: layers first, then answers (TinyBERT, Jiao et al. 2019, sections 3.1 and 3.2)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from minidistil.distill.term import Term
from minidistil.distill.terms import TERMS, weight_of
from minidistil.jobs.finetune_settings import FirstStageSettings
from minidistil.model.model import Model
from minidistil.train.settings import TrainSettings

FIRST, SECOND = "first", "second"  # their names in the log


def stage_settings(train: TrainSettings, first: FirstStageSettings) -> TrainSettings:
    """Settings of the first stage's training: the run's, but for length, rate and measuring."""
    own = first.epochs is not None or first.max_steps is not None
    return replace(
        train,
        epochs=first.epochs or train.epochs,
        max_steps=first.max_steps if own else train.max_steps,
        lr=train.lr if first.lr is None else first.lr,
        eval_every=first.eval_every,
        keep_best=None,
        patience=None,
    )


@dataclass(frozen=True)
class NoLongerFalls:
    """Rule for the end of a stage: its loss no longer falls.

    It ends after `patience` measurements in a row that are not below the lowest before them by the share
    `least_fall`. So a fall within the noise of the measurement does not keep it going, and a slow one does
    as soon as several measurements together bring it.

    Attributes
    ----------
    patience : int >= 1
    least_fall : float in [0, 1)
    every : int or "epoch"
        Interval of the means of the training loss, which are measured where a log has no evaluations.
    """

    patience: int
    least_fall: float
    every: int | str

    def __call__(self, records: Sequence[Mapping[str, Any]]) -> bool:
        lowest, stale = math.inf, 0
        for loss in self.measured(records):
            if loss < lowest * (1 - self.least_fall):
                lowest, stale = loss, 0
            else:
                stale += 1
        return stale >= self.patience

    def measured(self, records: Sequence[Mapping[str, Any]]) -> list[float]:
        """Losses of the held-out examples; where there are none, means of the training loss by interval."""
        held_out = [record.get("loss") for record in records if record["kind"] == "eval"]
        if held_out:
            return [math.inf if loss is None else loss for loss in held_out]  # None: it is not a number
        intervals: dict[int, list[tuple[float, float]]] = {}
        for record in records:
            if record["kind"] == "train" and record["loss"] is not None:
                done = record["epoch"] if self.every == "epoch" else record["step"] / float(self.every)
                intervals.setdefault(math.ceil(done), []).append((record["examples"], record["loss"]))
        return [
            sum(examples * loss for examples, loss in parts) / sum(examples for examples, _ in parts)
            for parts in intervals.values()
        ]


@contextmanager
def head_kept(model: Model, terms: Mapping[str, Any]) -> Iterator[None]:
    """Freeze the head meanwhile, if no term gives it a gradient: weight decay alone would change it."""
    before = set(model.frozen)
    if not any(TERMS.get(name, Term).of_scores and weight_of(given) for name, given in terms.items()):
        model.frozen |= {spec.name for spec in model.parts()["head"]}
    try:
        yield
    finally:
        model.frozen = before
