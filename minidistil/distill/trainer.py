"""Trainer of a student with a teacher whose outputs may be kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from minidistil.arguments import check_integer
from minidistil.distill.objective import Distillation
from minidistil.distill.teacher_cache import SMALL, TeacherCache, weights_hash
from minidistil.distill.vocabulary import check_same_ids
from minidistil.errors import ConfigError, UsageError
from minidistil.model.model import Model
from minidistil.text.dataset import Dataset, MultipleChoiceDataset
from minidistil.text.masking import MaskedDataset
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.hooks import Step
from minidistil.train.objective import TrainingData, check_training
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
        With `labels` only if `weights` has a `hard`, a `triplet` or a `contrastive` term.
    settings : TrainSettings
    weights : mapping, optional
        Terms and their weights, see `Distillation`; soft labels alone by default.
    temperature, soft_on, class_weights
        As for `Distillation`.
    tokenizers : pair of Tokenizer, optional
        The student's and the teacher's. The teacher reads the student's tokens, so they must give the same
        ids; without them only the sizes of the vocabularies are compared.
    keep : {"small", "all", "nothing"}
        Outputs of the teacher that are kept. "small": scores and sentence vectors, if nothing else is
        compared, examples come more than once, and there is a directory for them. "all": hidden states too,
        with a row for each token and layer.
    keep_dtype : {"float16", "float32"}, optional
        Dtype of the files; the teacher's by default. float16 rounds to 11 bits.
    top_k : int, optional
        Of a masked LM, keep the scores of the k likeliest words only; all others then count as impossible.
    kept_in : path, optional
        Directory; `teacher_outputs` in `out` by default. Runs with the same teacher and data can share it.
    out, evaluate, stop_when, on_step, label, quiet
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
        keep_dtype: Literal["float16", "float32"] | None = None,
        top_k: int | None = None,
        kept_in: str | Path | None = None,
        out: str | Path | None = None,
        evaluate: Callable[[], Mapping[str, float]] | None = None,
        stop_when: Callable[[Sequence[Mapping[str, Any]]], bool] | None = None,
        on_step: Callable[[Step], object] | None = None,
        label: str = "distilling",
        quiet: bool = False,
    ) -> None:
        if tokenizers is not None:
            check_same_ids(*tokenizers, names=("the student", "the teacher"))
        if teacher is None:
            raise UsageError("the teacher is None; to learn from labels alone, use Trainer with ModelLoss")
        check_training(dataset, settings, out, evaluate, on_step)
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
        if keep == "float16":
            raise ConfigError("keep='float16' is now keep='all' with keep_dtype='float16'")
        if keep not in ("small", "all", "nothing"):
            raise ConfigError(f"keep is {keep!r}: expected 'small', 'all' or 'nothing'")
        if keep_dtype is not None and keep != "all":
            raise ConfigError(f"keep_dtype is {keep_dtype!r}: it goes with keep='all'")
        if top_k is not None:
            check_integer("top_k", top_k, 1)
            if "features" not in names or keep != "all":
                raise ConfigError(
                    f"top_k is {top_k!r}: it is a number of words of a masked LM's soft labels to keep, with "
                    "keep='all'"
                )
            names = [f"top_k.{top_k}" if name == "features" else name for name in names]
        directory = kept_in if kept_in is not None or out is None else Path(out) / "teacher_outputs"
        inputs = fixed_inputs(dataset)
        if keep == "small":
            seen = settings.max_steps and settings.max_steps * settings.batch_size * settings.accumulation
            again = kept_in is not None or (seen or settings.epochs * len(dataset)) > len(dataset)
            small = all(name.partition(".")[0] in SMALL for name in names)
            keep = "all" if again and small and inputs and directory is not None else "nothing"
        if names and keep == "all":
            if inputs is None:
                raise ConfigError("a teacher's outputs are kept only where masks are the same in every epoch")
            if directory is None:
                raise ConfigError("a teacher's outputs need a directory to be kept in")
            cache = TeacherCache(teacher, inputs, directory, names, dtype=keep_dtype, quiet=quiet)
            objective.teacher_cache = cache
            if cache.dtype != teacher.params.dtype or top_k is not None:  # it is another objective then
                identity["kept"] = [keep_dtype or keep, top_k]
        super().__init__(
            student,
            objective,
            dataset,
            settings=settings,
            out=out,
            evaluate=evaluate,
            identity=identity,
            stop_when=stop_when,
            on_step=on_step,
            label=label,
            quiet=quiet,
        )


def fixed_inputs(dataset: TrainingData) -> Dataset | MaskedDataset | None:
    """Sequences that are the same in every epoch; None if they are not."""
    if isinstance(dataset, MultipleChoiceDataset):
        return dataset.sequences
    if isinstance(dataset, MaskedDataset) and dataset.epoch is not None:
        return None
    return dataset if isinstance(dataset, Dataset | MaskedDataset) else None
