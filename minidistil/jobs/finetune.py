"""Fine-tuning a model for a task, alone or taught by a teacher.

The directory of the run (`minidistil.jobs.run`) is also that of the model; with several seeds each has one.
"""

from __future__ import annotations

import dataclasses
import logging
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
from minidistil.distill.teacher_cache import TeacherCache, weights_hash
from minidistil.distill.terms import needs_labels
from minidistil.distill.trainer import DistillationTrainer
from minidistil.distill.vocabulary import saved_tokenizer
from minidistil.errors import ConfigError, UsageError
from minidistil.jobs.example_files import ExampleFiles
from minidistil.jobs.finetune_settings import FineTuningRecipe as FineTuningRecipe
from minidistil.jobs.finetune_settings import TeachingSettings
from minidistil.jobs.first_model import first_model
from minidistil.jobs.results import numbers
from minidistil.jobs.run import Evaluation, Job, sizes
from minidistil.jobs.sources import content, examples_hash, origin
from minidistil.jobs.teaching import input_for_teacher
from minidistil.model import class_of, load_model
from minidistil.model.families import load_config
from minidistil.model.model import Model
from minidistil.settings import to_dict
from minidistil.tasks.base import TrainableTask
from minidistil.tasks.registry import named_task
from minidistil.text.dataset import Dataset
from minidistil.text.masking import MaskedDataset
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.class_weights import class_weights_for
from minidistil.train.objective import ModelLoss, TrainingData, check_positions
from minidistil.train.trainer import Trainer
from minidistil.train.validation import mean_loss
from minidistil.weights.card import ModelCard
from minidistil.weights.hub import resolve

log = logging.getLogger("minidistil")


class FineTuning:
    """One fine-tuning. Its inputs are read when they are first asked for.

    Parameters
    ----------
    source : str
        A directory or hub id to begin from.
    task : str
        A name or kind, see `minidistil.tasks.registry`.
    train, evaluate : path
        Examples to learn from, and to measure by. Without the latter some of the former are kept for it, and
        not learnt from: see `TrainingFile.split`.
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
    def files(self) -> ExampleFiles:
        share = self.recipe.data.split
        return ExampleFiles(self.task, self._train, self._evaluate, share, self._labelled)

    @property
    def examples(self) -> Any:
        """Examples to learn from."""
        return self.files.learnt

    @property
    def held_out(self) -> Any:
        """Examples to measure by; None if there are none."""
        return self.files.held_out

    @cached_property
    def _held_out_data(self) -> TrainingData:
        """Tokens and targets of these, always masked alike."""
        data = self.task.dataset(self.tokenizer, self.held_out, self.config)
        return data.fixed() if isinstance(data, MaskedDataset) else data

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
        """Input of a teacher that has another tokenizer; None if they share one, see `input_for_teacher`."""
        if self.teacher is None or self._teacher is None:
            return None
        tokenizers, names = (self.tokenizer, self.teacher_tokenizer), (self.source, self._teacher)
        return input_for_teacher(self.task, self.examples, self.teacher, tokenizers, names, self._terms)

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
        chosen, names = self.recipe.train.class_weights, self.config.label_names
        return None if chosen is None else class_weights_for(self.dataset, chosen, names)

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
        found = {
            "task": self.task_name,
            "train": examples_hash(self.examples),
            "evaluate": None if self.held_out is None else examples_hash(self.held_out),
            "source": content(self.source),
            "teacher": None if self._teacher is None else content(self._teacher),
        }
        return found if self.files.split is None else {**found, "split": examples_hash(self.files.whole)}

    def check(self) -> dict[str, Any]:
        """Refuse inputs that cannot work, such as an unknown label; returns facts for run.json."""
        _ = self.dataset, self._class_weights
        if self.held_out is not None:
            _ = self._held_out_data
        if self.teacher is not None and self._for_teacher is None:
            check_positions(self.dataset, self.teacher, f"the teacher {self._teacher}")
        if self._evaluate is None:
            log.info("%s", self.files.measured_by())
        return {"from": self.source, "examples": len(self.examples)}

    def first_model(self) -> Model:
        """The model as training begins."""
        m, mean = self.recipe.model, None
        if self._labelled and self.task.problem_type == "regression":
            assert isinstance(self.dataset, Dataset)
            mean = self.dataset.targets["labels"].mean()
        return first_model(
            self.task.model_class(self.config), self.source, self.config,
            layers=m.layers, frozen=m.freeze, seed=self.recipe.train.seed, mean=mean,
        )  # fmt: skip

    def evaluation(self, model: Model) -> Evaluation | None:
        """Metrics of the model as it learns, and its loss against the labels.

        The loss has the name of what it is beside in the log: "loss", or of a student the term "hard".
        """
        if self.held_out is None:
            return None
        task, loss = self.task.as_trained(), ModelLoss(model, class_weights=self._class_weights)

        def measure() -> dict[str, float]:
            found = numbers(task.evaluate(model, self.tokenizer, self.held_out))
            ready = found.get(task.loss_metric or "")
            value = mean_loss(loss, self._held_out_data) if ready is None else ready
            return {**found, "loss" if self.teacher is None else "hard": value}

        return measure

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
        if self.files.split is not None:
            report["split"] = len(self.files.whole)
        return report
