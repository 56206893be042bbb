"""Training a masked LM on a folder of text: distilled from a teacher, or on its own.

Beside what every run leaves (`minidistil.jobs.run`) there are

    corpus/                   the text, encoded once
    teacher.json              the teacher on held-out text
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minidistil.distill.importance import head_importance, stream_sample
from minidistil.distill.student import init_student
from minidistil.distill.trainer import DistillationTrainer
from minidistil.errors import ConfigError, DataError
from minidistil.files import read_json, write_json
from minidistil.jobs.run import Evaluation, RecipeRun, freeze, sizes
from minidistil.jobs.sources import content
from minidistil.model import DistilBertForMaskedLM, load_model
from minidistil.model.model import Model
from minidistil.settings import to_dict
from minidistil.tasks.masked_lm.task import MaskedLMTask, evaluate_masked_lm, masked_lm_head
from minidistil.text.corpus.chunks import Sequences, Split, chunk
from minidistil.text.corpus.corpus import Corpus
from minidistil.text.corpus.writer import encode_corpus
from minidistil.text.masking import MaskedDataset, Masking
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer
from minidistil.weights.card import ModelCard, origin
from minidistil.weights.hub import resolve

MEASURED = ("masked_lm", "perplexity", "accuracy")


@dataclass(frozen=True)
class StudentSettings:
    """What the student is.

    Attributes
    ----------
    family : {"same", "distilbert"}
        The teacher's architecture, or DistilBERT's: without token types and pooler.
    layers : str
        Teacher layers it starts from, see `choose_layers`.
    width, heads, intermediate : int or None
        A narrower shape, see `narrow_model`.
    importance : {"weights", "data"}
        What says which heads and directions a narrower student keeps: the teacher's weights, or how it works
        on the text (`minidistil.distill.importance`).
    freeze : tuple of str
        What does not learn: "positions", or patterns of parameter names.
    """

    family: Literal["same", "distilbert"] = "same"
    layers: str = "alternate"
    width: int | None = None
    heads: int | None = None
    intermediate: int | None = None
    importance: Literal["weights", "data"] = "weights"
    freeze: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataSettings:
    """How text becomes sequences.

    Attributes
    ----------
    text_key : str
        Which entry of a JSON object is the text.
    max_length : int
        Most tokens of a sequence.
    shortest : int
        Fewest; shorter ones are dropped.
    unknown : float
        Sequences of which this share or more is unknown words are dropped.
    held_out : float
        Share of the documents to measure by.
    measured : int
        How many of the held-out sequences are used.
    """

    text_key: str = "text"
    max_length: int = 128
    shortest: int = 12
    unknown: float = 0.5
    held_out: float = 0.02
    measured: int = 500


@dataclass(frozen=True)
class ObjectiveSettings:
    """What is minimised, see `minidistil.distill.Distillation`.

    With `masking.fixed` the teacher's outputs can be kept, see `DistillationTrainer`.
    """

    temperature: float = 2.0
    soft_on: Literal["all", "masked"] = "all"
    terms: Mapping[str, Any] = field(default_factory=lambda: {"soft": 5.0, "hard": 2.0, "cosine": 1.0})
    keep: Literal["all", "float16", "nothing"] = "nothing"
    top_k: int | None = None


@dataclass(frozen=True)
class DistillationRecipe:
    """All settings of a general distillation. `minidistil.settings` reads and writes it."""

    student: StudentSettings = field(default_factory=StudentSettings)
    data: DataSettings = field(default_factory=DataSettings)
    masking: Masking = field(default_factory=Masking)
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    train: TrainSettings = field(default_factory=TrainSettings)


class MaskedLMRun(RecipeRun):
    """What distillation and pre-training have in common: text, and masks.

    Parameters
    ----------
    texts : sequence of paths
        Files and directories of text.
    recipe : dataclass
        With tables `data`, `masking` and `train`.
    out, quiet
        As for `RecipeRun`.
    """

    def __init__(
        self, texts: Sequence[str | Path], recipe: Any, out: str | Path, *, quiet: bool = False
    ) -> None:
        super().__init__(recipe, out, quiet=quiet)
        recipe.train.check_best(MaskedLMTask.lower_is_better)
        self.texts = texts

    @property
    def positions(self) -> int:
        """How many tokens a sequence of the model may have."""
        raise NotImplementedError

    @cached_property
    def corpus(self) -> Corpus:
        return encode_corpus(
            self.tokenizer,
            self.texts,
            self.out / "corpus",
            leave_out=self.out,
            text_key=self.recipe.data.text_key,
            quiet=self.quiet,
        )

    @cached_property
    def split(self) -> Split:
        data = self.recipe.data
        if data.max_length > self.positions:
            raise ConfigError(
                f"data.max_length is {data.max_length}, but the model has {self.positions} positions"
            )
        split = chunk(
            self.corpus,
            self.tokenizer,
            max_length=data.max_length,
            shortest=data.shortest,
            unknown=data.unknown,
            held_out=data.held_out,
        )
        if not len(split.train):
            limits = f"{data.shortest} to {data.max_length} tokens"
            raise DataError(
                f"nothing to learn from: of {len(self.corpus)} documents ({self.corpus.num_tokens} tokens) "
                f"none gives {limits} and is not held out"
            )
        return split

    @cached_property
    def held_out(self) -> MaskedDataset | None:
        """What is measured on, always masked alike; None if nothing is kept out."""
        some = self.split.held_out
        some = some.subset(np.arange(min(len(some), self.recipe.data.measured)))
        if not len(some):
            return None
        return self._masked(some).fixed()

    def _masked(self, sequences: Sequences) -> MaskedDataset:
        recipe = self.recipe
        return MaskedDataset.create(sequences, self.tokenizer, recipe.masking, seed=recipe.train.seed)

    def about(self) -> dict[str, Any]:
        _ = self.split  # what cannot work leaves no mark
        return {"corpus": self.corpus.meta}

    def data(self) -> MaskedDataset:
        return self._masked(self.split.train)

    def evaluation(self, model: Model) -> Evaluation | None:
        held_out = self.held_out
        return None if held_out is None else lambda: evaluate_masked_lm(model, held_out)

    def report(self) -> dict[str, Any]:
        """Sizes, and the result on held-out text."""
        model = load_model(self.out / "model")
        return {
            "recipe": to_dict(self.recipe),
            "documents": len(self.corpus),
            "tokens": self.split.train.num_tokens,
            "sequences": len(self.split.train),
            "seen": self.examples_seen(len(self.split.train)),
            "held_out_sequences": 0 if self.held_out is None else len(self.held_out),
            "models": {"model": self.describe(model, "model")},
        }

    def describe(self, model: Model, label: str) -> dict[str, Any]:
        """Size of a model, what it makes of the held-out text, and how fast."""
        facts = sizes(model)
        if self.held_out is not None:
            began = time.perf_counter()
            facts |= evaluate_masked_lm(
                model, self.held_out, label=f"measuring the {label}", quiet=self.quiet
            )
            facts["sequences_per_second"] = len(self.held_out) / (time.perf_counter() - began)
        return facts


class GeneralDistillation(MaskedLMRun):
    """DistilBERT's pre-training: a masked LM of half the depth, from a teacher and text without labels.

    Parameters
    ----------
    teacher : str
        A directory or hub id of a masked LM.
    texts, recipe, out, quiet
        As for `MaskedLMRun`; the recipe is a `DistillationRecipe`.
    """

    recipe: DistillationRecipe

    def __init__(
        self,
        teacher: str,
        texts: Sequence[str | Path],
        recipe: DistillationRecipe,
        out: str | Path,
        *,
        quiet: bool = False,
    ) -> None:
        super().__init__(texts, recipe, out, quiet=quiet)
        self.source = teacher

    @cached_property
    def teacher(self) -> Model:
        """Left in its file: no gradient ever changes it."""
        model = load_model(self.source, mapped=True, quiet=True)
        model.check_trained([masked_lm_head(model)])
        return model

    @cached_property
    def tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_pretrained(resolve(self.source))
        return tokenizer.check_rows(self.teacher.config.vocab_size, self.source)

    def identity(self) -> dict[str, Any]:
        return {"teacher": content(resolve(self.source))}

    def first_model(self) -> Model:
        s = self.recipe.student
        measured: dict[str, Any] = {}
        if s.importance == "data" and (s.width or s.heads or s.intermediate):
            text = self._masked(self.split.train).fixed()
            measured["head_importance"] = head_importance(self.teacher, text, quiet=self.quiet)
            measured["hidden_states"] = stream_sample(self.teacher, text)
        student = init_student(
            self.teacher,
            s.layers,
            DistilBertForMaskedLM if s.family == "distilbert" else None,
            width=s.width,
            heads=s.heads,
            intermediate=s.intermediate,
            **measured,
            seed=self.recipe.train.seed,
        )
        freeze(student, s.freeze)
        return student

    def trainer(self, model: Model, data: MaskedDataset, **options: Any) -> Trainer:
        o = self.recipe.objective
        return DistillationTrainer(
            model,
            self.teacher,
            data,
            settings=self.recipe.train,
            weights=o.terms,
            temperature=o.temperature,
            soft_on=o.soft_on,
            keep=o.keep,
            top_k=o.top_k,
            label="distilling",
            **options,
        )

    @property
    def positions(self) -> int:
        return self.teacher.config.max_position_embeddings

    def forget(self) -> None:
        super().forget()
        (self.out / "teacher.json").unlink(missing_ok=True)

    def before_training(self) -> None:
        _ = self.measured_teacher  # so that curves have something to be compared with

    @cached_property
    def measured_teacher(self) -> dict[str, Any]:
        path = self.out / "teacher.json"
        if not self._is_measured(path):
            write_json(path, self.describe(self.teacher, "teacher"))
        facts: dict[str, Any] = read_json(path)
        return facts

    def _is_measured(self, path: Path) -> bool:
        """True if the teacher's numbers are there, whole; one that is not defined is null."""
        try:
            facts = read_json(path)
        except ConfigError:
            return False
        measured = () if self.held_out is None else MEASURED
        sizes_there = all(isinstance(facts.get(key), int) for key in ("layers", "parameters"))
        return sizes_there and all(isinstance(facts.get(key, ""), int | float | None) for key in measured)

    def report(self) -> dict[str, Any]:
        report = super().report()
        student = report["models"].pop("model")
        report["models"] = {"teacher": self.measured_teacher, "student": student}
        return report

    def card(self) -> ModelCard:
        teacher = origin(self.source, resolve(self.source))
        return self.made_card(
            teacher,
            title="A masked language model, distilled",
            summary=f"Distilled by minidistil from {teacher.name} over text without labels.",
            pipeline_tag="fill-mask",
            limitations="What the text it was distilled on does not show, it has from its teacher at best.",
        )

    def arguments(self) -> list[str]:
        return ["distill", "--teacher", self.source, "--corpus", *map(str, self.texts)]


def table(report: Mapping[str, Any]) -> str:
    """The report as a table of at most 80 columns."""
    columns = ("layers", "parameters", "loss", "perplexity", "accuracy")
    lines = [f"{'':10}" + "".join(f"{column:>12}" for column in columns)]
    for name, row in report["models"].items():
        cells = [str(row["layers"]), f"{row['parameters'] / 1e6:.1f} M"]
        if "masked_lm" in row:
            loss, perplexity, right = (math.nan if row[key] is None else row[key] for key in MEASURED)
            cells += [f"{loss:.3f}", f"{perplexity:.1f}", f"{right:.1%}"]
        lines.append(f"{name:10}" + "".join(f"{cell:>12}" for cell in cells))
    seen = report.get("seen", report["sequences"])
    part = "" if seen == report["sequences"] else f"{seen:,} of "
    learnt = f"Learnt from {part}{report['sequences']:,} sequences of {report['tokens']:,} tokens."
    measured = (
        f"Measured on the masked words of {report['held_out_sequences']:,} held-out sequences; loss in nats."
    )
    return "\n".join([*lines, "", learnt, measured])
