"""A smaller sentence encoder, which learns a larger one's embeddings from plain texts without labels.

The student of `minidistil.jobs.sentence_student`, without translations: the model distillation of
sentence-transformers. By default it has every other layer of the teacher. It is measured by a task of
sentence encoders, or else on texts that are kept for that, by how far it agrees with the teacher.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from minidistil.arguments import did_you_mean
from minidistil.arrays import Float32
from minidistil.distill.terms import TERMS, weight_of
from minidistil.distill.vocabulary import difference
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.embeddings.similarity import pairwise_similarities, similarity_matrix
from minidistil.errors import ConfigError, UsageError
from minidistil.jobs.comparison import compared
from minidistil.jobs.results import numbers
from minidistil.jobs.run import Evaluation, sizes
from minidistil.jobs.sentence_student import SentenceDistillation, SentenceStudent
from minidistil.jobs.sources import content, examples_hash, json_hash
from minidistil.metrics import spearman
from minidistil.model.model import Model
from minidistil.settings import ANY_TEXT, check_setting, to_dict
from minidistil.tasks.details import Details
from minidistil.tasks.registry import named_task
from minidistil.tasks.similarity.encoder_task import EncoderTask
from minidistil.text.readers import read_examples
from minidistil.text.tables import Column
from minidistil.train.settings import TrainSettings

log = logging.getLogger("minidistil")

LEAST_HELD_OUT = 10  # fewer would say nothing
AGREEMENT = "agreement with the teacher"  # what is measured without a task


@dataclass(frozen=True)
class SentencesData:
    """Reading of the texts. A text that is there more than once is learnt once.

    Attributes
    ----------
    text : str, int or None
        Column of the texts, by name or by number from 0; None: one with a usual name, such as sentence. Of
        plain text a line is a text.
    max_length : int or None
        Most tokens of a text, while the student learns and afterwards; longer ones are cut. None: as many as
        the teacher reads.
    held_out : float in [0, 1]
        Share of the texts that is kept to measure by, and not learnt from, if there is no other file for
        that. Of fewer than ten nothing is kept.
    measured : int >= 10
        Most texts that are kept.
    """

    text: Column | None = field(default=None, metadata=ANY_TEXT)
    max_length: int | None = None
    held_out: float = 0.05
    measured: int = 1000

    def __post_init__(self) -> None:
        check_setting(0 <= self.held_out <= 1, "held_out", self.held_out, "a share in [0, 1]")
        good = self.measured >= LEAST_HELD_OUT
        check_setting(good, "measured", self.measured, f"an integer >= {LEAST_HELD_OUT}")


@dataclass(frozen=True)
class SentencesObjective:
    """Loss of the student.

    Attributes
    ----------
    kind : {"cosine", "mse"} or None
        Distance of the sentence embeddings, see `minidistil.distill.terms.Embedding`. None: the cosine where
        the teacher's vectors are compared by their directions, else the mean squared difference.
    terms : mapping
        Weights of further terms, by their names, or tables with a weight and options: those of hidden states
        and of attention. The sentence embeddings have the weight 1. Student and teacher need one tokenizer.
    """

    kind: Literal["cosine", "mse"] | None = None
    terms: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SentencesRecipe:
    """All settings of a distillation of a sentence encoder. `minidistil.settings` reads and writes it."""

    student: SentenceStudent = field(default_factory=SentenceStudent)
    data: SentencesData = field(default_factory=SentencesData)
    objective: SentencesObjective = field(default_factory=SentencesObjective)
    train: TrainSettings = field(default_factory=lambda: TrainSettings(lr=5e-4))


class TextsDistillation(SentenceDistillation):
    """A smaller sentence encoder from a larger one, and texts.

    Parameters
    ----------
    teacher : str
        A directory or hub id of a sentence encoder. sentence-transformers files say how it pools.
    texts : sequence of paths
        To learn from: plain text, csv, tsv, jsonl or parquet, `.gz` too.
    recipe : SentencesRecipe
    out : path
    student : str, optional
        An encoder that the student starts from, which may have another tokenizer; by default the teacher.
    evaluate : path, optional
        Examples of `task` to measure by. By default some of the texts are kept for that.
    task : str
        A task of sentence encoders: "similarity", "retrieval", ...
    quiet : bool
        Show no progress.

    Raises
    ------
    UsageError
        `task` is none of sentence encoders.
    """

    title: ClassVar[str] = "A smaller sentence encoder"
    learnt_from: ClassVar[str] = "texts without labels"
    limitations: ClassVar[str] = (
        "It is as good as its teacher at most on texts like those that it learnt from."
    )
    recipe: SentencesRecipe

    def __init__(
        self,
        teacher: str,
        texts: Sequence[str | Path],
        recipe: SentencesRecipe,
        out: str | Path,
        *,
        student: str | None = None,
        evaluate: str | Path | None = None,
        task: str = "similarity",
        quiet: bool = False,
    ) -> None:
        named = named_task(task)
        if not isinstance(named, EncoderTask) or named.files > 1:
            raise UsageError(
                f"--task {task}: expected similarity, stsb-similarity or retrieval, which measure a sentence "
                "encoder on one file"
            )
        arguments = ["--texts", *map(str, texts), *(() if student is None else ("--student", student))]
        if evaluate is not None:
            arguments += ["--eval", str(evaluate), "--task", task]
        super().__init__(teacher, recipe, out, arguments, student=student, quiet=quiet)
        self.task, self.task_name = named, task
        self._paths, self._evaluate = texts, evaluate

    # Inputs

    @cached_property
    def texts(self) -> list[str]:
        """All texts, each once, in the order of the files."""
        texts: dict[str, None] = {}
        for path in self._paths:
            examples = read_examples(path, text=self.recipe.data.text, usual_pairs=(), usual_labels=())
            texts |= dict.fromkeys(text.strip() for text in examples.texts)
        return list(texts)

    @cached_property
    def held_out(self) -> list[str]:
        """Texts to measure by: those with the lowest hashes, so that order and seed do not decide."""
        data = self.recipe.data
        count = min(round(data.held_out * len(self.texts)), data.measured)
        if self._evaluate is not None or count < LEAST_HELD_OUT:
            return []
        return sorted(self.texts, key=lambda text: hashlib.sha256(text.encode()).digest())[:count]

    @cached_property
    def sources(self) -> list[str]:
        kept = set(self.held_out)
        return [text for text in self.texts if text not in kept]

    @cached_property
    def examples(self) -> Any:
        """Examples of the task to measure by; None if there are none."""
        return None if self._evaluate is None else self.task.read(self._evaluate)

    @cached_property
    def another_tokenizer(self) -> str | None:
        """Difference of the student's tokenizer from the teacher's; None if they give the same ids."""
        if self.recipe.student.vocabulary is not None:
            return "its words are made of the texts"
        return difference(self.tokenizer, self.teacher_tokenizer, self.sources)

    # Objective

    def embedding_loss(self) -> str:
        if self.recipe.objective.kind is not None:
            return self.recipe.objective.kind
        e = self.embedding
        return "cosine" if not e.layers and (e.normalize or e.similarity == "cosine") else "mse"

    def more_terms(self) -> Mapping[str, Any]:
        return {name: given for name, given in self.recipe.objective.terms.items() if weight_of(given)}

    def _check_terms(self) -> None:
        """Raise a ConfigError for further terms that do not fit."""
        known = [name for name, term in TERMS.items() if term.needs_teacher]
        for name in self.more_terms():
            if name not in known:
                raise ConfigError(
                    f"objective.terms.{name} is no further term of a sentence encoder"
                    f"{did_you_mean(name, known)}. The sentence embeddings are compared in any case "
                    "(objective.kind)"
                )
        if self.more_terms() and self.another_tokenizer is not None:
            raise ConfigError(
                f"the student has another tokenizer than the teacher: {self.another_tokenizer}. Only "
                "sentence embeddings can be compared: take no objective.terms"
            )

    # Steps

    def identity(self) -> dict[str, Any]:
        measured = None
        if self.examples is not None:
            measured = {"task": self.task_name, "examples": examples_hash(self.examples)}
        return {
            "teacher": self.teacher_identity(),
            "student": None if self.start is None else content(self.start),
            "texts": json_hash(self.texts),
            "evaluate": measured,
        }

    def check(self) -> dict[str, Any]:
        facts = super().check()
        self._check_terms()
        if self.another_tokenizer is not None:
            log.info(
                "the student has another tokenizer than the teacher (%s): sentence embeddings are compared, "
                "and each reads the texts by its own",
                self.another_tokenizer,
            )
        if self.held_out:
            log.info(
                "%d of %d texts are kept to measure by, and not learnt from (--eval FILE measures on others)",
                len(self.held_out), len(self.texts),
            )  # fmt: skip
        elif self.examples is None:
            log.info("nothing is measured (--eval FILE measures)")
        return {**facts, "texts_learnt": len(self.sources)}

    def evaluation(self, model: Model) -> Evaluation | None:
        if self.examples is None and not self.held_out:
            return None
        encoder = SentenceEncoder(model, self.tokenizer, self.written)
        return lambda: numbers(self._measure(encoder))

    @cached_property
    def _teacher_vectors(self) -> Float32:
        """The teacher's vectors of the held-out texts."""
        vectors: Float32 = self.teacher_encoder.encode(self.held_out)
        return vectors

    def _measure(self, encoder: SentenceEncoder, details: Details | None = None) -> dict[str, Any]:
        """Metrics of the task; without one, agreement with the teacher.

        That is the mean cosine of the vectors of the two, and the rank correlation of their similarities of
        all pairs of texts.
        """
        if self.examples is not None:
            return self.task.evaluate(encoder, self.examples, details=details)
        theirs = self._teacher_vectors
        ours = theirs if encoder is self.teacher_encoder else encoder.encode(self.held_out)
        similarity, above = self.embedding.similarity, np.triu_indices(len(ours), 1)
        found, right = (similarity_matrix(x, x, similarity)[above] for x in (ours, theirs))
        return {
            "spearman": spearman(found, right),
            "cosine": float(pairwise_similarities(ours, theirs, "cosine").mean()),
        }

    def report(self) -> dict[str, Any]:
        student = SentenceEncoder.from_pretrained(self.job.result, quiet=True)
        report: dict[str, Any] = {
            "task": self.task_name if self.examples is not None else AGREEMENT,
            "primary": self.task.main_metric if self.examples is not None else "spearman",
            "recipe": to_dict(self.recipe),
            "loss": self.embedding_loss(),
            "examples": len(self.sources),
            "seen": self.job.examples_seen(len(self.sources)),
            "models": {},
        }
        for name, encoder in {"teacher": self.teacher_encoder, "student": student}.items():
            facts = {**sizes(encoder.model), "words": encoder.model.config.vocab_size}
            if self.held_out or self.examples is not None:
                facts |= self._measure(encoder, self.job.details_of(name))
            report["models"][name] = facts
        if self.examples is not None:
            report["evaluated"] = len(self.examples)
        elif self.held_out:
            report |= {"evaluated": len(self.held_out), "split": len(self.texts)}
        return compared(report)
