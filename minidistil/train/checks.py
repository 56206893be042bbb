"""Checks of what a trainer is given, before anything is computed or written."""

from __future__ import annotations

import os
from typing import Any

from minidistil.arguments import check_type
from minidistil.errors import UsageError
from minidistil.train.settings import TrainSettings


def check_training(dataset: Any, settings: TrainSettings, out: Any, evaluate: Any) -> None:
    """Raise a UsageError for an argument of a trainer that is of another type."""
    check_type("settings", settings, TrainSettings)
    if not (hasattr(dataset, "lengths") and hasattr(dataset, "batch")):
        raise UsageError(
            f"training needs a Dataset, not {type(dataset).__name__}: Dataset.from_texts makes one of texts"
        )
    if evaluate is not None and not callable(evaluate):
        raise UsageError(f"evaluate must be a function that gives metrics, not {evaluate!r:.60}")
    if out is not None:
        check_type("out", out, (str, os.PathLike))


def check_learner(model: Any, objective: Any) -> None:
    """Raise a UsageError unless these are a model and an objective."""
    if not hasattr(model, "params"):
        raise UsageError(f"the model to train must be a Model, not {type(model).__name__}: {model!r:.60}")
    if not callable(objective) or not callable(getattr(objective, "counts", None)):
        raise UsageError(f"the objective must be one, such as ModelLoss(model), not {objective!r:.60}")
