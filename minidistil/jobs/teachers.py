"""Teaching of a fine-tuning by several teachers, whose scores are averaged."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.batch import Batch
from minidistil.distill.objective import Distillation
from minidistil.distill.score_terms import label_order
from minidistil.distill.teacher_cache import TeacherCache, weights_hash
from minidistil.distill.teacher_mean import Teacher, TeacherMean
from minidistil.distill.term import Pair
from minidistil.distill.terms import weight_of
from minidistil.distill.trainer import fixed_inputs
from minidistil.errors import ConfigError
from minidistil.jobs.finetune_settings import TeachingSettings
from minidistil.jobs.sources import origin
from minidistil.jobs.teaching import APART, Measure, Teaching
from minidistil.model.model import Model
from minidistil.tasks.base import TrainableTask
from minidistil.text.dataset import Dataset
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.objective import LabelLoss, TrainingData
from minidistil.train.trainer import Trainer


def teaching_by(
    task: TrainableTask, teachers: Sequence[str], settings: TeachingSettings, *, quiet: bool = False
) -> Teaching:
    """The teaching of a task by one teacher, or by several."""
    if len(teachers) == 1:
        return Teaching(task, teachers[0], settings, quiet=quiet)
    return TeachingBySeveral(task, teachers, settings, quiet=quiet)


class TeachingBySeveral(Teaching):
    """Several teachers of a task as one: the student learns the mean of their answers (`TeacherMean`).

    Their scores are computed once, by one teacher after the other, and kept.

    Parameters
    ----------
    task, settings, quiet
        As of `Teaching`.
    paths : sequence of str
        Directories or hub ids. The student has the labels in the order of the first.
    """

    def __init__(
        self, task: TrainableTask, paths: Sequence[str], settings: TeachingSettings, *, quiet: bool = False
    ) -> None:
        super().__init__(task, paths[0], settings, quiet=quiet)
        self.each = [Teaching(task, path, settings, quiet=quiet) for path in paths]

    @property
    def one(self) -> Teaching:
        return self.each[0]

    @property
    def paths(self) -> list[str]:
        return [one.path for one in self.each]

    def identity(self) -> dict[str, Any]:
        return {str(i): one.identity() for i, one in enumerate(self.each, 1)}

    @cached_property
    def problem_type(self) -> str | None:
        kinds = {one.problem_type: one.path for one in self.each}
        if len(kinds) > 1:
            said = ", ".join(f"{path} of {kind}" for kind, path in kinds.items())
            raise ConfigError(f"the teachers are of several problem types ({said}): take those of one")
        return next(iter(kinds))

    # Training

    def check(self, data: TrainingData, examples: Any, tokenizer: Tokenizer, name: str) -> None:
        count, several = len(self.each), "with several teachers only their scores are averaged"
        if alone := sorted(self.compared - APART):
            raise ConfigError(
                f"the term {alone[0]} compares the inside of one teacher, and there are {count}: {several} "
                f"(the terms {', '.join(sorted(APART))}); give one teacher, or leave the term out"
            )
        for terms in (self.terms, self.first_terms):
            if {"soft", "logits"} <= {term for term, weight in terms.items() if weight_of(weight)}:
                raise ConfigError(
                    "the terms soft and logits average several teachers in two ways, distributions and "
                    "scores: take one of the terms"
                )
        if any(head.over_vocabulary for head in self.teacher.heads):
            raise ConfigError(f"{several}, and a masked LM's are too many to keep: give one teacher")
        for one in self.each:
            one.check(data, examples, tokenizer, name)
            self._check_labels(one)

    def own_input(
        self, examples: Any, tokenizer: Tokenizer, name: str, *, labelled: bool = False
    ) -> list[Dataset | None]:
        """Of each teacher as `Teaching.own_input`."""
        return [one.own_input(examples, tokenizer, name, labelled=labelled) for one in self.each]

    def _trainer(
        self,
        terms: Mapping[str, Any],
        model: Model,
        data: TrainingData,
        own_input: Sequence[Dataset | None],
        class_weights: npt.ArrayLike | None,
        **options: Any,
    ) -> Trainer:
        options["label"] = f"learning from {len(self.each)} teachers"
        temperature, kept = self.temperature, self._kept_in(options["out"])
        objective = Distillation(model, terms, temperature=temperature, class_weights=class_weights)
        orders = [label_order(replace(objective.pair, teacher=one.teacher)) for one in self.each]
        if names := objective.teacher_outputs():
            caches = [
                self._scores(one, data, own, kept, names)
                for one, own in zip(self.each, own_input, strict=True)
            ]
            soft = "soft" in objective.weights
            objective.teacher_cache = TeacherMean(
                caches, model.heads[0], temperature if soft else None, orders,
                several_labels=objective.pair.several_labels,
            )  # fmt: skip
        identity = {
            "teachers": [weights_hash(one.teacher) for one in self.each],
            "their labels": [None if order is None else order.tolist() for order in orders],
            **objective.settings(),
        }
        return Trainer(model, objective, data, identity=identity, **options)

    def _check_labels(self, one: Teaching) -> None:
        pair = Pair(self.teacher, one.teacher, LabelLoss(self.teacher), self.temperature, "all")
        try:
            label_order(pair)
        except ConfigError as error:
            first, other = (", ".join(t.teacher.heads[0].classes()[:8]) for t in (self, one))
            raise ConfigError(
                f"the labels of the teacher {one.path} are {other}, those of the first, {self.path}, {first}"
                ": scores are averaged label by label"
            ) from error

    def _scores(
        self, one: Teaching, data: TrainingData, own: Dataset | None, kept: Path, names: list[str]
    ) -> Teacher:
        """Scores of one teacher, kept."""
        inputs = fixed_inputs(data) if own is None else own
        assert inputs is not None
        cache = TeacherCache(one.teacher, inputs, kept, names, quiet=self.quiet)
        if own is None:
            return cache
        # It read other tokens of the same texts: its scores, one row a text, are found by the text alone.
        assert isinstance(data, Dataset)
        scores, order = cache.whole("logits"), np.argsort(data.example_ids, kind="stable")
        ids = data.example_ids[order]

        def by_text(batch: Batch) -> dict[str, Any]:
            return {"logits": scores[order[np.searchsorted(ids, batch.example_ids)]]}

        return by_text

    # Report

    def measured(self, measure: Measure, usual: Tokenizer) -> dict[str, Any]:
        """The mean of the teachers' numbers as "teacher", and the numbers of each."""
        each = {
            name: measure(None, one.teacher, one.tokenizer(usual))
            for name, one in zip(self._names(), self.each, strict=True)
        }
        return {"models": {"teacher": _means(list(each.values()))}, "teachers": each}

    def _names(self) -> list[str]:
        """Short names of the teachers, or their paths where two have the same."""
        names = [origin(path).name for path in self.paths]
        return names if len(set(names)) == len(names) else self.paths


def _means(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means of the numbers that all have; a text that they share stays."""
    found: dict[str, Any] = {}
    for key, first in each[0].items():
        values = [facts.get(key) for facts in each]
        if isinstance(first, str) and all(value == first for value in values):
            found[key] = first
        elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            same = all(value == first for value in values)
            found[key] = first if same else statistics.fmean(map(float, values))  # type: ignore[arg-type]
    return found
