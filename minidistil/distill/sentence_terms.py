"""Terms of sentence embeddings, pooled from the last hidden states."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from minidistil.arrays import Array
from minidistil.batch import Batch
from minidistil.distill.term import Gradients, Pair, Term, TermInputs
from minidistil.errors import ConfigError, UsageError
from minidistil.losses import IGNORE_INDEX, Loss, contrastive, cosine, mean_squared_error, triplet_margin
from minidistil.model.checks import target
from minidistil.ops.pooling import pool_backward, pool_forward, pooling_kinds


@dataclass(frozen=True)
class PooledTerm(Term):
    """A term over one vector for each sequence, pooled from the last hidden states.

    Attributes
    ----------
    pooling, skip
        See `minidistil.ops.pooling.pool_forward`.
    """

    pooling: str = "mean"
    skip: int = 0

    def pooled(self, states: Array, batch: Batch) -> tuple[Array, Any]:
        """One vector for each sequence, and the cache for `pool_backward`."""
        return pool_forward(states, batch, self.pooling, skip=self.skip)

    def check(self, pair: Pair) -> None:
        try:
            pooling_kinds(self.pooling)
        except UsageError as error:  # it stands in a recipe
            raise ConfigError(str(error)) from error

    def count(self, batch: Batch, pair: Pair) -> float:
        return batch.num_sequences


@dataclass(frozen=True)
class Embedding(PooledTerm):
    """Sentence embeddings like the teacher's: cosine, or mean squared difference.

    With `teacher_pooled` [B, H] in the batch the teacher need not be there, or may have read something
    else: the same sentence in another language, in a vocabulary of its own (`minidistil.jobs.multilingual`).
    """

    formula: ClassVar[str] = "1 - e_s.e_t / (|e_s| |e_t|), or mean (e_s - e_t)^2"
    kind: Literal["cosine", "mse"] = "cosine"

    def carried(self, pair: Pair) -> tuple[str, ...]:
        return ("pooled",)

    def teacher_outputs(self, pair: Pair) -> list[str]:
        return [f"pooled.{self.pooling}" + (f".{self.skip}" if self.skip else "")]

    def check(self, pair: Pair) -> None:
        super().check(pair)
        if pair.teacher is not None:
            pair.check_same_width("embedding")

    def __call__(self, inputs: TermInputs, scale: float, gradients: Gradients) -> float:
        pooled, cache = self.pooled(inputs.student["last_hidden_state"], inputs.batch)
        if "pooled" in inputs.teacher:
            theirs = inputs.teacher["pooled"]
        else:
            theirs, _ = self.pooled(inputs.teacher["last_hidden_state"], inputs.batch)
        loss = cosine(pooled, theirs) if self.kind == "cosine" else mean_squared_error(pooled, theirs)
        gradients.add("last_hidden_state", pool_backward(scale * loss.grad, cache))
        return loss.sum


@dataclass(frozen=True)
class ClassTerm(PooledTerm):
    """A term over sentences of several classes, which it compares with one another. Needs `labels`."""

    needs_labels: ClassVar[bool] = True

    def loss(self, pooled: Array, labels: Array) -> Loss:
        """Loss of a micro-batch, from its vectors [B, H] and classes [B]."""
        raise NotImplementedError

    def count(self, batch: Batch, pair: Pair) -> float:
        """Sequences with a label."""
        return int((target(batch, "labels") != IGNORE_INDEX).sum())

    def __call__(self, inputs: TermInputs, scale: float, gradients: Gradients) -> float:
        pooled, cache = self.pooled(inputs.student["last_hidden_state"], inputs.batch)
        loss = self.loss(pooled, target(inputs.batch, "labels"))
        # The micro-batch's own mean: what is compared is known only now. Each labelled one counts for it.
        share = self.count(inputs.batch, inputs.pair) / max(loss.count, 1)
        gradients.add("last_hidden_state", pool_backward(scale * share * loss.grad, cache))
        return share * loss.sum


@dataclass(frozen=True)
class Triplet(ClassTerm):
    """Sentences of one class nearer to each other than to those of another, by a margin. Needs `labels`."""

    formula: ClassVar[str] = "max(0, margin + |a - positive| - |a - negative|)"
    margin: float = 1.0
    mining: Literal["batch_hard", "all"] = "batch_hard"

    def loss(self, pooled: Array, labels: Array) -> Loss:
        return triplet_margin(pooled, labels, margin=self.margin, mining=self.mining)


@dataclass(frozen=True)
class Contrastive(ClassTerm):
    """Sentences of one class nearer to each other than to all others of the micro-batch. Needs `labels`."""

    formula: ClassVar[str] = "-log softmax(cos(a, others) / T) of each positive"
    temperature: float = 0.05

    def check(self, pair: Pair) -> None:
        super().check(pair)
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ConfigError(f"the temperature of contrastive must be above 0, not {self.temperature!r}")

    def loss(self, pooled: Array, labels: Array) -> Loss:
        return contrastive(pooled, labels, temperature=self.temperature)
