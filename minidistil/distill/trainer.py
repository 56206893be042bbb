"""The one call that distils a fine-tuned teacher into a student."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from minidistil.distill.objective import Distillation
from minidistil.distill.teacher_cache import teacher_logits, weights_hash
from minidistil.model.base import Model
from minidistil.text.dataset import Dataset
from minidistil.train.objective import TrainingData
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer


class DistillationTrainer(Trainer):
    """A `Trainer` whose objective is `Distillation`.

    With an output directory and no term but those of a sequence classifier's scores, the teacher runs once
    over the data and its logits are kept there; otherwise it runs on every batch.

    Parameters
    ----------
    student, teacher : Model
    dataset : Dataset or other training data
        With `labels` only if `weights` has a `hard` term.
    settings : TrainSettings
    weights : mapping, optional
        Terms and their weights, see `Distillation`; soft labels alone by default.
    temperature, soft_on
        As for `Distillation`.
    out, evaluate, label, quiet
        As for `Trainer`.
    """

    def __init__(
        self,
        student: Model,
        teacher: Model,
        dataset: TrainingData,
        *,
        settings: TrainSettings,
        weights: Mapping[str, float | Mapping[str, Any]] | None = None,
        temperature: float = 2.0,
        soft_on: Literal["all", "masked"] = "all",
        out: str | Path | None = None,
        evaluate: Callable[[], Mapping[str, float]] | None = None,
        label: str = "distilling",
        quiet: bool = False,
    ) -> None:
        objective = Distillation(
            student, weights or {"soft": 1.0}, teacher=teacher, temperature=temperature, soft_on=soft_on
        )
        by_sequence = not any(head.token_outputs for head in teacher.heads)
        once = by_sequence and not objective.terms and objective.weights.keys() != {"hard"}
        if out is not None and once and isinstance(dataset, Dataset):
            logits = teacher_logits(teacher, dataset, Path(out) / "teacher_outputs", quiet=quiet)
            dataset = dataset.with_targets(teacher_logits=logits)
        super().__init__(
            student,
            objective,
            dataset,
            settings=settings,
            out=out,
            evaluate=evaluate,
            identity={"teacher": weights_hash(teacher), **objective.settings()},
            label=label,
            quiet=quiet,
        )
