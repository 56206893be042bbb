"""Fine-tuning a model for a task, alone or taught by a teacher.

The directory of the run (`minidistil.jobs.run`) is also that of the model; with several seeds each has one.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.config import ModelConfig
from minidistil.distill.objective import Distillation
from minidistil.distill.student import init_student
from minidistil.distill.teacher_cache import TeacherCache, weights_hash
from minidistil.distill.terms import needs_labels, weight_of
from minidistil.distill.trainer import DistillationTrainer
from minidistil.distill.vocabulary import difference, saved_tokenizer
from minidistil.errors import ConfigError, UsageError
from minidistil.jobs.finetune_settings import FineTuningRecipe as FineTuningRecipe
from minidistil.jobs.finetune_settings import TeachingSettings
from minidistil.jobs.results import numbers
from minidistil.jobs.run import Evaluation, Job, freeze, sizes
from minidistil.jobs.sources import content, examples_hash, origin
from minidistil.model import class_of, load_model
from minidistil.model.families import load_config
from minidistil.model.heads import Head
from minidistil.model.model import Model
from minidistil.settings import to_dict
from minidistil.tasks.base import TrainableTask
from minidistil.tasks.registry import named_task
from minidistil.text.dataset import Dataset
from minidistil.text.masking import MaskedDataset
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.class_weights import class_weights
from minidistil.train.objective import ModelLoss, TrainingData, check_positions
from minidistil.train.trainer import Trainer
from minidistil.weights.card import ModelCard
from minidistil.weights.hub import resolve

HEAD_BIAS = "classifier.bias"
APART = {"soft", "logits", "hard", "triplet"}  # terms for which a teacher may have a tokenizer of its own


class FineTuning:
    """One fine-tuning. Its inputs are read when they are first asked for.

    Parameters
    ----------
    source : str
        A directory or hub id to begin from.
    task : str
        A name or kind, see `minidistil.tasks.registry`.
    train, evaluate : path
        Examples to learn from, and to measure by; without the latter nothing is measured.
    recipe : FineTuningRecipe
    out : path
    teacher : str, optional
        A model fine-tuned for the same task, from which this one also learns.
    also : callable, optional
        Gives further numbers of a model and its tokenizer, for the report.
    quiet : bool
        Show no progress.
    """

    def __init__(
        self,
        source: str,
        task: str,
        train: str | Path,
        recipe: FineTuningRecipe,
        out: str | Path,
        *,
        evaluate: str | Path | None = None,
        teacher: str | None = None,
        also: Callable[[Model, Tokenizer], Mapping[str, float]] | None = None,
        quiet: bool = False,
    ) -> None:
        named = named_task(task, recipe.data, recipe.task)
        if not isinstance(named, TrainableTask):
            raise UsageError(f"{task} is measured, not learnt: use `minidistil evaluate`")
        if teacher is None and recipe.teaching != TeachingSettings():
            raise ConfigError("settings of teaching. need a teacher: --distill-from")
        recipe.train.check_best(named.lower_is_better)
        self.task, self.source, self.task_name, self.recipe = named, source, task, recipe
        self.out, self.also, self.quiet = Path(out), also, quiet
        self._train, self._evaluate, self._teacher = train, evaluate, teacher
        options = {"--task": task, "--train": train, "--eval": evaluate, "--distill-from": teacher}
        given = ((name, str(value)) for name, value in options.items() if value is not None)
        self.job = Job(recipe, self.out, ["finetune", source, *chain(*given)], model="")

    def run(self) -> dict[str, Any]:
        """Do what is left to do, and return the report; errors as of the steps of `Job`."""
        job = self.job
        with job.alone():
            job.claim(self.identity(), self.check)
            if not job.is_trained():
                model = self.first_model()
                evaluate = job.checked(self.evaluation(model))
                job.train(self.trainer(model, out=job.work, evaluate=evaluate, quiet=self.quiet))
                self.calibrate(model)
                job.save(model, self.task.tokenizer_to_save(self.tokenizer, self.config), self.card())
            return job.finish(self.report())

    def finished(self) -> dict[str, Any] | None:
        """The report, if this very run has ended before; errors as of `run`."""
        return self.job.finished(self.identity)

    def run_once(self) -> dict[str, Any]:
        """The report of this very run, of before or of now; errors as of `run`."""
        return self.finished() or self.run()

    # Inputs

    @cached_property
    def _source_config(self) -> ModelConfig:
        return load_config(resolve(self.source))

    @cached_property
    def tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_pretrained(self.source)
        return tokenizer.check_rows(self._source_config.vocab_size, self.source)

    @cached_property
    def examples(self) -> Any:
        return (self.task if self._labelled else self.task.without_labels()).read(self._train)

    @cached_property
    def held_out(self) -> Any:
        if self._evaluate is None:
            return None
        return self.task.with_columns_of(self.examples).read(self._evaluate)

    @cached_property
    def teacher(self) -> Model | None:
        if self._teacher is None:
            return None
        path = resolve(self._teacher)
        teacher_class = class_of(load_config(path), path, self.task.head)
        teacher = teacher_class.from_pretrained(path, mapped=True, quiet=True)
        self.task.check_model(teacher, self._teacher)
        return teacher

    @cached_property
    def teacher_tokenizer(self) -> Tokenizer:
        assert self._teacher is not None
        return saved_tokenizer(resolve(self._teacher)) or self.tokenizer

    @cached_property
    def _for_teacher(self) -> Dataset | None:
        """Input of a teacher that has another tokenizer, a row for each example; None if they share one.

        Raises
        ------
        ConfigError
            The student learns from it something of each token, or of other sequences.
        """
        differing = difference(self.tokenizer, self.teacher_tokenizer)
        if self.teacher is None or differing is None:
            return None
        taught = {name for name, weight in self._terms.items() if weight_of(weight)}
        head = self.teacher.heads[0] if self.teacher.heads else Head()
        if head.by_token or not head.classes() or not taught <= APART:
            raise ConfigError(
                f"the teacher {self._teacher} has another vocabulary than {self.source}: {differing}. Only "
                f"scores of whole texts can be learnt from it (the terms {', '.join(sorted(APART))}); take "
                "two models with the same tokenizer"
            )
        kept = self.task.as_trained()  # it reads as long as it learnt
        data = kept.dataset(self.teacher_tokenizer, self.examples, self.teacher.config, labelled=False)
        assert isinstance(data, Dataset)
        return data

    @cached_property
    def config(self) -> ModelConfig:
        """Config of the first model: labels of the teacher, if there is one, or of the training file."""
        teacher, base = self.teacher, self._source_config
        if teacher is not None:
            problem_type = self.task.problem_type or teacher.config.problem_type
            base = base.replace(problem_type=problem_type, id2label=teacher.config.id2label)
        else:
            base = base.replace(**self.task.config_overrides(self.examples))
        taught_by = None if teacher is None else (teacher, self.teacher_tokenizer)
        learnt = self.task.training_record(self.examples, base, self.tokenizer, taught_by)
        return base.replace(extra=learnt.merged_into(base.extra))

    @cached_property
    def dataset(self) -> TrainingData:
        """Tokens and targets of the examples."""
        data = self.task.dataset(self.tokenizer, self.examples, self.config, labelled=self._labelled)
        # Masks are random, as dropout is: another seed, other masks. Those that one measures by stay.
        seed = self.recipe.train.seed
        return dataclasses.replace(data, seed=seed) if isinstance(data, MaskedDataset) else data

    @cached_property
    def _class_weights(self) -> npt.NDArray[np.float64] | None:
        """Weights of the classes, in the order of the model's outputs."""
        chosen, data = self.recipe.train.class_weights, self.dataset
        if chosen is None:
            return None
        targets = {**data.targets, **data.token_targets} if isinstance(data, Dataset) else {}
        labels = targets.get("labels")
        if labels is None or labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise ConfigError(
                "train.class_weights are for examples with one label of several, and need the labels"
            )
        return class_weights(chosen, labels, self.config.label_names)

    @property
    def _labelled(self) -> bool:
        """True if the loss needs labels."""
        return self.teacher is None or needs_labels(self._terms)

    @property
    def _terms(self) -> Mapping[str, Any]:
        """Terms of the student's loss: soft labels are of one class of several, others compare scores."""
        terms = self.recipe.teaching.terms
        assert self.teacher is not None
        problem_type = self.task.problem_type or self.teacher.config.problem_type
        soft = problem_type not in ("regression", "multi_label_classification")
        return terms if soft or terms != TeachingSettings().terms else {"logits": 0.5, "hard": 0.5}

    # Steps, in order

    def identity(self) -> dict[str, Any]:
        """Hashes of the inputs."""
        return {
            "task": self.task_name,
            "train": examples_hash(self.examples),
            "evaluate": None if self.held_out is None else examples_hash(self.held_out),
            "source": content(self.source),
            "teacher": None if self._teacher is None else content(self._teacher),
        }

    def check(self) -> dict[str, Any]:
        """Refuse inputs that cannot work, such as an unknown label; returns facts for run.json."""
        _ = self.dataset, self._class_weights
        if self.held_out is not None:
            self.task.dataset(self.tokenizer, self.held_out, self.config)
        if self.teacher is not None and self._for_teacher is None:
            check_positions(self.dataset, self.teacher, f"the teacher {self._teacher}")
        return {"from": self.source, "examples": len(self.examples)}

    def first_model(self) -> Model:
        """The model as training begins."""
        m, seed = self.recipe.model, self.recipe.train.seed
        labels = {name: getattr(self.config, name) for name in ("problem_type", "id2label", "extra")}
        model = self.task.model_class(self.config).from_pretrained(
            resolve(self.source), seed=seed, ignore_mismatched=True, **labels
        )
        model.train()
        follow_labels(model, self._source_config)
        new = set() if model.load_report is None else {absence.name for absence in model.load_report.missing}
        if self._labelled and self.task.problem_type == "regression" and HEAD_BIAS in new:
            assert isinstance(self.dataset, Dataset)
            # From 0 its first hundreds of steps would do nothing but find the mean.
            model.params[HEAD_BIAS][:] = self.dataset.targets["labels"].mean()
        if m.layers is not None:
            model = init_student(model, m.layers, seed=seed)
        freeze(model, m.freeze)
        return model

    def evaluation(self, model: Model) -> Evaluation | None:
        """Metrics of the model as it learns."""
        if self.held_out is None:
            return None
        return lambda: numbers(self.task.as_trained().evaluate(model, self.tokenizer, self.held_out))

    def trainer(self, model: Model, **options: Any) -> Trainer:
        """Trainer on the labels, or with a teacher; options as of `Trainer`."""
        options["settings"] = self.recipe.train
        if self.teacher is None:
            loss = ModelLoss(model, class_weights=self._class_weights)
            return Trainer(model, loss, self.dataset, label="fine-tuning", **options)
        options["label"] = "learning from the teacher"
        t: Any = {"temperature": self.recipe.teaching.temperature, "class_weights": self._class_weights}
        if self._for_teacher is None:
            return DistillationTrainer(model, self.teacher, self.dataset, weights=self._terms, **t, **options)
        # The teacher reads the texts by its own tokenizer: all its scores are computed beforehand.
        assert isinstance(self.dataset, Dataset)
        kept = options["out"] / "teacher_outputs"
        scores = TeacherCache(self.teacher, self._for_teacher, kept, ["logits"], quiet=self.quiet)
        objective = Distillation(model, self._terms, **t)
        data = self.dataset.with_targets(teacher_logits=scores.whole("logits"))
        identity = {"teacher": weights_hash(self.teacher), **objective.settings()}
        return Trainer(model, objective, data, identity=identity, **options)

    def calibrate(self, model: Model) -> None:
        """Add values from held-out examples, such as a threshold, to the config."""
        if self.held_out is not None:
            facts = self.task.as_trained().calibrate(model, self.tokenizer, self.held_out)
            model.config = model.config.replace(extra={**model.config.extra, **facts})

    def card(self) -> ModelCard:
        """README.md of the model."""
        source, settings, taught = origin(self.source), to_dict(self.recipe), ""
        if self._teacher is None:
            del settings["teaching"]
        else:
            taught = f", taught by {origin(self._teacher).name}"
        return self.job.card(
            source,
            settings,
            title=f"{source.name} for {self.task_name}",
            summary=f"Fine-tuned by minidistil for {self.task_name}{taught}.",
            pipeline_tag=self.task.pipeline_tag,
            limitations="It learnt from the examples of one task. How good it is on texts of other kinds is "
            "not known.",
        )

    def report(self) -> dict[str, Any]:
        """Sizes and metrics of the model as it was saved, and of its teacher."""
        saved = load_model(self.out), Tokenizer.from_pretrained(self.out)
        models = {"model" if self._teacher is None else "student": saved}
        if self.teacher is not None:
            models = {"teacher": (self.teacher, self.teacher_tokenizer), **models}
        report: dict[str, Any] = {
            "task": self.task_name,
            "primary": self.task.main_metric,
            "better": "lower" if self.task.main_metric in self.task.lower_is_better else "higher",
            "recipe": to_dict(self.recipe),
            "examples": len(self.examples),
            "seen": self.job.examples_seen(len(self.examples)),
            "models": {},
        }
        for name, (model, tokenizer) in models.items():
            facts = sizes(model)
            if self.held_out is not None:
                began = time.perf_counter()
                facts |= self.task.as_trained().evaluate(
                    model, tokenizer, self.held_out, quiet=self.quiet, details=self.job.details_of(name)
                )
                facts["examples_per_second"] = len(self.held_out) / (time.perf_counter() - began)
            if self.also is not None:
                facts |= self.also(model, tokenizer)
            report["models"][name] = facts
        if self.held_out is not None:
            report["evaluated"] = len(self.held_out)
        return report


def follow_labels(model: Model, before: ModelConfig) -> None:
    """Put the rows of a head in the order of its model's labels, if it learnt the same in another order."""
    new, old = (config.label_names for config in (model.config, before))
    if new == old or sorted(new) != sorted(old):
        return
    for name in ("classifier.weight", "classifier.bias"):
        if name in model.params and len(model.params[name]) == len(new):
            model.params[name][:] = model.params[name][[old.index(label) for label in new]]
