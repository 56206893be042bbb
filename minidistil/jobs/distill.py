"""Distilling a masked LM over text without labels.

Files beside those of every run (`minidistil.jobs.run`):

    corpus/                   the text, encoded once
    teacher.json              the teacher's metrics on held-out text
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from minidistil.distill.importance import head_importance, stream_sample
from minidistil.distill.student import init_student
from minidistil.distill.trainer import DistillationTrainer
from minidistil.errors import ConfigError
from minidistil.files import read_json, write_json
from minidistil.jobs.masked_text import MEASURED, DataSettings, MaskedText
from minidistil.jobs.run import Job, freeze
from minidistil.jobs.sources import content, origin
from minidistil.model import load_model
from minidistil.model.families import class_with
from minidistil.model.model import Model
from minidistil.settings import check_setting
from minidistil.tasks.masked_lm.fill import masked_lm_head
from minidistil.tasks.masked_lm.task import MaskedLMTask
from minidistil.text.masking import MaskedDataset, Masking
from minidistil.text.model_fit import fit_tokenizer
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer
from minidistil.weights.card import ModelCard


@dataclass(frozen=True)
class StudentSettings:
    """Shape of the student.

    Attributes
    ----------
    family : {"same", "bert", "distilbert", "ernie", "roberta", "xlm-roberta", "camembert", "mpnet",
        "electra", "albert"}
        "same": the teacher's. "distilbert" may begin with the layers of a BERT, less token types and pooler.
    layers : str
        Teacher layers it starts from: "all", "alternate", "first:3", "0,2,4", see `choose_layers`.
    width : int >= 1 or None
        Width of a narrower student, see `prune_width`; None: the teacher's.
    heads : int >= 1 or None
        Attention heads of a layer; None: as many as have the teacher's size, or all.
    intermediate : int >= 1 or None
        Width of the feed-forward blocks; None: the teacher's, or in proportion to a smaller `width`.
    importance : {"weights", "data"}
        Choice of the heads and directions that a narrower student keeps: by the teacher's weights, or by its
        activations on the text (`minidistil.distill.importance`).
    freeze : tuple of str
        Parameters that do not learn: "positions", or names, their beginnings or patterns.
    """

    family: str = "same"
    layers: str = "alternate"
    width: int | None = None
    heads: int | None = None
    intermediate: int | None = None
    importance: Literal["weights", "data"] = "weights"
    freeze: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("width", "heads", "intermediate"):
            value = getattr(self, name)
            check_setting(value is None or value >= 1, name, value, "an integer >= 1, or nothing")
        if self.family != "same":
            class_with("ForMaskedLM", self.family)


@dataclass(frozen=True)
class ObjectiveSettings:
    """Loss of the student, see `minidistil.distill.Distillation`.

    Attributes
    ----------
    temperature : float > 0
        Of the soft labels.
    soft_on : {"all", "masked"}
        Tokens whose soft labels are learnt.
    terms : mapping
        Weights of the terms of the loss, by their names, or tables with a weight and options. 0 removes a
        term.
    keep : {"all", "nothing"}
        Whether the teacher's outputs are computed once and kept on the disk, see `DistillationTrainer`. "all"
        goes with `masking.fixed`.
    keep_dtype : {"float16", "float32"} or None
        Type of the numbers that are kept; None: the teacher's.
    top_k : int >= 1 or None
        Scores of a token that are kept: those of the likeliest words. None: of all.
    """

    temperature: float = 2.0
    soft_on: Literal["all", "masked"] = "all"
    terms: Mapping[str, Any] = field(default_factory=lambda: {"soft": 5.0, "hard": 2.0, "cosine": 1.0})
    keep: Literal["all", "float16", "nothing"] = "nothing"  # "float16" is told its new name
    keep_dtype: Literal["float16", "float32"] | None = None
    top_k: int | None = None

    def __post_init__(self) -> None:
        check_setting(self.temperature > 0, "temperature", self.temperature, "a number > 0")
        good = self.top_k is None or self.top_k >= 1
        check_setting(good, "top_k", self.top_k, "an integer >= 1, or nothing")


@dataclass(frozen=True)
class DistillationRecipe:
    """All settings of a general distillation. `minidistil.settings` reads and writes it."""

    student: StudentSettings = field(default_factory=StudentSettings)
    data: DataSettings = field(default_factory=DataSettings)
    masking: Masking = field(default_factory=Masking)
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    train: TrainSettings = field(default_factory=TrainSettings)


class GeneralDistillation:
    """DistilBERT's pre-training: a masked LM of half the depth, from a teacher and text without labels.

    Parameters
    ----------
    teacher : str
        A directory or hub id of a masked LM.
    texts : sequence of paths
        Files and directories of text.
    recipe : DistillationRecipe
    out : path
    quiet : bool
        Show no progress.
    """

    def __init__(
        self,
        teacher: str,
        texts: Sequence[str | Path],
        recipe: DistillationRecipe,
        out: str | Path,
        *,
        quiet: bool = False,
    ) -> None:
        recipe.train.check_best(MaskedLMTask.lower_is_better)
        self.source, self.texts, self.recipe, self.out, self.quiet = teacher, texts, recipe, Path(out), quiet
        self.job = Job(recipe, self.out, ["distill", "--teacher", teacher, "--corpus", *map(str, texts)])

    def run(self) -> dict[str, Any]:
        """Do what is left to do, and return the report; errors as of the steps of `Job`."""
        job = self.job
        with job.alone():
            job.claim({"teacher": content(self.source)}, lambda: self.text.check())
            teacher = self.measured_teacher()  # first, so that curves have something to be compared with
            if not job.is_trained():
                student = self.first_model()
                evaluate = job.checked(self.text.evaluation(student, "hard"))
                job.train(self.trainer(student, out=job.work, evaluate=evaluate, quiet=self.quiet))
                job.save(student, self.text.tokenizer, self.card())
            student_facts = self.text.describe(load_model(job.result), "model", job.details_of("student"))
            return job.finish(self.text.report({"teacher": teacher, "student": student_facts}))

    def finished(self) -> dict[str, Any] | None:
        """The report, if this very run has ended before; errors as of `run`."""
        report = self.job.finished(lambda: {"teacher": content(self.source)})
        if report is not None:
            _ = self.text.corpus  # refuses another text
        return report

    # Inputs

    @cached_property
    def teacher(self) -> Model:
        """The teacher, left in its file: no gradient ever changes it."""
        model = load_model(self.source, mapped=True, quiet=True)
        model.check_trained([masked_lm_head(model)])
        return model

    @cached_property
    def text(self) -> MaskedText:
        config = self.teacher.config
        tokenizer = Tokenizer.from_pretrained(self.source)
        tokenizer = fit_tokenizer(tokenizer, config, self.source, training=True)
        return MaskedText(self.job, self.texts, tokenizer, config.max_sequence_length, self.quiet)

    # Steps, in order

    def measured_teacher(self) -> dict[str, Any]:
        """Size and metrics of the teacher, measured once."""
        path = self.out / "teacher.json"
        if not self._is_measured(path):
            write_json(path, self.text.describe(self.teacher, "teacher"))
        facts: dict[str, Any] = read_json(path)
        return facts

    def _is_measured(self, path: Path) -> bool:
        """True if the teacher's numbers are there, whole; one that is not defined is null."""
        try:
            facts = read_json(path)
        except ConfigError:
            return False
        measured = () if self.text.held_out is None else MEASURED
        sizes_there = all(isinstance(facts.get(key), int) for key in ("layers", "parameters"))
        return sizes_there and all(isinstance(facts.get(key, ""), int | float | None) for key in measured)

    def first_model(self) -> Model:
        """The student as training begins."""
        s = self.recipe.student
        measured: dict[str, Any] = {}
        if s.importance == "data" and (s.width or s.heads or s.intermediate):
            text = self.text.train.fixed()
            measured["head_importance"] = head_importance(self.teacher, text, quiet=self.quiet)
            measured["hidden_states"] = stream_sample(self.teacher, text)
        student = init_student(
            self.teacher,
            s.layers,
            None if s.family == "same" else class_with("ForMaskedLM", s.family),
            width=s.width,
            heads=s.heads,
            intermediate=s.intermediate,
            **measured,
            seed=self.recipe.train.seed,
        )
        freeze(student, s.freeze)
        return student

    def trainer(self, student: Model, *, data: MaskedDataset | None = None, **options: Any) -> Trainer:
        """Trainer with the recipe's objective, on all of the text or on `data`; options as of `Trainer`."""
        o = self.recipe.objective
        return DistillationTrainer(
            student,
            self.teacher,
            self.text.train if data is None else data,
            settings=self.recipe.train,
            weights=o.terms,
            temperature=o.temperature,
            soft_on=o.soft_on,
            keep=o.keep,
            keep_dtype=o.keep_dtype,
            top_k=o.top_k,
            label="distilling",
            **options,
        )

    def card(self) -> ModelCard:
        """README.md of the student."""
        teacher = origin(self.source)
        return self.job.card(
            teacher,
            title="A masked language model, distilled",
            summary=f"Distilled by minidistil from {teacher.name} over text without labels.",
            pipeline_tag="fill-mask",
            limitations="What the text it was distilled on does not show, it has from its teacher at best.",
        )
