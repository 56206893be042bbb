"""The one call that distils a fine-tuned teacher into a student."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from minidistil.distill.objective import TaskDistillation
from minidistil.distill.teacher_cache import teacher_logits, weights_hash
from minidistil.model.base import Model
from minidistil.text.dataset import Dataset
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer


class DistillationTrainer(Trainer):
    """A `Trainer` whose objective is `TaskDistillation`.

    With soft labels and an output directory, the teacher runs once over the data and its logits are kept
    there; with the cosine term it runs on every batch.

    Parameters
    ----------
    student, teacher : Model
    dataset : Dataset
        With `labels` only if `weights` has a `hard` term.
    settings : TrainSettings
    weights : mapping of str to float, optional
        Of the terms `soft`, `hard` and `cosine`; soft labels alone by default.
    temperature : float
    out, evaluate, label, quiet
        As for `Trainer`.
    """

    def __init__(
        self,
        student: Model,
        teacher: Model,
        dataset: Dataset,
        *,
        settings: TrainSettings,
        weights: Mapping[str, float] | None = None,
        temperature: float = 2.0,
        out: str | Path | None = None,
        evaluate: Callable[[], Mapping[str, float]] | None = None,
        label: str = "distilling",
        quiet: bool = False,
    ) -> None:
        objective = TaskDistillation(
            student, weights or {"soft": 1.0}, teacher=teacher, temperature=temperature
        )
        by_sequence = not any(head.token_outputs for head in teacher.heads)
        if (
            out is not None
            and by_sequence
            and "soft" in objective.weights
            and "cosine" not in objective.weights
        ):
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
