"""Job of a student that learns a sentence encoder's vectors of texts, and for translations of these.

Reimers and Gurevych 2020 ("Making Monolingual Sentence Embeddings Multilingual using Knowledge Distillation",
arXiv:2004.09813): a teacher embeds a text; a student must come to the same vector, from the text itself and
from its translation, if there is one,

    L = mean_i d(s(x_i), t(x_i)) + d(s(y_i), t(x_i))

with d the squared difference or 1 - cosine. Vectors are compared, and not tokens, so the student may have a
tokenizer of its own. Without translations this is the model distillation of sentence-transformers: an encoder
with fewer layers (`minidistil.jobs.sentences`); with them, an encoder for a second language
(`minidistil.jobs.multilingual`).

The teacher's vectors are computed once. Pooling, layers after it, prompts and the similarity are the
teacher's. Beside the files of every run (`minidistil.jobs.run`) there is, for a new vocabulary, `tokenizer/`.
`model/` is also a directory for sentence-transformers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minidistil.distill.objective import Distillation
from minidistil.distill.student import init_student
from minidistil.distill.teacher_cache import TeacherCache, weights_hash
from minidistil.distill.vocabulary import with_vocabulary
from minidistil.embeddings.directory import read_settings, write_settings
from minidistil.embeddings.encoder import SentenceEncoder, prompt_tokens
from minidistil.embeddings.settings import EmbeddingSettings
from minidistil.errors import ConfigError
from minidistil.files import temporary_directory
from minidistil.jobs.run import Evaluation, Job, freeze
from minidistil.jobs.sources import content, origin
from minidistil.model.families import class_with, load_config
from minidistil.model.model import Model
from minidistil.settings import check_setting
from minidistil.text.dataset import Dataset
from minidistil.text.model_fit import fit_tokenizer
from minidistil.text.tokenizer import Tokenizer
from minidistil.text.wordpiece import train_wordpiece
from minidistil.train.trainer import Trainer
from minidistil.weights.card import ModelCard
from minidistil.weights.hub import resolve


@dataclass(frozen=True)
class SentenceStudent:
    """Shape of the student.

    Attributes
    ----------
    layers : str or None
        Layers that it starts from: "all", "alternate", "first:3", "0,2,4", ..., see `choose_layers`. None:
        every other one of the teacher's, or all of the model that `--student` names.
    vocabulary : int >= 1 or None
        Size of a new WordPiece vocabulary, made of all texts that it learns from; None keeps the one that is
        there.
    lowercase : bool
        Lowercase the words of a new vocabulary.
    freeze : tuple of str
        Parameters that do not learn: "positions", or names, their beginnings or patterns.
    """

    layers: str | None = None
    vocabulary: int | None = None
    lowercase: bool = True
    freeze: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        good = self.vocabulary is None or self.vocabulary >= 1
        check_setting(good, "vocabulary", self.vocabulary, "an integer >= 1, or nothing")


class SentenceDistillation(ABC):
    """A sentence encoder that learns another one's vectors. Inputs are read when they are first asked for.

    Parameters
    ----------
    teacher : str
        A directory or hub id of a sentence encoder. sentence-transformers files say how it pools.
    recipe : dataclass
        With `student`, a `SentenceStudent`; `data`, which has `max_length`; and `train`.
    out : path
    arguments : sequence of str
        As of `Job`.
    student : str, optional
        A directory or hub id of the encoder that the student starts from; by default the teacher.
    quiet : bool
        Show no progress.

    Attributes
    ----------
    title, learnt_from, limitations : str
        For the card of the model.
    """

    title: ClassVar[str]
    learnt_from: ClassVar[str]
    limitations: ClassVar[str]

    def __init__(
        self,
        teacher: str,
        recipe: Any,
        out: str | Path,
        arguments: Sequence[str],
        *,
        student: str | None = None,
        quiet: bool = False,
    ) -> None:
        recipe.train.check_best(())
        self.source, self.recipe, self.out, self.quiet = teacher, recipe, Path(out), quiet
        self.start = student
        self.job = Job(recipe, self.out, ["distill", "--teacher", teacher, *arguments])

    def run(self) -> dict[str, Any]:
        """Do what is left to do, and return the report; errors as of the steps of `Job`."""
        job = self.job
        with job.alone():
            job.claim(self.identity(), self.check)
            if not job.is_trained():
                student = self.first_model()
                evaluate = job.checked(self.evaluation(student))
                job.train(self.trainer(student, out=job.work, evaluate=evaluate, quiet=self.quiet))
                # Before the model, whose config.json says that all is there.
                write_settings(job.result, self.written, student.config.hidden_size)
                job.save(student, self.tokenizer, self.card())
            return job.finish(self.report())

    def finished(self) -> dict[str, Any] | None:
        """The report, if this very run has ended before; errors as of `run`."""
        return self.job.finished(self.identity)

    # What a subclass adds

    @property
    @abstractmethod
    def sources(self) -> list[str]:
        """Texts that the teacher embeds, and the student learns from."""

    @property
    def translations(self) -> list[str]:
        """Further texts of the student, one for each of `sources`, with its vectors; or none."""
        return []

    @abstractmethod
    def embedding_loss(self) -> str:
        """Distance of vectors, the `kind` of the term `embedding`."""

    def more_terms(self) -> Mapping[str, Any]:
        """Further terms of the loss, which compare more than the vectors."""
        return {}

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Hashes of the inputs."""

    @abstractmethod
    def evaluation(self, model: Model) -> Evaluation | None:
        """Metrics of the model as it learns."""

    @abstractmethod
    def report(self) -> dict[str, Any]:
        """Sizes and metrics of teacher and student."""

    # Inputs

    @cached_property
    def teacher(self) -> Model:
        """The encoder, left in its file: no gradient ever changes it."""
        return _encoder(self.source, mapped=True)

    @cached_property
    def teacher_tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_pretrained(self.source)
        return fit_tokenizer(tokenizer, self.teacher.config, self.source, training=True)

    @cached_property
    def embedding(self) -> EmbeddingSettings:
        """Settings of the teacher's vectors."""
        return read_settings(resolve(self.source), self.teacher.config.hidden_size)

    @cached_property
    def teacher_encoder(self) -> SentenceEncoder:
        """The teacher with its own settings, whatever those of the student."""
        return SentenceEncoder(self.teacher, self.teacher_tokenizer, self.embedding)

    def teacher_identity(self) -> dict[str, Any]:
        """Hashes of the teacher's files, and the settings of its vectors."""
        embedding = str(self.embedding).replace("EmbeddingSettings", "Embedding")  # as earlier runs have it
        return {**content(self.source), "embedding": embedding}

    @cached_property
    def start_model(self) -> Model:
        """The encoder whose layers the student starts from."""
        return self.teacher if self.start is None else _encoder(self.start)

    @cached_property
    def start_tokenizer(self) -> Tokenizer:
        if self.start is None:
            return self.teacher_tokenizer
        tokenizer = Tokenizer.from_pretrained(self.start)
        return fit_tokenizer(tokenizer, self.start_model.config, self.start, training=True)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The student's."""
        s = self.recipe.student
        if s.vocabulary is None:
            return self.start_tokenizer
        with temporary_directory() as place:
            texts, learnt = place / "texts.txt", (*self.sources, *self.translations)
            texts.write_text("\n".join(" ".join(t.split()) for t in learnt) + "\n", "utf-8")
            return train_wordpiece(
                texts, self.out / "tokenizer", size=s.vocabulary, lowercase=s.lowercase,
                replace=not self.job.has_learnt(), quiet=self.quiet,
            )  # fmt: skip

    @property
    def max_length(self) -> int:
        """Most tokens of a text, while the student learns and afterwards."""
        given: int | None = self.recipe.data.max_length
        return min(self.teacher_encoder.max_seq_length, self._room) if given is None else given

    @property
    def _room(self) -> int:
        """Positions that both models have."""
        return min(model.config.max_sequence_length for model in (self.teacher, self.start_model))

    @cached_property
    def written(self) -> EmbeddingSettings:
        """Settings of the student's vectors: the teacher's, but for the length and the case of its texts."""
        settings = self.embedding._replace(max_length=self.max_length)
        if self.start is None:
            return settings
        own = read_settings(resolve(self.start), self.start_model.config.hidden_size)
        return settings._replace(lower_case=own.lower_case)

    def tokenise(self, tokenizer: Tokenizer, settings: EmbeddingSettings, texts: Sequence[str]) -> Dataset:
        """Tokens of texts, as an encoder reads them: lowered if it lowers, after its default prompt."""
        before = settings.prompt()
        texts = [before + text for text in texts] if before else list(texts)
        return Dataset.from_texts(_reader(tokenizer, settings), texts, max_length=settings.max_length)

    def skipped(self, tokenizer: Tokenizer, settings: EmbeddingSettings) -> int:
        """Tokens of the default prompt that are not pooled."""
        return prompt_tokens(_reader(tokenizer, settings), settings.prompt(), settings)

    # Steps, in order

    def check(self) -> dict[str, Any]:
        """Refuse what cannot work; returns facts for run.json.

        Raises
        ------
        ConfigError
            A length that one of the models cannot read, or vectors of another width.
        """
        room, whose = self._room, "the teacher's" if self.start is None else "the models'"
        if not 3 <= self.max_length <= room:
            raise ConfigError(
                f"data.max_length is {self.max_length}: expected 3 to {room}, {whose} positions"
            )
        ours, theirs = (model.config.hidden_size for model in (self.start_model, self.teacher))
        if ours != theirs:
            raise ConfigError(
                f"{self.start} has vectors of {ours} numbers, the teacher of {theirs}: they are compared "
                f"number by number, so take a student of hidden size {theirs}"
            )
        return {}

    def first_model(self) -> Model:
        """The student as training begins."""
        s, seed = self.recipe.student, self.recipe.train.seed
        layers = s.layers or ("alternate" if self.start is None else "all")
        student = init_student(self.start_model, layers, seed=seed)
        if s.vocabulary is not None:
            student = with_vocabulary(student, self.start_tokenizer, self.tokenizer, seed=seed)
        unused = [spec.name for head in student.heads if not head.score_outputs for spec in head.specs()]
        freeze(student, [*unused, *s.freeze])
        return student

    @cached_property
    def dataset(self) -> Dataset:
        """All texts of the student, each with the teacher's vector."""
        # Both read as far: what the student cannot see it cannot learn.
        settings = self.embedding._replace(max_length=self.max_length)
        asked = self.tokenise(self.teacher_tokenizer, settings, self.sources)
        skip = self.skipped(self.teacher_tokenizer, settings)
        name = f"pooled.{self.embedding.pooling}" + (f".{skip}" if skip else "")
        cache = TeacherCache(self.teacher, asked, self.job.work / "teacher_outputs", [name], quiet=self.quiet)
        vectors = [cache.whole(name)] * (2 if self.translations else 1)
        learnt = self.tokenise(self.tokenizer, self.written, [*self.sources, *self.translations])
        return learnt.with_targets(teacher_pooled=np.concatenate(vectors))

    def trainer(self, model: Model, **options: Any) -> Trainer:
        """Trainer on the teacher's vectors; options as of `Trainer`."""
        term: dict[str, Any] = {"kind": self.embedding_loss(), "pooling": self.embedding.pooling}
        if skip := self.skipped(self.tokenizer, self.written):
            term["skip"] = skip
        more = self.more_terms()
        teacher = self.teacher if more else None
        objective = Distillation(model, {"embedding": {"weight": 1.0, **term}, **more}, teacher=teacher)
        return Trainer(
            model,
            objective,
            self.dataset,
            settings=self.recipe.train,
            identity={"teacher": weights_hash(self.teacher), **objective.settings()},
            label="distilling",
            **options,
        )

    def card(self) -> ModelCard:
        """README.md of the student."""
        teacher = origin(self.source)
        return self.job.card(
            teacher if self.start is None else origin(self.start),
            title=self.title,
            summary=f"Taught by {teacher.name} with minidistil, from {self.learnt_from}.",
            pipeline_tag="sentence-similarity",
            library_name="sentence-transformers",
            limitations=self.limitations,
        )


def _encoder(source: str, *, mapped: bool = False) -> Model:
    """The bare encoder of a directory or hub id."""
    path = resolve(source)
    kind = class_with("Model", load_config(path).model_type)
    return kind.from_pretrained(path, mapped=mapped, quiet=True)


def _reader(tokenizer: Tokenizer, settings: EmbeddingSettings) -> Tokenizer:
    """The tokenizer, after lower case if the encoder has that."""
    return tokenizer.lowered() if settings.lower_case else tokenizer
