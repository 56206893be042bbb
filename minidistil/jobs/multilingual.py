"""Sentence embeddings of a teacher, learnt by a student for a second language from pairs of translations.

The student of `minidistil.jobs.sentence_student`, with the translations of the teacher's sentences: these get
the vectors of their originals, and the teacher need not know their language. The distance of vectors is the
squared difference in the paper (Reimers and Gurevych 2020, arXiv:2004.09813), or here by default 1 - cosine,
which is what a search looks at. The student may have a vocabulary of its own, made of both languages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from minidistil.embeddings.encoder import embed
from minidistil.embeddings.semantic_search import retrieval_accuracy
from minidistil.embeddings.settings import EmbeddingSettings
from minidistil.embeddings.similarity import pairwise_similarities
from minidistil.jobs.results import format_table
from minidistil.jobs.run import Evaluation, sizes
from minidistil.jobs.sentence_student import SentenceDistillation, SentenceStudent
from minidistil.jobs.sources import json_hash
from minidistil.model import load_model
from minidistil.model.model import Model
from minidistil.settings import ANY_TEXT, check_setting, to_dict
from minidistil.tasks.details import Details
from minidistil.tasks.similarity.details import nearest_details
from minidistil.text.dataset import Dataset
from minidistil.text.readers import read_translations
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.settings import TrainSettings

Pairs = tuple[list[str], list[str]]


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

    student: SentenceStudent = field(default_factory=lambda: SentenceStudent(layers="all"))
    data: PairsData = field(default_factory=PairsData)
    objective: PairsObjective = field(default_factory=PairsObjective)
    train: TrainSettings = field(default_factory=lambda: TrainSettings(lr=2e-4))


class PairsDistillation(SentenceDistillation):
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

    title: ClassVar[str] = "A sentence encoder for two languages"
    learnt_from: ClassVar[str] = "pairs of translations"
    limitations: ClassVar[str] = "Of the second language it knows what the pairs showed."
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
        measured = [] if held_out is None else ["--eval-pairs", *map(str, held_out)]
        super().__init__(teacher, recipe, out, ["--pairs", *map(str, pairs), *measured], quiet=quiet)
        self._paths, self._held_out_paths = pairs, held_out

    # Inputs

    @cached_property
    def pairs(self) -> Pairs:
        return self._read(self._paths)

    @property
    def sources(self) -> list[str]:
        return self.pairs[0]

    @property
    def translations(self) -> list[str]:
        return self.pairs[1]

    @cached_property
    def held_out(self) -> Pairs | None:
        return None if self._held_out_paths is None else self._read(self._held_out_paths)

    def _read(self, paths: Sequence[str | Path]) -> Pairs:
        d = self.recipe.data
        return read_translations(paths, source=d.source, translation=d.translation)

    def embedding_loss(self) -> str:
        return self.recipe.objective.kind

    # Steps

    def identity(self) -> dict[str, Any]:
        held_out = None
        if self.held_out is not None:
            held_out = {"pairs": len(self.held_out[0]), "hash": json_hash(self.held_out)}
        return {"teacher": self.teacher_identity(), "pairs": json_hash(self.pairs), "held_out": held_out}

    def check(self) -> dict[str, Any]:
        return {**super().check(), "pairs_learnt": len(self.sources)}

    def evaluation(self, model: Model) -> Evaluation | None:
        if self.held_out is None:
            return None
        some = tuple(side[: self.recipe.data.measured] for side in self.held_out)
        datasets = [self.tokenise(self.tokenizer, self.written, side) for side in some]
        skip = self.skipped(self.tokenizer, self.written)
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

    def report(self) -> dict[str, Any]:
        student = load_model(self.job.result)
        # Each reads as far as it does for whoever uses it: what it was taught on says nothing of the teacher.
        models: dict[str, tuple[Model, Tokenizer, EmbeddingSettings]] = {
            "teacher": (self.teacher, self.teacher_tokenizer, self.teacher_encoder.settings),
            "student": (student, self.tokenizer, self.written),
        }
        report: dict[str, Any] = {"recipe": to_dict(self.recipe), "pairs": len(self.sources), "models": {}}
        report["seen"] = self.job.examples_seen(2 * len(self.sources))
        for name, (model, tokenizer, settings) in models.items():
            facts = {**sizes(model), "words": model.config.vocab_size}
            if self.held_out is not None:
                sides = [self.tokenise(tokenizer, settings, side) for side in self.held_out]
                skip, details = self.skipped(tokenizer, settings), self.job.details_of(name)
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
