"""The one call that distils a fine-tuned teacher into a student."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from minidistil.arguments import check_integer
from minidistil.distill.objective import Distillation
from minidistil.distill.teacher_cache import SMALL, TeacherCache, weights_hash
from minidistil.distill.vocabulary import check_same_ids
from minidistil.errors import ConfigError, UsageError
from minidistil.model.model import Model
from minidistil.text.choices import MultipleChoiceDataset
from minidistil.text.dataset import Dataset
from minidistil.text.masking import MaskedDataset
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.checks import check_training
from minidistil.train.objective import TrainingData
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer


class DistillationTrainer(Trainer):
    """A `Trainer` whose objective is `Distillation`.

    Data that are the same in every epoch need the teacher only once: what the terms compare is kept on disk
    (`TeacherCache`). Otherwise, and where no example comes twice, it runs on every batch.

    Parameters
    ----------
    student, teacher : Model
    dataset : Dataset or other training data
        With `labels` only if `weights` has a `hard` or a `triplet` term.
    settings : TrainSettings
    weights : mapping, optional
        Terms and their weights, see `Distillation`; soft labels alone by default.
    temperature, soft_on, class_weights
        As for `Distillation`.
    tokenizers : pair of Tokenizer, optional
        The student's and the teacher's. The teacher reads the student's tokens, so they must give the same
        ids; without them only the sizes of the vocabularies are compared.
    keep : {"small", "all", "float16", "nothing"}
        Which of the teacher's outputs are kept. "small": scores and sentence vectors, if nothing else is
        compared, examples come more than once, and there is a place for them. "all": hidden states too, which
        take a row for each token and layer; "float16" in half the bytes, rounded to 11 bits.
    top_k : int, optional
        Of a masked LM keep the scores of the likeliest words, and not what all scores are computed from. The
        others then count as impossible.
    kept_in : path, optional
        Where; by default `teacher_outputs` in `out`. Runs with the same teacher and data can share it.
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
        class_weights: npt.ArrayLike | None = None,
        tokenizers: tuple[Tokenizer, Tokenizer] | None = None,
        keep: Literal["small", "all", "float16", "nothing"] = "small",
        top_k: int | None = None,
        kept_in: str | Path | None = None,
        out: str | Path | None = None,
        evaluate: Callable[[], Mapping[str, float]] | None = None,
        label: str = "distilling",
        quiet: bool = False,
    ) -> None:
        if tokenizers is not None:
            check_same_ids(*tokenizers, names=("the student", "the teacher"))
        if teacher is None:
            raise UsageError("the teacher is None; to learn from labels alone, use Trainer with ModelLoss")
        check_training(dataset, settings, out, evaluate)
        objective = Distillation(
            student,
            weights or {"soft": 1.0},
            teacher=teacher,
            temperature=temperature,
            soft_on=soft_on,
            class_weights=class_weights,
        )
        identity = {"teacher": weights_hash(teacher), **objective.settings()}
        names = objective.teacher_outputs()
        if keep not in ("small", "all", "float16", "nothing"):
            raise ConfigError(f"keep is {keep!r}: expected 'small', 'all', 'float16' or 'nothing'")
        if top_k is not None:
            check_integer("top_k", top_k, 1)
            if top_k < 1 or "features" not in names or keep not in ("all", "float16"):
                raise ConfigError(
                    f"top_k is {top_k!r}: it is a number of words of a masked LM's soft labels to keep, with "
                    "keep='all' or 'float16'"
                )
            names = [f"top_k.{top_k}" if name == "features" else name for name in names]
        place = kept_in if kept_in is not None or out is None else Path(out) / "teacher_outputs"
        seen = settings.max_steps and settings.max_steps * settings.batch_size * settings.accumulation
        again = kept_in is not None or (seen or settings.epochs * len(dataset)) > len(dataset)
        small = again and all(name.partition(".")[0] in SMALL for name in names)
        inputs: Dataset | MaskedDataset | None = dataset if isinstance(dataset, Dataset) else None
        if isinstance(dataset, MultipleChoiceDataset):
            inputs = dataset.sequences
        if isinstance(dataset, MaskedDataset) and dataset.epoch is None:
            inputs = dataset
        if names and keep != "nothing" and (keep != "small" or (small and inputs and place is not None)):
            if inputs is None:
                raise ConfigError("a teacher's outputs are kept only where masks are the same in every epoch")
            if place is None:
                raise ConfigError("a teacher's outputs need a directory to be kept in")
            dtype = "float16" if keep == "float16" else None
            objective.teacher_cache = TeacherCache(teacher, inputs, place, names, dtype=dtype, quiet=quiet)
            if keep == "float16" or top_k is not None:  # it is another objective then
                identity["kept"] = [keep, top_k]
        super().__init__(
            student,
            objective,
            dataset,
            settings=settings,
            out=out,
            evaluate=evaluate,
            identity=identity,
            label=label,
            quiet=quiet,
        )
