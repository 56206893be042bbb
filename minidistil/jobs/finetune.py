"""Fine-tuning a model for a task, alone or taught by a teacher.

The directory of the run (`minidistil.jobs.run`) is also that of the model; with several seeds each has one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.config import ModelConfig
from minidistil.errors import ConfigError, UsageError
from minidistil.jobs.comparison import compared
from minidistil.jobs.example_files import ExampleFiles
from minidistil.jobs.finetune_settings import FineTuningRecipe as FineTuningRecipe
from minidistil.jobs.finetune_settings import TeachingSettings
from minidistil.jobs.first_model import first_bias, first_model
from minidistil.jobs.results import numbers
from minidistil.jobs.run import Evaluation, Job, sizes
from minidistil.jobs.sources import content, examples_hash, origin
from minidistil.jobs.stages import FIRST, SECOND, head_kept
from minidistil.jobs.teachers import teaching_by
from minidistil.jobs.teaching_check import say, teaching_facts
from minidistil.jobs.transfer import TransferSet
from minidistil.model import load_model
from minidistil.model.families import load_config
from minidistil.model.model import Model
from minidistil.settings import to_dict
from minidistil.tasks.base import TrainableTask
from minidistil.tasks.registry import named_task
from minidistil.text.dataset import Dataset
from minidistil.text.masking import MaskedDataset
from minidistil.text.model_fit import fit_tokenizer
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.class_weights import class_weights_for
from minidistil.train.objective import ModelLoss, TrainingData
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
    teacher : str or sequence of str, optional
        A model fine-tuned for the same task, from which this one also learns; of several the mean.
    unlabelled : sequence of paths
        Files of texts on which it learns the teacher's answers alone.
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
        teacher: str | Sequence[str] | None = None,
        unlabelled: Sequence[str | Path] = (),
        also: Callable[[Model, Tokenizer], Mapping[str, float]] | None = None,
        quiet: bool = False,
    ) -> None:
        named = named_task(task, recipe.data, recipe.task)
        if not isinstance(named, TrainableTask):
            raise UsageError(f"{task} is measured, not learnt: use `minidistil evaluate`")
        teachers = [] if teacher is None else [teacher] if isinstance(teacher, str) else list(teacher)
        if not teachers and recipe.teaching != TeachingSettings():
            raise ConfigError("settings of teaching. need a teacher: --distill-from")
        if not teachers and unlabelled:
            raise UsageError("--unlabelled gives texts for a teacher to answer: it needs --distill-from")
        recipe.train.check_best(named.lower_is_better)
        self.task, self.source, self.task_name, self.recipe = named, source, task, recipe
        self.out, self.also, self.quiet = Path(out), also, quiet
        self._train, self._evaluate, self._unlabelled = train, evaluate, unlabelled
        self.teaching = teaching_by(named, teachers, recipe.teaching, quiet=quiet) if teachers else None
        options: dict[str, Sequence[object]] = {"--task": [task], "--train": [train]}
        options |= {"--eval": [] if evaluate is None else [evaluate]}
        options |= {"--distill-from": teachers, "--unlabelled": unlabelled}
        given = [part for name, values in options.items() if values for part in (name, *map(str, values))]
        self.job = Job(recipe, self.out, ["finetune", source, *given], model="")

    def run(self) -> dict[str, Any]:
        """Do what is left to do, and return the report; errors as of the steps of `Job`."""
        job = self.job
        with job.alone():
            job.claim(self.identity(), self.check)
            if not job.is_trained():
                model = self.first_model()
                self.check_teacher(model)
                evaluate = job.checked(self.evaluation(model))
                last = self.first_stage(model)
                last.train(self.trainer(model, out=last.work, evaluate=evaluate, quiet=self.quiet))
                self.calibrate(model)
                job.save(model, self.task.tokenizer_to_save(self.tokenizer, self.config), self.card())
            return job.finish(self.report())

    def finished(self) -> dict[str, Any] | None:
        """The report, if this very run has ended before; errors as of `run`."""
        return self.job.finished(self.identity)

    def run_once(self) -> dict[str, Any]:
        """The report of this very run, of before or of now; errors as of `run`."""
        return self.finished() or self.run()

    def without_teacher(self, out: Path, max_steps: int | None = None) -> FineTuning:
        """The same fine-tuning from the labels alone, in another directory; `max_steps`: of other length."""
        train = self.recipe.train
        if max_steps is not None:
            train = replace(train, max_steps=max_steps)
        recipe = replace(self.recipe, teaching=TeachingSettings(), train=train)
        alone = FineTuning(
            self.source, self.task_name, self._train, recipe, out,
            evaluate=self._evaluate, also=self.also, quiet=self.quiet,
        )  # fmt: skip
        alone.files = replace(self.files, labelled=True) if not self._labelled else self.files
        return alone

    # Inputs

    @cached_property
    def _source_config(self) -> ModelConfig:
        return load_config(resolve(self.source))

    @cached_property
    def tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_pretrained(self.source)
        return fit_tokenizer(tokenizer, self._source_config, self.source, training=True)

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
    def transfer(self) -> TransferSet:
        """Inputs that are learnt from without labels."""
        task, recipe = self.task.with_columns_of(self.files.whole), self.recipe
        seed, files = recipe.train.seed, self._unlabelled
        return TransferSet(task, files, self.held_out, recipe.teaching, seed, quiet=self.quiet)

    @cached_property
    def _for_teacher(self) -> Any:
        """Input of a teacher that has another tokenizer; None if they share one, or there is none."""
        return self.transfer.own_input(self.teaching, self.examples, self.tokenizer, self.source)

    @cached_property
    def config(self) -> ModelConfig:
        """Config of the first model: labels of the teacher, if there is one, or of the training file."""
        base, taught_by = self._source_config, None
        if self.teaching is None:
            base = base.replace(**self.task.config_overrides(self.examples))
        else:
            base = self.teaching.config(base)
            taught_by = self.teaching.teacher, self.teaching.tokenizer(self.tokenizer)
        learnt = self.task.training_record(self.examples, base, self.tokenizer, taught_by)
        return base.replace(extra=learnt.merged_into(base.extra))

    @cached_property
    def dataset(self) -> TrainingData:
        """Tokens and targets of all that is learnt from; texts without labels follow the examples."""
        data = self._examples_data
        return self.transfer.added_to(data, self._copies, self.tokenizer, self.teaching, self.config)

    @cached_property
    def _copies(self) -> int:
        return self.transfer.copies(self._examples_data, self.tokenizer, self.teaching)

    @cached_property
    def _examples_data(self) -> TrainingData:
        """Tokens and targets of the examples."""
        data = self.task.dataset(self.tokenizer, self.examples, self.config, labelled=self._labelled)
        # Masks are random, as dropout is: another seed, other masks. Those that one measures by stay.
        return replace(data, seed=self.recipe.train.seed) if isinstance(data, MaskedDataset) else data

    @cached_property
    def _class_weights(self) -> npt.NDArray[np.float64] | None:
        """Weights of the classes, in the order of the model's outputs."""
        chosen, names = self.recipe.train.class_weights, self.config.label_names
        return None if chosen is None else class_weights_for(self._examples_data, chosen, names)

    @property
    def _labelled(self) -> bool:
        """True if the loss needs labels."""
        return self.teaching is None or self.teaching.needs_labels

    # Steps, in order

    def identity(self) -> dict[str, Any]:
        """Hashes of the inputs."""
        found = {
            "task": self.task_name,
            "train": examples_hash(self.examples),
            "evaluate": None if self.held_out is None else examples_hash(self.held_out),
            "source": content(self.source),
            "teacher": None if self.teaching is None else self.teaching.identity(),
            **self.transfer.identity(),
        }
        return found if self.files.split is None else {**found, "split": examples_hash(self.files.whole)}

    def check(self) -> dict[str, Any]:
        """Refuse inputs that cannot work, such as an unknown label; returns facts for run.json."""
        self.check_targets()
        if self.teaching is not None:
            self.teaching.check(self.dataset, self.examples, self.tokenizer, self.source)
        if self._evaluate is None:
            log.info("%s", self.files.measured_by())
        return {"from": self.source, "examples": len(self.examples)}

    def check_targets(self) -> None:
        """Refuse examples without what a model learns from, or is measured by."""
        _ = self.dataset, self._class_weights
        if self.held_out is not None:
            _ = self._held_out_data

    @property
    def steps(self) -> int:
        """Optimiser steps in all, unless patience ends the training."""
        train = self.recipe.train
        per_epoch = -(-len(self.dataset) // train.batch_size)
        return train.max_steps or train.epochs * -(-per_epoch // train.accumulation)

    def first_model(self) -> Model:
        """The model as training begins."""
        m, data, bias = self.recipe.model, self._examples_data, None
        if self._labelled and isinstance(data, Dataset) and "labels" in data.targets:
            bias = first_bias(data.targets["labels"], self.task.problem_type)
        return first_model(
            self.task.model_class(self.config), self.source, self.config,
            layers=m.layers, frozen=m.freeze, seed=self.recipe.train.seed, bias=bias,
        )  # fmt: skip

    def check_teacher(self, student: Model) -> None:
        """Say, before a student learns, where its teacher can teach it little; run.json keeps the facts."""
        if (teaching := self.teaching) is None:
            return

        def facts() -> dict[str, Any]:
            held_out, one = None, teaching.one
            if self.held_out is not None:
                own = one.own_input(self.held_out, self.tokenizer, self.source, labelled=True)
                held_out = self._held_out_data, own
            own = self._for_teacher  # of the examples, and then of other texts
            if one is not teaching:
                own = one.own_input(self.examples, self.tokenizer, self.source, labelled=self._labelled)
            t, examples = teaching.temperature, (self._examples_data, own)
            found = teaching_facts(one.teacher, student, t, examples, held_out)
            say(found, unlabelled=not self._labelled or bool(self.transfer.texts))
            return {"terms": dict(teaching.terms), **found}

        self.job.fact("teaching", facts)

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
            return {**found, "loss" if self.teaching is None else "hard": value}

        return measure

    def first_stage(self, model: Model) -> Job:
        """Train the first of two stages, if there are two; returns the job of the last.

        A stage that has ended is read from its last checkpoint.
        """
        if self.teaching is None or not self.teaching.first_terms:
            return self.job
        stage = self.job.of_stage(FIRST)
        held_out = None if self.held_out is None else self._held_out_data
        with head_kept(model, self.teaching.first_terms):
            trainer = self.teaching.first_trainer(
                model, self.dataset, self._for_teacher, self._class_weights, held_out,
                settings=self.recipe.train, out=stage.work, quiet=self.quiet,
            )  # fmt: skip
            stage.train(trainer)
        return self.job.of_stage(SECOND)

    def trainer(self, model: Model, **options: Any) -> Trainer:
        """Trainer on the labels, or with a teacher; options as of `Trainer`."""
        options["settings"] = self.recipe.train
        if self.teaching is None:
            loss = ModelLoss(model, class_weights=self._class_weights)
            return Trainer(model, loss, self.dataset, label="fine-tuning", **options)
        return self.teaching.trainer(model, self.dataset, self._for_teacher, self._class_weights, **options)

    def calibrate(self, model: Model) -> None:
        """Add values from held-out examples, such as a threshold, to the config."""
        if self.held_out is not None:
            facts = self.task.as_trained().calibrate(model, self.tokenizer, self.held_out)
            model.config = model.config.replace(extra={**model.config.extra, **facts})

    def card(self) -> ModelCard:
        """README.md of the model."""
        source, settings, taught = origin(self.source), to_dict(self.recipe), ""
        if self.teaching is None:
            del settings["teaching"]
        else:
            taught = f", taught by {' and '.join(origin(path).name for path in self.teaching.paths)}"
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
        more = self.transfer.sizes(len(self.examples), self._copies)
        report: dict[str, Any] = {
            "task": self.task_name,
            "primary": self.task.main_metric,
            "better": "lower" if self.task.main_metric in self.task.lower_is_better else "higher",
            "recipe": to_dict(self.recipe),
            "examples": len(self.examples),
            **more,
            "seen": self.job.examples_seen(len(self.examples) + sum(more.values())),
            "models": {},
        }
        if self.teaching is not None:
            report |= self.teaching.measured(self._measured, self.tokenizer)
        name = "model" if self.teaching is None else "student"
        saved = load_model(self.out), Tokenizer.from_pretrained(self.out)
        report["models"][name] = self._measured(name, *saved)
        if self.held_out is not None:
            report["evaluated"] = len(self.held_out)
        if self.teaching is not None and self.teaching.first_terms:
            report["stages"] = self.job.steps_of_stages()
        if self.files.split is not None:
            report["split"] = len(self.files.whole)
        if self.teaching is not None:
            report["teaching"] = self.job.fact("teaching", dict)
        return compared(report)

    def _measured(self, name: str | None, model: Model, tokenizer: Tokenizer) -> dict[str, Any]:
        """Sizes and metrics of a model; details of its evaluation are kept under `name`."""
        facts = sizes(model)
        if self.held_out is not None:
            task, details = self.task.as_trained(), None if name is None else self.job.details_of(name)
            began = time.perf_counter()
            facts |= task.evaluate(model, tokenizer, self.held_out, quiet=self.quiet, details=details)
            facts["examples_per_second"] = len(self.held_out) / (time.perf_counter() - began)
        if self.also is not None:
            facts |= self.also(model, tokenizer)
        return facts
