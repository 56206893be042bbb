"""The terms of a distillation objective that compare what student and teacher compute inside.

Soft and hard labels, which end at the models' heads, are in `minidistil.distill.objective`.

Layers are counted from 1; the hidden state of layer 0 is that of the embeddings. `layers` of a term is

- "last": the last of both,
- "uniform": every student layer, with the teacher's that lies as deep: i of L_s with round(i L_t / L_s),
- pairs of (student layer, teacher layer).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from minidistil.batch import Batch
from minidistil.errors import ConfigError, UsageError
from minidistil.losses import (
    Loss,
    attention_probabilities_kl,
    attention_scores_mse,
    cosine,
    hidden_mse,
    mean_squared_error,
    patient,
    self_attention_relations,
    triplet_margin,
)
from minidistil.model.model import Model
from minidistil.model.targets import target
from minidistil.ops.pooling import pool_backward, pool_forward, pooling_kinds
from minidistil.parameters import Parameters, ParameterSpec

Array = npt.NDArray[np.floating[Any]]
Layers = Literal["last", "uniform"] | tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Given:
    """What a term may look at.

    Attributes
    ----------
    batch : Batch
    student, teacher : mapping of str to arrays
        Outputs of `Model.forward`, with what the term `needs` among them. The teacher's may come from
        elsewhere, and be no more than what the term `compares`.
    student_model, teacher_model : Model
        Without a teacher, None, for terms that do not need it.
    grads : Parameters
        Gradients; a term adds those of its own parameters.
    """

    batch: Batch
    student: Mapping[str, Any]
    teacher: Mapping[str, Any]
    student_model: Model
    teacher_model: Model | None
    grads: Parameters


class Gradients:
    """Gradients by outputs as `Model.backward` takes them, summed as they come."""

    def __init__(self) -> None:
        self.by_output: dict[str, Any] = {}

    def add(self, output: str, grad: Array, layer: int | None = None) -> None:
        """`layer` is the index in an output that is a list."""
        place: dict[Any, Any] = self.by_output if layer is None else self.by_output.setdefault(output, {})
        key = output if layer is None else layer
        place[key] = place[key] + grad if key in place else grad


@dataclass(frozen=True)
class Term:
    """One term: its weight in the sum, and its options."""

    weight: float = 1.0
    inside: ClassVar[bool] = False  # whether it looks into the teacher, which must then be there

    @property
    def needs(self) -> tuple[str, ...]:
        """Which of "hidden_states" and "qkv" both models must give."""
        return ()

    def compares(self, student: Model, teacher: Model) -> list[str]:
        """The teacher's outputs that are looked at, by the names of `minidistil.distill.teacher_cache`."""
        return []

    def check(self, student: Model, teacher: Model | None) -> None:
        """Raises ConfigError where the two models do not fit."""

    def specs(self, student: Model, teacher: Model) -> list[ParameterSpec]:
        """Parameters of its own, to be trained beside the student's."""
        return []

    def count(self, batch: Batch) -> int:
        """How many items the term averages over: tokens, unless it says otherwise."""
        return batch.num_tokens

    def __call__(self, given: Given, scale: float, gradients: Gradients) -> float:
        """The sum of the term; adds `scale` times its gradient."""
        raise NotImplementedError


@dataclass(frozen=True)
class Layered(Term):
    """A term over pairs of layers: the sum of their means."""

    layers: Layers = "last"
    inside: ClassVar[bool] = True
    embeddings: ClassVar[bool] = False  # whether there is a layer 0

    def pairs(self, student: Model, teacher: Model | None) -> list[tuple[int, int]]:
        """Layers compared, (student's, teacher's)."""
        assert teacher is not None
        ours, theirs = student.config.num_hidden_layers, teacher.config.num_hidden_layers
        return layer_pairs(self.layers, ours, theirs, embeddings=self.embeddings)

    def check(self, student: Model, teacher: Model | None) -> None:
        self.pairs(student, teacher)


@dataclass(frozen=True)
class OfStates(Layered):
    """A term over hidden states."""

    embeddings: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[str, ...]:
        return () if self.layers == "last" else ("hidden_states",)

    def compares(self, student: Model, teacher: Model) -> list[str]:
        if self.layers == "last":
            return ["last_hidden_state"]
        return [f"hidden_states.{theirs}" for _, theirs in self.pairs(student, teacher)]

    def states(self, given: Given) -> Iterator[tuple[int, Array, Array]]:
        """Student layer, its hidden states [T, H_s], the teacher's [T, H_t]."""
        for ours, theirs in self.pairs(given.student_model, given.teacher_model):
            if self.layers == "last":
                yield ours, given.student["last_hidden_state"], given.teacher["last_hidden_state"]
            else:
                yield ours, given.student["hidden_states"][ours], given.teacher["hidden_states"][theirs]

    def add(self, gradients: Gradients, ours: int, grad: Array) -> None:
        """The gradient by the states of a student layer."""
        if self.layers == "last":
            gradients.add("last_hidden_state", grad)
        else:
            gradients.add("hidden_states", grad, ours)


@dataclass(frozen=True)
class OfAttention(Layered):
    """A term over queries, keys and values."""

    @property
    def needs(self) -> tuple[str, ...]:
        return ("qkv",)

    def compares(self, student: Model, teacher: Model) -> list[str]:
        return [f"qkv.{theirs - 1}" for _, theirs in self.pairs(student, teacher)]

    def compare(self, given: Given, ours: Array, theirs: Array) -> Loss:
        """The loss of one pair of layers, from their q, k, v side by side."""
        raise NotImplementedError

    def __call__(self, given: Given, scale: float, gradients: Gradients) -> float:
        total = 0.0
        for ours, theirs in self.pairs(given.student_model, given.teacher_model):
            loss = self.compare(given, given.student["qkv"][ours - 1], given.teacher["qkv"][theirs - 1])
            share = given.batch.num_tokens / max(loss.count, 1)  # a number a token: the mean over heads
            gradients.add("qkv", scale * share * loss.grad, ours - 1)
            total += share * loss.sum
        return total


@dataclass(frozen=True)
class Cosine(OfStates):
    """1 - cosine of the hidden states of each token; DistilBERT's, with the last layers."""

    def check(self, student: Model, teacher: Model | None) -> None:
        super().check(student, teacher)
        _same_width("cosine", student, teacher)

    def __call__(self, given: Given, scale: float, gradients: Gradients) -> float:
        total = 0.0
        for layer, ours, theirs in self.states(given):
            loss = cosine(ours, theirs)
            self.add(gradients, layer, scale * loss.grad)
            total += loss.sum
        return total


@dataclass(frozen=True)
class Hidden(OfStates):
    """Mean squared difference of hidden states; between widths, through a learned projection (TinyBERT)."""

    layers: Layers = "uniform"

    @staticmethod
    def _projection(ours: int) -> str:
        return f"distillation.hidden.{ours}.weight"

    def specs(self, student: Model, teacher: Model) -> list[ParameterSpec]:
        shape = (teacher.config.hidden_size, student.config.hidden_size)
        if shape[0] == shape[1]:
            return []
        return [
            ParameterSpec(self._projection(ours), shape, "weight") for ours, _ in self.pairs(student, teacher)
        ]

    def __call__(self, given: Given, scale: float, gradients: Gradients) -> float:
        total = 0.0
        for layer, ours, theirs in self.states(given):
            name = self._projection(layer)
            loss = hidden_mse(ours, theirs, given.student_model.params.get(name))
            self.add(gradients, layer, scale * loss.grad)
            if loss.dprojection is not None:
                given.grads[name][...] += scale * loss.dprojection
            total += loss.sum
        return total


@dataclass(frozen=True)
class Patient(OfStates):
    """Distance of the directions of the [CLS] tokens' hidden states (Patient Knowledge Distillation)."""

    layers: Layers = "uniform"

    def check(self, student: Model, teacher: Model | None) -> None:
        super().check(student, teacher)
        _same_width("patient", student, teacher)

    def count(self, batch: Batch) -> int:
        return batch.num_sequences

    def __call__(self, given: Given, scale: float, gradients: Gradients) -> float:
        total, first = 0.0, given.batch.cls_rows
        for layer, ours, theirs in self.states(given):
            loss = patient(ours[first], theirs[first])
            grad = np.zeros_like(ours)
            grad[first] = scale * loss.grad
            self.add(gradients, layer, grad)
            total += loss.sum
        return total


@dataclass(frozen=True)
class Attention(OfAttention):
    """Attention maps: squared difference of scores (TinyBERT) or KL of probabilities (MiniLM)."""

    layers: Layers = "uniform"
    kind: Literal["scores", "probabilities"] = "scores"

    def check(self, student: Model, teacher: Model | None) -> None:
        super().check(student, teacher)
        assert teacher is not None
        ours, theirs = (m.config.num_attention_heads for m in (student, teacher))
        if ours != theirs:
            raise ConfigError(
                f"the attention term compares head by head; the teacher has {theirs} heads, the student "
                f"{ours}: use relations"
            )

    def compare(self, given: Given, ours: Array, theirs: Array) -> Loss:
        loss = attention_scores_mse if self.kind == "scores" else attention_probabilities_kl
        return loss(ours, theirs, given.batch.cu_seqlens, given.student_model.config.num_attention_heads)


@dataclass(frozen=True)
class Relations(OfAttention):
    """Relations among queries, among keys, among values (MiniLM v2; values alone: v1's value relation).

    Attributes
    ----------
    of : str
        Some of the letters q, k and v.
    heads : int or None
        Relation heads; the student's attention heads by default.
    """

    of: str = "qkv"
    heads: int | None = None

    def check(self, student: Model, teacher: Model | None) -> None:
        super().check(student, teacher)
        assert teacher is not None
        if not self.of or set(self.of) - set("qkv") or len(set(self.of)) != len(self.of):
            raise ConfigError(f"relations are of some of q, k and v, not {self.of!r}")
        heads = self._heads(student)
        for who, model in (("student", student), ("teacher", teacher)):
            if heads < 1 or model.config.hidden_size % heads:
                width = model.config.hidden_size
                raise ConfigError(f"{heads} relation heads do not divide the {who}'s width {width}")

    def _heads(self, student: Model) -> int:
        return student.config.num_attention_heads if self.heads is None else self.heads

    def compare(self, given: Given, ours: Array, theirs: Array) -> Loss:
        heads, cu_seqlens = self._heads(given.student_model), given.batch.cu_seqlens
        return self_attention_relations(
            ours, theirs, cu_seqlens, relation_heads=heads, relations=tuple(self.of)
        )


@dataclass(frozen=True)
class Pooled(Term):
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

    def check(self, student: Model, teacher: Model | None) -> None:
        try:
            pooling_kinds(self.pooling)
        except UsageError as error:  # it stands in a recipe
            raise ConfigError(str(error)) from error

    def count(self, batch: Batch) -> int:
        return batch.num_sequences


@dataclass(frozen=True)
class Embedding(Pooled):
    """Sentence embeddings like the teacher's: cosine, or mean squared difference.

    With `teacher_pooled` [B, H] in the batch the teacher need not be there, or may have read something
    else: the same sentence in another language, in a vocabulary of its own (`minidistil.jobs.multilingual`).
    """

    kind: Literal["cosine", "mse"] = "cosine"

    def compares(self, student: Model, teacher: Model) -> list[str]:
        return [f"pooled.{self.pooling}" + (f".{self.skip}" if self.skip else "")]

    def check(self, student: Model, teacher: Model | None) -> None:
        super().check(student, teacher)
        if teacher is not None:
            _same_width("embedding", student, teacher)

    def __call__(self, given: Given, scale: float, gradients: Gradients) -> float:
        pooled, cache = self.pooled(given.student["last_hidden_state"], given.batch)
        if "pooled" in given.teacher:
            theirs = given.teacher["pooled"]
        else:
            theirs, _ = self.pooled(given.teacher["last_hidden_state"], given.batch)
        loss = cosine(pooled, theirs) if self.kind == "cosine" else mean_squared_error(pooled, theirs)
        gradients.add("last_hidden_state", pool_backward(scale * loss.grad, cache))
        return loss.sum


@dataclass(frozen=True)
class Triplet(Pooled):
    """Sentences of one class nearer to each other than to those of another, by a margin. Needs `labels`."""

    margin: float = 1.0
    mining: Literal["batch_hard", "all"] = "batch_hard"

    def __call__(self, given: Given, scale: float, gradients: Gradients) -> float:
        pooled, cache = self.pooled(given.student["last_hidden_state"], given.batch)
        labels = target(given.batch, "labels")
        loss = triplet_margin(pooled, labels, margin=self.margin, mining=self.mining)
        # The micro-batch's own mean: which triplets there are is known only now. Each sequence counts for it.
        share = given.batch.num_sequences / max(loss.count, 1)
        gradients.add("last_hidden_state", pool_backward(scale * share * loss.grad, cache))
        return share * loss.sum


TERMS: dict[str, type[Term]] = {
    "cosine": Cosine,
    "hidden": Hidden,
    "patient": Patient,
    "attention": Attention,
    "relations": Relations,
    "embedding": Embedding,
    "triplet": Triplet,
}


def layer_pairs(
    layers: Layers | Sequence[Sequence[int]], ours: int, theirs: int, *, embeddings: bool
) -> list[tuple[int, int]]:
    """Pairs of (student layer, teacher layer), counted from 1, or from 0 for hidden states.

    Parameters
    ----------
    layers : "last", "uniform" or pairs
    ours, theirs : int
        Depths.
    embeddings : bool
        Whether layer 0, the embeddings, may be named.

    Raises
    ------
    ConfigError
        A layer that is not there.
    """
    if layers == "last":
        return [(ours, theirs)]
    if layers == "uniform":
        lowest = 0 if embeddings else 1  # of a student more than twice as deep, the first is nearer to 0
        return [(i, max(round(i * theirs / ours), lowest)) for i in range(1, ours + 1)]
    first, pairs = 0 if embeddings else 1, []
    for pair in layers:
        if len(pair) != 2 or not (first <= pair[0] <= ours and first <= pair[1] <= theirs):
            raise ConfigError(
                f"{list(pair)} is no pair of layers: the student has {first} to {ours}, "
                f"the teacher {first} to {theirs}"
            )
        pairs.append((int(pair[0]), int(pair[1])))
    if not pairs or len({i for i, _ in pairs}) != len(pairs):
        raise ConfigError("pairs of layers name each student layer at most once, and at least one")
    return pairs


def _same_width(term: str, student: Model, teacher: Model | None) -> None:
    assert teacher is not None
    ours, theirs = student.config.hidden_size, teacher.config.hidden_size
    if ours != theirs:
        raise ConfigError(
            f"the {term} term needs equal widths; the teacher has {theirs}, the student {ours}: "
            "use hidden (which learns a projection) or relations"
        )
