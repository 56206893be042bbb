"""Teaching of a fine-tuning: the teacher, what its student learns from it, and the trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy.typing as npt

from minidistil.config import ModelConfig
from minidistil.distill.objective import Distillation
from minidistil.distill.score_terms import COMPARED
from minidistil.distill.teacher_cache import TeacherCache, weights_hash
from minidistil.distill.terms import needs_labels, weight_of
from minidistil.distill.trainer import DistillationTrainer, fixed_inputs
from minidistil.distill.vocabulary import difference, saved_tokenizer
from minidistil.errors import ConfigError
from minidistil.jobs.finetune_settings import TeachingSettings
from minidistil.jobs.sources import content
from minidistil.jobs.stages import NoLongerFalls, stage_settings
from minidistil.jobs.usual_teaching import Objective, usual_objective
from minidistil.model import class_of
from minidistil.model.families import load_config
from minidistil.model.heads import Head
from minidistil.model.model import Model
from minidistil.tasks.base import TrainableTask
from minidistil.text.dataset import Dataset
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.objective import TrainingData, check_positions
from minidistil.train.trainer import Trainer
from minidistil.weights.hub import resolve

Measure = Callable[[str | None, Model, Tokenizer], dict[str, Any]]
# Terms for which a teacher may have a tokenizer of its own.
APART = {"soft", "logits", "hard", "triplet", "contrastive"}


def own_tokenizer(source: str, usual: Tokenizer) -> Tokenizer:
    """The tokenizer of a directory or hub id, or `usual` if it was saved without one."""
    return saved_tokenizer(resolve(source)) or usual


class Teaching:
    """A teacher of a task, and the objective of its student. The teacher is read when it is first asked for.

    Parameters
    ----------
    task : TrainableTask
    path : str
        Directory or hub id of the teacher, a model fine-tuned for the same task.
    settings : TeachingSettings
    quiet : bool
        Show no progress.

    Raises
    ------
    ConfigError
        Of the teacher, when it is read: its head is not the task's.
    """

    def __init__(
        self, task: TrainableTask, path: str, settings: TeachingSettings, *, quiet: bool = False
    ) -> None:
        self.task, self.path, self.settings, self.quiet = task, path, settings, quiet

    @cached_property
    def teacher(self) -> Model:
        path = resolve(self.path)
        teacher_class = class_of(load_config(path), path, self.task.head)
        teacher = teacher_class.from_pretrained(path, mapped=True, quiet=True)
        self.task.check_model(teacher, self.path)
        return teacher

    @property
    def one(self) -> Teaching:
        """The teaching by a single teacher: this, or of several that by the first."""
        return self

    @property
    def paths(self) -> list[str]:
        """Directories or hub ids of all teachers."""
        return [self.path]

    def tokenizer(self, usual: Tokenizer) -> Tokenizer:
        """The teacher's own tokenizer, or `usual` if it was saved without one."""
        return own_tokenizer(self.path, usual)

    def identity(self) -> dict[str, Any]:
        """Hashes of the teacher's files."""
        return content(self.path)

    def config(self, base: ModelConfig) -> ModelConfig:
        """The student's config with the teacher's labels."""
        return base.replace(problem_type=self.problem_type, id2label=self.teacher.config.id2label)

    # Objective

    @property
    def problem_type(self) -> str | None:
        """That of the task; where it leaves that open, of the teacher."""
        return self.task.problem_type or self.teacher.config.problem_type

    @property
    def terms(self) -> Mapping[str, Any]:
        """Terms of the student's loss: those of the settings, and the usual ones that they do not name."""
        return {**self.usual.terms, **self.settings.terms}

    @property
    def temperature(self) -> float:
        """Temperature of the soft labels."""
        chosen = self.settings.temperature
        return self.usual.temperature if chosen is None else chosen

    @property
    def usual(self) -> Objective:
        """Objective that is usual for the kind of task."""
        return usual_objective(self.task.kind, self.problem_type)

    @property
    def first_terms(self) -> Mapping[str, Any]:
        """Terms of the first of two stages; empty if there is one stage."""
        terms = self.settings.first.terms
        return terms if any(map(weight_of, terms.values())) else {}

    @property
    def needs_labels(self) -> bool:
        """True if the loss needs the labels of the examples."""
        return needs_labels(self.terms) or needs_labels(self.first_terms)

    @property
    def compared(self) -> set[str]:
        """Terms with a weight, of all stages."""
        given = [*self.terms.items(), *self.first_terms.items()]
        return {name for name, weight in given if weight_of(weight)}

    # Training

    def check(self, data: TrainingData, examples: Any, tokenizer: Tokenizer, name: str) -> None:
        """Refuse a teacher that cannot read what its student reads; `name` is the student's source.

        Raises
        ------
        ConfigError
            Another tokenizer, with terms that compare tokens; or too few positions.
        """
        if self.own_input(examples, tokenizer, name) is None:
            check_positions(data, self.teacher, f"the teacher {self.path}")

    def own_input(self, examples: Any, tokenizer: Tokenizer, name: str, *, labelled: bool = False) -> Any:
        """Dataset of the examples by the teacher's own tokenizer; None if both tokenizers give the same.

        `labelled`: those that a dataset with labels has, which may leave out examples without a class.

        Raises
        ------
        ConfigError
            The student learns from it something of each token, or of other sequences.
        """
        own = self.tokenizer(tokenizer)
        differing = difference(tokenizer, own)
        if differing is None:
            return None
        head = self.teacher.heads[0] if self.teacher.heads else Head()
        if head.by_token or not head.classes() or not self.compared <= APART:
            raise ConfigError(
                f"the teacher {self.path} has another vocabulary than {name}: {differing}. Only scores of "
                f"whole texts can be learnt from it (the terms {', '.join(sorted(APART))}); take two models "
                "with the same tokenizer"
            )
        # It reads as long as it learnt.
        data = self.task.as_trained().dataset(own, examples, self.teacher.config, labelled=labelled)
        assert isinstance(data, Dataset)
        return data

    def trainer(
        self,
        model: Model,
        data: TrainingData,
        own_input: Any,
        class_weights: npt.ArrayLike | None,
        **options: Any,
    ) -> Trainer:
        """Trainer of a student; `own_input` as of the method of this name; options as of `Trainer`."""
        return self._trainer(self.terms, model, data, own_input, class_weights, **options)

    def first_trainer(
        self,
        model: Model,
        data: TrainingData,
        own_input: Any,
        class_weights: npt.ArrayLike | None,
        held_out: TrainingData | None,
        **options: Any,
    ) -> Trainer:
        """Trainer of the first of two stages, as `trainer`; its loss is measured on the held-out examples."""
        s, terms, measure = self.settings, self.first_terms, None
        if held_out is not None and own_input is None:
            objective = Distillation(
                model, terms, teacher=self.teacher, temperature=self.temperature, class_weights=class_weights
            )
            if s.keep == "all" and (inputs := fixed_inputs(held_out)) is not None:
                names, kept = objective.teacher_outputs(), self._kept_in(options["out"])
                cache = TeacherCache(self.teacher, inputs, kept, names, dtype=s.keep_dtype, quiet=self.quiet)
                objective.teacher_cache = cache

            def measure() -> dict[str, float]:
                return objective.means(model, held_out)

        settings = stage_settings(options.pop("settings"), s.first)
        stop = None
        if s.first.patience is not None:
            stop = NoLongerFalls(s.first.patience, s.first.least_fall, s.first.eval_every)
        options |= {"settings": settings, "evaluate": measure, "stop_when": stop}
        return self._trainer(terms, model, data, own_input, class_weights, **options)

    def _kept_in(self, out: Path) -> Path:
        """Directory of the teacher's outputs, which two stages share."""
        return (out.parent if self.first_terms else out) / "teacher_outputs"

    def _trainer(
        self,
        terms: Mapping[str, Any],
        model: Model,
        data: TrainingData,
        own_input: Any,
        class_weights: npt.ArrayLike | None,
        **options: Any,
    ) -> Trainer:
        s, kept = self.settings, self._kept_in(options["out"])
        if s.pieces == "all" and isinstance(data, Dataset):
            data = data.without_targets(COMPARED)
        options["label"] = "learning from the teacher"
        t: Any = {"temperature": self.temperature, "class_weights": class_weights}
        if own_input is None:
            t |= {"keep": s.keep, "keep_dtype": s.keep_dtype, "kept_in": kept if self.first_terms else None}
            return DistillationTrainer(model, self.teacher, data, weights=terms, **t, **options)
        # The teacher reads the texts by its own tokenizer: all its scores are computed beforehand.
        assert isinstance(data, Dataset)
        scores = TeacherCache(self.teacher, own_input, kept, ["logits"], quiet=self.quiet)
        objective = Distillation(model, terms, **t)
        data = data.with_targets(teacher_logits=scores.whole("logits"))
        identity = {"teacher": weights_hash(self.teacher), **objective.settings()}
        return Trainer(model, objective, data, identity=identity, **options)

    # Report

    def measured(self, measure: Measure, usual: Tokenizer) -> dict[str, Any]:
        """Entries of a report on the teacher; `measure` takes a name for details, or None, and a model."""
        return {"models": {"teacher": measure("teacher", self.teacher, self.tokenizer(usual))}}
