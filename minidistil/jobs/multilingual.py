"""Sentence embeddings of a teacher, learnt by a student for a second language from pairs of translations.

Reimers and Gurevych 2020 ("Making Monolingual Sentence Embeddings Multilingual using Knowledge Distillation",
arXiv:2004.09813): a teacher embeds the sentence; a student must come to the same vector from the sentence and
from its translation. So translations get the vectors of their originals, and the teacher need not know their
language:

    L = mean_i d(s(x_i), t(x_i)) + d(s(y_i), t(x_i))

with d the squared difference in the paper, or here by default 1 - cosine, which is what a search looks at.
The student may have a vocabulary of its own, made of both languages.

Beside the files of every run (`minidistil.jobs.run`) there is, for a new vocabulary, `tokenizer/`.
`model/` is also a directory for sentence-transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minidistil.distill.objective import Distillation
from minidistil.distill.student import init_student
from minidistil.distill.teacher_cache import TeacherCache, weights_hash
from minidistil.distill.vocabulary import with_vocabulary
from minidistil.embeddings.directory import read_settings, write_settings
from minidistil.embeddings.encoder import SentenceEncoder, embed, prompt_tokens
from minidistil.embeddings.semantic_search import retrieval_accuracy
from minidistil.embeddings.settings import EmbeddingSettings
from minidistil.embeddings.similarity import pairwise_similarities
from minidistil.errors import ConfigError
from minidistil.files import temporary_directory
from minidistil.jobs.results import format_table
from minidistil.jobs.run import Evaluation, Job, freeze, sizes
from minidistil.jobs.sources import content, json_hash, origin
from minidistil.model import load_model
from minidistil.model.families import class_with, load_config
from minidistil.model.model import Model
from minidistil.settings import ANY_TEXT, check_setting, to_dict
from minidistil.tasks.details import Details
from minidistil.tasks.similarity.details import nearest_details
from minidistil.text.dataset import Dataset
from minidistil.text.readers import read_translations
from minidistil.text.tokenizer import Tokenizer
from minidistil.text.wordpiece import train_wordpiece
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer
from minidistil.weights.card import ModelCard
from minidistil.weights.hub import resolve

Pairs = tuple[list[str], list[str]]


@dataclass(frozen=True)
class PairsStudent:
    """Shape of the student.

    Attributes
    ----------
    layers : str
        Teacher layers it starts from: "alternate", "first:3", "0,2,4", ..., see `choose_layers`. With "all"
        it keeps the depth: languages take room.
    vocabulary : int >= 1 or None
        Size of a new WordPiece vocabulary, made of both sides of the pairs; None keeps the teacher's.
    lowercase : bool
        Lowercase the words of a new vocabulary.
    freeze : tuple of str
        Parameters that do not learn: "positions", or names, their beginnings or patterns.
    """

    layers: str = "all"
    vocabulary: int | None = None
    lowercase: bool = True
    freeze: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        good = self.vocabulary is None or self.vocabulary >= 1
        check_setting(good, "vocabulary", self.vocabulary, "an integer >= 1, or nothing")


@dataclass(frozen=True)
class PairsData:
    """Reading of the pairs.

    Attributes
    ----------
    source : str or None
        Column of the sentences, in a file that holds both; None: a usual name.
    translation : str or None
        Column of their translations; None: a usual name.
    max_length : int
        Most tokens of a sentence, at most the teacher's number of positions; longer ones are cut.
    measured : int >= 1
        Held-out pairs that are used while it trains.
    """

    source: str | None = field(default=None, metadata=ANY_TEXT)
    translation: str | None = field(default=None, metadata=ANY_TEXT)
    max_length: int = 128
    measured: int = 1000

    def __post_init__(self) -> None:
        check_setting(self.measured >= 1, "measured", self.measured, "an integer >= 1")


@dataclass(frozen=True)
class PairsObjective:
    """Loss of the student.

    Attributes
    ----------
    kind : {"cosine", "mse"}
        Distance of vectors, see `minidistil.distill.terms.Embedding`.
    """

    kind: Literal["cosine", "mse"] = "cosine"


@dataclass(frozen=True)
class PairsRecipe:
    """All settings of a distillation from pairs. `minidistil.settings` reads and writes it."""

    student: PairsStudent = field(default_factory=PairsStudent)
    data: PairsData = field(default_factory=PairsData)
    objective: PairsObjective = field(default_factory=PairsObjective)
    train: TrainSettings = field(default_factory=lambda: TrainSettings(lr=2e-4))


class PairsDistillation:
    """A sentence encoder for two languages, from one for the first.

    Parameters
    ----------
    teacher : str
        A directory or hub id of a sentence encoder. sentence-transformers files say how it pools.
    pairs : one or two paths
        To learn from, see `read_translations`.
    recipe : PairsRecipe
    out : path
    held_out : one or two paths, optional
        To measure by.
    quiet : bool
        Show no progress.
    """

    recipe: PairsRecipe

    def __init__(
        self,
        teacher: str,
        pairs: Sequence[str | Path],
        recipe: PairsRecipe,
        out: str | Path,
        *,
        held_out: Sequence[str | Path] | None = None,
        quiet: bool = False,
    ) -> None:
        recipe.train.check_best(())
        self.source, self.recipe, self.out, self.quiet = teacher, recipe, Path(out), quiet
        self._paths, self._held_out_paths = pairs, held_out
        measured = [] if held_out is None else ["--eval-pairs", *map(str, held_out)]
        arguments = ["distill", "--teacher", teacher, "--pairs", *map(str, pairs), *measured]
        self.job = Job(recipe, self.out, arguments)

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
                write_settings(job.result, self._written, student.config.hidden_size)
                job.save(student, self.tokenizer, self.card())
            return job.finish(self.report())

    def finished(self) -> dict[str, Any] | None:
        """The report, if this very run has ended before; errors as of `run`."""
        return self.job.finished(self.identity)

    # Inputs

    @cached_property
    def teacher(self) -> Model:
        """The encoder, left in its file: no gradient ever changes it."""
        path = resolve(self.source)
        kind = class_with("Model", load_config(path).model_type)
        return kind.from_pretrained(path, mapped=True, quiet=True)

    @cached_property
    def teacher_tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_pretrained(self.source)
        return tokenizer.check_rows(self.teacher.config.vocab_size, self.source)

    @cached_property
    def embedding(self) -> EmbeddingSettings:
        return read_settings(resolve(self.source), self.teacher.config.hidden_size)

    @cached_property
    def pairs(self) -> Pairs:
        return self._read(self._paths)

    @cached_property
    def held_out(self) -> Pairs | None:
        return None if self._held_out_paths is None else self._read(self._held_out_paths)

    def _read(self, paths: Sequence[str | Path]) -> Pairs:
        d = self.recipe.data
        return read_translations(paths, source=d.source, translation=d.translation)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        s = self.recipe.student
        if s.vocabulary is None:
            return self.teacher_tokenizer
        with temporary_directory() as place:
            both = place / "both.txt"
            both.write_text(
                "\n".join(" ".join(t.split()) for side in self.pairs for t in side) + "\n", "utf-8"
            )
            return train_wordpiece(
                both, self.out / "tokenizer", size=s.vocabulary, lowercase=s.lowercase,
                replace=not self.job.has_learnt(), quiet=self.quiet,
            )  # fmt: skip

    def _tokenise(self, tokenizer: Tokenizer, texts: list[str], max_length: int | None = None) -> Dataset:
        """Tokens of texts, as the encoder reads them: lowered if it lowers, after its default prompt."""
        before = self.embedding.prompt()
        texts = [before + text for text in texts] if before else texts
        length = self.recipe.data.max_length if max_length is None else max_length
        return Dataset.from_texts(self._reader(tokenizer), texts, max_length=length)

    def _reader(self, tokenizer: Tokenizer) -> Tokenizer:
        return tokenizer.lowered() if self.embedding.lower_case else tokenizer

    def _skipped(self, tokenizer: Tokenizer) -> int:
        """Tokens of the default prompt that are not pooled."""
        return prompt_tokens(self._reader(tokenizer), self.embedding.prompt(), self._written)

    @property
    def _written(self) -> EmbeddingSettings:
        """Settings of the student's vectors: the teacher's, but for the length."""
        return self.embedding._replace(max_length=self.recipe.data.max_length)

    # Steps, in order

    def identity(self) -> dict[str, Any]:
        """Hashes of the inputs."""
        held_out = None
        if self.held_out is not None:
            held_out = {"pairs": len(self.held_out[0]), "hash": json_hash(self.held_out)}
        embedding = str(self.embedding).replace("EmbeddingSettings", "Embedding")  # as earlier runs have it
        return {
            "teacher": {**content(self.source), "embedding": embedding},
            "pairs": json_hash(self.pairs),
            "held_out": held_out,
        }

    def check(self) -> dict[str, Any]:
        """Refuse a length that the teacher cannot read; returns facts for run.json."""
        length, room = self.recipe.data.max_length, self.teacher.config.max_position_embeddings
        if not 3 <= length <= room:
            raise ConfigError(f"data.max_length is {length}: expected 3 to {room}, the teacher's positions")
        return {"pairs_learnt": len(self.pairs[0])}

    def first_model(self) -> Model:
        """The student as training begins."""
        s = self.recipe.student
        student = init_student(self.teacher, s.layers, seed=self.recipe.train.seed)
        if s.vocabulary is not None:
            student = with_vocabulary(
                student, self.teacher_tokenizer, self.tokenizer, seed=self.recipe.train.seed
            )
        unused = [spec.name for head in student.heads if not head.score_outputs for spec in head.specs()]
        freeze(student, [*unused, *s.freeze])
        return student

    @cached_property
    def dataset(self) -> Dataset:
        """Both sides, each with the teacher's vector of the first."""
        sources, translations = self.pairs
        asked = self._tokenise(self.teacher_tokenizer, sources)
        skip = self._skipped(self.teacher_tokenizer)
        name = f"pooled.{self.embedding.pooling}" + (f".{skip}" if skip else "")
        cache = TeacherCache(self.teacher, asked, self.job.work / "teacher_outputs", [name], quiet=self.quiet)
        vectors = cache.whole(name)
        both = self._tokenise(self.tokenizer, sources + translations)
        return both.with_targets(teacher_pooled=np.concatenate([vectors, vectors]))

    def trainer(self, model: Model, **options: Any) -> Trainer:
        """Trainer on the teacher's vectors; options as of `Trainer`."""
        term: dict[str, Any] = {"kind": self.recipe.objective.kind, "pooling": self.embedding.pooling}
        if skip := self._skipped(self.tokenizer):
            term["skip"] = skip
        objective = Distillation(model, {"embedding": {"weight": 1.0, **term}})
        return Trainer(
            model,
            objective,
            self.dataset,
            settings=self.recipe.train,
            identity={"teacher": weights_hash(self.teacher), **objective.settings()},
            label="distilling",
            **options,
        )

    def evaluation(self, model: Model) -> Evaluation | None:
        """Metrics of the model as it learns."""
        if self.held_out is None:
            return None
        some = tuple(side[: self.recipe.data.measured] for side in self.held_out)
        datasets = [self._tokenise(self.tokenizer, side) for side in some]
        skip = self._skipped(self.tokenizer)
        return lambda: self._retrieval(model, datasets, skip)

    def _retrieval(
        self, model: Model, datasets: Sequence[Dataset], skip: int, details: Details | None = None
    ) -> dict[str, float]:
        """Share of held-out sentences that find their translation, and the other way round, by cosine."""
        width = self.embedding.width(model.config.hidden_size)
        there, back = (embed(model, side, self.embedding, skip=skip)[:, :width] for side in datasets)
        if details is not None and self.held_out is not None:
            nearest_details(details, *self.held_out, there, back, "cosine")
        return {
            "to_translation": retrieval_accuracy(there, back),
            "to_source": retrieval_accuracy(back, there),
            "cosine": float(pairwise_similarities(there, back, "cosine").mean()),
        }

    def card(self) -> ModelCard:
        """README.md of the student."""
        teacher = origin(self.source)
        return self.job.card(
            teacher,
            title="A sentence encoder for two languages",
            summary=f"Taught by {teacher.name} with minidistil, from pairs of translations.",
            pipeline_tag="sentence-similarity",
            library_name="sentence-transformers",
            limitations="Of the second language it knows what the pairs showed.",
        )

    def report(self) -> dict[str, Any]:
        """Sizes and metrics of teacher and student."""
        student = load_model(self.job.result)
        # Each reads as far as it does for whoever uses it: what it was taught on says nothing of the teacher.
        own = SentenceEncoder(self.teacher, self.teacher_tokenizer, self.embedding).settings.max_length
        models = {
            "teacher": (self.teacher, self.teacher_tokenizer, own),
            "student": (student, self.tokenizer, self.recipe.data.max_length),
        }
        report: dict[str, Any] = {"recipe": to_dict(self.recipe), "pairs": len(self.pairs[0]), "models": {}}
        report["seen"] = self.job.examples_seen(2 * len(self.pairs[0]))
        for name, (model, tokenizer, length) in models.items():
            facts = {**sizes(model), "words": model.config.vocab_size}
            if self.held_out is not None:
                sides = [self._tokenise(tokenizer, side, length) for side in self.held_out]
                skip, details = self._skipped(tokenizer), self.job.details_of(name)
                facts |= self._retrieval(model, sides, skip, details)
            report["models"][name] = facts
        if self.held_out is not None:
            report["held_out_pairs"] = len(self.held_out[0])
            report["watched"] = min(len(self.held_out[0]), self.recipe.data.measured)
        return report


def pairs_table(report: Mapping[str, Any]) -> str:
    """The report as a table of at most 80 columns."""
    columns = ["layers", "parameters", "words", "to translation", "to source", "cosine"]
    rows = [["", *columns]]
    for name, row in report["models"].items():
        rows.append([name, str(row["layers"]), f"{row['parameters'] / 1e6:.1f} M", f"{row['words']:,}"])
        if "to_source" in row:
            rows[-1] += [f"{row['to_translation']:.1%}", f"{row['to_source']:.1%}", f"{row['cosine']:.3f}"]
    lines = [format_table(rows, [8, *(max(11, len(column) + 1) for column in columns)])]
    lines += ["", f"Learnt from {report['pairs']:,} pairs."]
    sentences = 2 * report["pairs"]
    if report.get("seen", sentences) < sentences:
        lines[-1] = (
            f"Learnt from {report['seen']:,} of the {sentences:,} sentences of {report['pairs']:,} pairs."
        )
    if "held_out_pairs" in report:
        lines.append(
            f"Measured on {report['held_out_pairs']:,} others: how often the nearest is the right one."
        )
    return "\n".join(lines)
