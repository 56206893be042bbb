"""Models of a setting by `minidistil finetune`: its recipe, its run, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.retention.arms import Arm, Budget, steps_of, tokens_of_step, training_cost
from benchmarks.retention.files import Files
from minidistil.distill.terms import TERMS, weight_of
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.jobs.stages import FIRST, SECOND, stage_settings
from minidistil.jobs.teachers import TeachingBySeveral
from minidistil.settings import load_recipe


@dataclass(frozen=True)
class FineTuned:
    """Fine-tuning for a task.

    Another way to make the models of a setting is a class with these methods. Its jobs have `run_once()`,
    which gives a report with "primary" and "models", and log their steps as those of the package do.

    Attributes
    ----------
    task : str
        Kind of the task, as `--task` takes it.
    """

    task: str

    def __str__(self) -> str:
        return self.task

    def recipe(self, changes: Sequence[str]) -> FineTuningRecipe:
        """The recipe of some changes, as `--set` takes them."""
        return load_recipe(FineTuningRecipe, changes=changes)

    def job(
        self, arm: Arm, files: Files, recipe: Any, out: Path, *, encoder: str, teachers: Sequence[Path]
    ) -> FineTuning:
        """The run of an arm; `teachers` are directories of models. It may begin from the first of them."""
        paths = [str(path) for path in teachers]
        options: dict[str, Any] = {}
        if arm.taught:
            options["teacher"] = paths[0] if len(paths) == 1 else paths
        if arm.texts and files.unlabelled is not None:
            options["unlabelled"] = [files.unlabelled]
        begins = encoder if arm.begins == "encoder" else paths[0]
        return FineTuning(
            begins, self.task, files.train, recipe, out, evaluate=files.evaluate, quiet=True, **options
        )

    def budget(self, job: FineTuning) -> Budget:
        """Steps and tokens of a taught student, before it learns; stages that may end early in full."""
        assert job.teaching is not None
        train, lengths, teaching = job.recipe.train, job.dataset.lengths, job.teaching
        steps = {SECOND: job.steps}
        if teaching.first_terms:
            steps[FIRST] = steps_of(stage_settings(train, teaching.settings.first), len(lengths))
        of_step = tokens_of_step(lengths, train)
        alone = job.without_teacher(job.out)
        return Budget(
            steps=sum(steps.values()),
            layers=job.first_model().config.num_hidden_layers,
            teacher_layers=_layers_of_teachers(job),
            read=self._read(job, {stage: number * of_step for stage, number in steps.items()}),
            alone_tokens=tokens_of_step(alone.dataset.lengths, train),
        )

    def cost(self, job: FineTuning, tokens: Mapping[str | None, int], layers: int) -> float:
        """Cost of a run that has ended, see `Budget`.

        Parameters
        ----------
        job : FineTuning
        tokens : mapping
            Tokens that were learnt from, by stage; None is the name of a single one.
        layers : int
            Of the model.
        """
        cost = training_cost(sum(tokens.values()), layers)
        if job.teaching is None:
            return cost
        read = self._read(job, {stage or SECOND: number for stage, number in tokens.items()})
        return cost + read * _layers_of_teachers(job)

    def _read(self, job: FineTuning, tokens: Mapping[str, float]) -> float:
        """Tokens that the teacher reads, if its student learns from so many in each stage."""
        assert job.teaching is not None
        keep, once = job.teaching.settings.keep, float(job.dataset.lengths.sum())
        read = 0.0
        for stage, number in tokens.items():
            terms = job.teaching.first_terms if stage == FIRST else job.teaching.terms
            read += min(once, number) if is_kept(keep, terms) else number
        return read


def is_kept(keep: str, terms: Mapping[str, Any]) -> bool:
    """True if a teacher's outputs for terms are computed once, as `teaching.keep` says."""
    small = not any(TERMS[name].needs_teacher for name, given in terms.items() if weight_of(given))
    return keep == "all" or (keep == "small" and small)


def _layers_of_teachers(job: FineTuning) -> int:
    """Layers of a run's teacher, or of all of them."""
    assert job.teaching is not None
    each = job.teaching.each if isinstance(job.teaching, TeachingBySeveral) else [job.teaching]
    return sum(one.teacher.config.num_hidden_layers for one in each)
