"""Text of a masked LM: read, encoded once into `corpus/`, cut into sequences, with a share held out."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from minidistil.errors import ConfigError, DataError
from minidistil.jobs.results import format_table
from minidistil.jobs.run import Evaluation, Job, sizes
from minidistil.model.model import Model
from minidistil.settings import check_setting, to_dict
from minidistil.tasks.details import Details
from minidistil.tasks.masked_lm.details import MaskedWords
from minidistil.tasks.masked_lm.task import evaluate_masked_lm
from minidistil.text.corpus.chunks import Sequences, Split, chunk
from minidistil.text.corpus.corpus import Corpus
from minidistil.text.corpus.writer import encode_corpus
from minidistil.text.masking import MaskedDataset
from minidistil.text.tokenizer import Tokenizer

MEASURED = ("masked_lm", "perplexity", "accuracy")


@dataclass(frozen=True)
class DataSettings:
    """Cutting of text into sequences.

    Attributes
    ----------
    text_key : str
        Entry of a JSON object that holds the text.
    max_length : int >= 3
        Most tokens of a sequence, at most the model's number of positions.
    shortest : int >= 0
        Fewest; shorter ones are dropped.
    unknown : float >= 0
        Sequences of which this share or more is unknown words are dropped.
    held_out : float in [0, 1]
        Share of the documents to measure by.
    measured : int >= 1
        Held-out sequences that are used.
    """

    text_key: str = "text"
    max_length: int = 128
    shortest: int = 12
    unknown: float = 0.5
    held_out: float = 0.02
    measured: int = 500

    def __post_init__(self) -> None:
        for name, least in (("max_length", 3), ("shortest", 0), ("measured", 1)):
            value = getattr(self, name)
            check_setting(value >= least, name, value, f"an integer >= {least}")
        check_setting(self.unknown >= 0, "unknown", self.unknown, "a share >= 0")
        check_setting(0 <= self.held_out <= 1, "held_out", self.held_out, "a share in [0, 1]")


@dataclass(frozen=True)
class MaskedText:
    """Sequences to learn from and to measure by; each part is made when it is first asked for.

    Parameters
    ----------
    job : Job
        With tables `data`, `masking` and `train` in its recipe.
    texts : sequence of paths
        Files and directories of text.
    tokenizer : Tokenizer
    positions : int
        Most tokens of a sequence that the model takes.
    quiet : bool
        Show no progress.
    kind : type
        Class of what is learnt from and measured by.
    """

    job: Job
    texts: Sequence[str | Path]
    tokenizer: Tokenizer
    positions: int
    quiet: bool = False
    kind: type[MaskedDataset] = MaskedDataset

    @cached_property
    def corpus(self) -> Corpus:
        out = self.job.out
        return encode_corpus(
            self.tokenizer,
            self.texts,
            out / "corpus",
            leave_out=out,
            text_key=self.job.recipe.data.text_key,
            quiet=self.quiet,
        )

    @cached_property
    def split(self) -> Split:
        data = self.job.recipe.data
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

    @property
    def train(self) -> MaskedDataset:
        """Sequences to learn from."""
        return self._masked(self.split.train)

    @cached_property
    def held_out(self) -> MaskedDataset | None:
        """Sequences to measure by, always masked alike; None if nothing is held out."""
        some = self.split.held_out
        some = some.subset(np.arange(min(len(some), self.job.recipe.data.measured)))
        return self._masked(some).fixed() if len(some) else None

    def _masked(self, sequences: Sequences) -> MaskedDataset:
        recipe = self.job.recipe
        return self.kind.create(sequences, self.tokenizer, recipe.masking, seed=recipe.train.seed)

    def check(self) -> dict[str, Any]:
        """Refuse text that gives no sequences; returns facts for run.json."""
        _ = self.split
        return {"corpus": self.corpus.meta}

    def evaluation(self, model: Model, loss: str) -> Evaluation | None:
        """Metrics of the model as it learns; its loss also under the name that training logs it by."""
        held_out = self.held_out
        if held_out is None:
            return None

        def measure() -> dict[str, float]:
            found = evaluate_masked_lm(model, held_out)
            return {**found, loss: found["masked_lm"]}

        return measure

    def describe(self, model: Model, label: str, details: Details | None = None) -> dict[str, Any]:
        """Size of a model, its metrics on the held-out text, and its speed; `details` is filled in."""
        facts = sizes(model)
        if self.held_out is not None:
            words = None if details is None else MaskedWords(self.held_out, self.tokenizer)
            began = time.perf_counter()
            facts |= evaluate_masked_lm(
                model, self.held_out, words=words, label=f"measuring the {label}", quiet=self.quiet
            )
            facts["sequences_per_second"] = len(self.held_out) / (time.perf_counter() - began)
            if details is not None and words is not None:
                words.keep(details)
        return facts

    def report(self, models: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Settings, sizes of the data, and what `describe` found of the models."""
        count = len(self.split.train)
        return {
            "recipe": to_dict(self.job.recipe),
            "documents": len(self.corpus),
            "tokens": self.split.train.num_tokens,
            "sequences": count,
            "seen": self.job.examples_seen(count),
            "held_out_sequences": 0 if self.held_out is None else len(self.held_out),
            "models": models,
        }


def table(report: Mapping[str, Any]) -> str:
    """The report as a table of at most 80 columns."""
    rows = [["", "layers", "parameters", "loss", "perplexity", "accuracy"]]
    for name, row in report["models"].items():
        rows.append([name, str(row["layers"]), f"{row['parameters'] / 1e6:.1f} M"])
        if "masked_lm" in row:
            loss, perplexity, right = (math.nan if row[key] is None else row[key] for key in MEASURED)
            rows[-1] += [f"{loss:.3f}", f"{perplexity:.1f}", f"{right:.1%}"]
    measured = (
        f"Measured on the masked words of {report['held_out_sequences']:,} held-out sequences; loss in nats."
    )
    return "\n".join([format_table(rows, [10, *[12] * 5]), "", learnt(report), measured])


def learnt(report: Mapping[str, Any]) -> str:
    """Amount of text that was learnt from, as a sentence."""
    seen = report.get("seen", report["sequences"])
    part = "" if seen == report["sequences"] else f"{seen:,} of "
    return f"Learnt from {part}{report['sequences']:,} sequences of {report['tokens']:,} tokens."
