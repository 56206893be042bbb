"""Models of the setting `vectors`: students of a sentence encoder, taught by its vectors or alone.

The teacher is the encoder as it is. Taught students learn its vectors of texts (`distill --texts`). A student
alone begins from the same layers and learns which paragraph answers a question, contrastively: the other
paragraphs and questions of the batch are the negatives. All are measured by the paragraphs that they find for
other questions, and by the cosines of paraphrases.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.retention.arms import Arm, Budget, steps_of, tokens_of_step, training_cost
from benchmarks.retention.examples import Rows, Split, by_hash, paraphrases
from benchmarks.retention.files import Files
from minidistil.batch import Batch
from minidistil.distill.objective import Distillation
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.embeddings.similarity import pairwise_similarities
from minidistil.jobs.run import sizes
from minidistil.jobs.sentences import SentencesRecipe, TextsDistillation
from minidistil.metrics import average_precision
from minidistil.settings import load_recipe
from minidistil.tasks.similarity.retrieval import Retrieval, RetrievalTask
from minidistil.tasks.similarity.task import encode_pairs
from minidistil.text.dataset import Dataset
from minidistil.text.sentences import split_sentences
from minidistil.train.trainer import Trainer

PARAGRAPHS = 600  # that are measured by
LENGTH = 128  # tokens of a paragraph that a student alone learns from

# Examples


def _paragraphs(folder: Path) -> Rows:
    """Paragraphs of SQuAD (Rajpurkar et al. 2016) with their questions, in the order of their hashes."""
    whole = json.loads((folder / "SQuAD-subset" / "train-subset-squad-format.json").read_text("utf-8"))
    found: dict[str, list[str]] = {}
    for paragraph in (p for article in whole["data"] for p in article["paragraphs"]):
        questions = found.setdefault(paragraph["context"], [])
        questions += [qa["question"] for qa in paragraph["qas"]]
    return by_hash({"positive": context, "queries": questions} for context, questions in found.items())


def questions(folder: Path) -> Split:
    """Questions with the paragraphs that answer them; to measure by 600 paragraphs, and pairs of MRPC.

    The texts are 4,000: of the other paragraphs 500, 1,500 questions and 1,500 sentences; 500 captions.
    """
    paragraphs = _paragraphs(folder)
    kept, others = paragraphs[:PARAGRAPHS], paragraphs[PARAGRAPHS:]
    held_out, learnt = (
        [{"query": query, "positive": row["positive"]} for row in rows for query in row["queries"]]
        for rows in (kept, others)
    )
    return Split(learnt, [*held_out, *paraphrases(folder).measured], _texts(folder, others))


def _texts(folder: Path, rows: Rows) -> Rows:
    """Texts of these paragraphs with their questions, and captions."""
    captions = (folder / "Multi30k" / "train.en").read_text("utf-8").split("\n")
    kinds = (
        ((row["positive"] for row in rows), 500),
        ((query for row in rows for query in row["queries"]), 1500),
        ((sentence.text for row in rows for sentence in split_sentences(row["positive"])), 1500),
        ((caption for caption in captions if caption), 500),
    )
    chosen = [
        row for kind, count in kinds for row in by_hash([{"text": t} for t in dict.fromkeys(kind)], count)
    ]
    return by_hash(chosen)


def _rows(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text("utf-8").removesuffix("\n").split("\n")]


# Measuring


def measure(encoder: SentenceEncoder, rows: Rows) -> dict[str, float]:
    """Ranking of the paragraphs for each question; average precision of the cosines of paraphrases.

    Parameters
    ----------
    encoder : SentenceEncoder
    rows : list of dict
        "query" and "positive"; or "sentence1", "sentence2" and "label".
    """
    answered, pairs = ([row for row in rows if key in row] for key in ("query", "sentence1"))
    corpus = list(dict.fromkeys(row["positive"] for row in answered))
    places = {text: place for place, text in enumerate(corpus)}
    relevant = [{places[row["positive"]]: 1.0} for row in answered]
    found = RetrievalTask().evaluate(encoder, Retrieval([row["query"] for row in answered], corpus, relevant))
    if pairs:
        one, other = ([row[side] for row in pairs] for side in ("sentence1", "sentence2"))
        cosines = pairwise_similarities(*encode_pairs(encoder, one, other, quiet=True), "cosine")
        found["average_precision"] = average_precision([int(row["label"]) for row in pairs], cosines)
    return found


# Models


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of texts that belong together: training data whose examples are two sequences each.

    Attributes
    ----------
    sequences : Dataset
        Of each pair one after the other, with `labels`: pairs of one paragraph have one label.
    """

    sequences: Dataset

    def __len__(self) -> int:
        return len(self.sequences) // 2

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        return self.sequences.lengths.reshape(-1, 2).sum(1)

    def batch(self, indices: npt.ArrayLike) -> Batch:
        first = 2 * np.asarray(indices)
        return self.sequences.batch(np.stack([first, first + 1], 1).ravel())

    def content_hash(self) -> str:
        return self.sequences.content_hash()


@dataclass
class Run:
    """One model: the teacher as it is, a student alone, or a taught one.

    Parameters
    ----------
    arm : Arm
    files : Files
    recipe : SentencesRecipe
    out : Path
    encoder : str
        The teacher.
    alone_rate : float
        See `SentenceEncoders`.
    """

    arm: Arm
    files: Files
    recipe: SentencesRecipe
    out: Path
    encoder: str
    alone_rate: float

    @cached_property
    def taught(self) -> TextsDistillation:
        """The run of a taught student, from which one alone has its first model."""
        assert self.files.unlabelled is not None
        return TextsDistillation(self.encoder, [self.files.unlabelled], self.recipe, self.out, quiet=True)

    @cached_property
    def pairs(self) -> Pairs:
        """Training data of a student alone."""
        rows, run = _rows(self.files.train), self.taught
        settings = run.written._replace(max_length=min(LENGTH, run.max_length))
        both = [text for row in rows for text in (row["query"], row["positive"])]
        places = {text: place for place, text in enumerate(dict.fromkeys(both[1::2]))}
        labels = np.repeat([places[text] for text in both[1::2]], 2)
        return Pairs(run.tokenise(run.tokenizer, settings, both).with_targets(labels=labels))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each text of a taught student."""
        run = self.taught
        return run.tokenise(run.tokenizer, run.written, run.sources).lengths

    def run_once(self) -> dict[str, Any]:
        """Make the model, and report on it as the jobs of the package do."""
        if self.arm.taught:
            if self.taught.finished() is None:
                self.taught.run()
            encoder = SentenceEncoder.from_pretrained(self.out / "model")
        elif self.arm.equal is None:
            encoder = SentenceEncoder.from_pretrained(self.encoder)
            encoder.save(self.out)
            (self.out / "metrics.jsonl").touch()
        else:
            encoder = self._alone()
        facts = {**sizes(encoder.model), **measure(encoder, _rows(self.files.evaluate))}
        return {"primary": RetrievalTask.main_metric, "models": {"model": facts}}

    def _alone(self) -> SentenceEncoder:
        """Train without a teacher."""
        run = self.taught
        model = run.first_model()
        objective = Distillation(model, {"contrastive": {"pooling": run.embedding.pooling}})
        train = self.recipe.train
        # As many texts of a step.
        settings = replace(train, batch_size=max(train.batch_size // 2, 1), lr=self.alone_rate * train.lr)
        Trainer(model, objective, self.pairs, settings=settings, out=self.out, quiet=True).train()
        return SentenceEncoder(model, run.tokenizer, run.written)


@dataclass(frozen=True)
class SentenceEncoders:
    """Sentence encoders, by the methods of `FineTuned`.

    Attributes
    ----------
    alone_rate : float
        Learning rate of a student alone, as a share of the recipe's.
    """

    alone_rate: float = 0.2

    def recipe(self, changes: Sequence[str]) -> SentencesRecipe:
        """The recipe of some changes; layers have the name that they have in a fine-tuning."""
        renamed = [change.replace("model.layers=", "student.layers=") for change in changes]
        return load_recipe(SentencesRecipe, "sentences", changes=["data.held_out=0.0", *renamed])

    def job(
        self, arm: Arm, files: Files, recipe: Any, out: Path, *, encoder: str, teachers: Sequence[Path]
    ) -> Run:
        """The run of an arm. The teacher is the encoder: `teachers` are copies of it."""
        return Run(arm, files, recipe, out, encoder, self.alone_rate)

    def budget(self, job: Run) -> Budget:
        """Steps and tokens of a taught student, before it learns."""
        train, lengths = job.recipe.train, job.lengths
        steps, of_step = steps_of(train, len(lengths)), tokens_of_step(lengths, train)
        return Budget(
            steps=steps,
            layers=job.taught.first_model().config.num_hidden_layers,
            teacher_layers=job.taught.teacher.config.num_hidden_layers,
            read=self._read(job, steps * of_step),
            alone_tokens=tokens_of_step(job.pairs.lengths, replace(train, batch_size=train.batch_size // 2)),
        )

    def cost(self, job: Run, tokens: Mapping[str | None, int], layers: int) -> float:
        """Cost of a run that has ended, see `Budget`; tokens by stage."""
        cost = training_cost(sum(tokens.values()), layers)
        if not job.arm.taught:
            return cost
        read = self._read(job, float(sum(tokens.values())))
        return cost + read * job.taught.teacher.config.num_hidden_layers

    def _read(self, job: Run, tokens: float) -> float:
        """Tokens that the teacher reads: each text once, and with further terms every batch."""
        return float(job.lengths.sum()) + (tokens if job.taught.more_terms() else 0.0)
