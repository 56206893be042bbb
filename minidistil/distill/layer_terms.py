"""Terms of hidden states and of attention, over pairs of layers.

Layers are counted from 1; the hidden state of layer 0 is that of the embeddings. `layers` of a term is

- "last": the last of both,
- "uniform": every student layer, with the teacher's that lies as deep: i of L_s with round(i L_t / L_s),
- pairs of (student layer, teacher layer).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from minidistil.arrays import Array
from minidistil.batch import Batch
from minidistil.distill.term import Gradients, Pair, Term, TermInputs
from minidistil.errors import ConfigError
from minidistil.losses import (
    BiasedLoss,
    Loss,
    attention_probabilities_kl,
    attention_scores_mse,
    cosine,
    hidden_mse,
    pkd,
    self_attention_relations,
)
from minidistil.parameters import ParameterSpec

Layers = Literal["last", "uniform"] | tuple[tuple[int, int], ...]
Scaled = tuple[float, Array]  # a sum, and its gradient times a scale


@dataclass(frozen=True)
class LayerTerm(Term):
    """A term over pairs of layers: the sum of their means."""

    layers: Layers = "last"
    needs_teacher: ClassVar[bool] = True
    embeddings: ClassVar[bool] = False  # there is a layer 0

    def pairs(self, pair: Pair) -> list[tuple[int, int]]:
        """Layers compared, (student's, teacher's)."""
        assert pair.teacher is not None
        ours, theirs = (model.config.depth for model in (pair.student, pair.teacher))
        return layer_pairs(self.layers, ours, theirs, embeddings=self.embeddings)

    def check(self, pair: Pair) -> None:
        self.pairs(pair)


@dataclass(frozen=True)
class HiddenStateTerm(LayerTerm):
    """A term over hidden states."""

    embeddings: ClassVar[bool] = True

    @property
    def requires(self) -> tuple[str, ...]:
        return () if self.layers == "last" else ("hidden_states",)

    def teacher_outputs(self, pair: Pair) -> list[str]:
        if self.layers == "last":
            return ["last_hidden_state"]
        return [f"hidden_states.{theirs}" for _, theirs in self.pairs(pair)]

    def compare(self, inputs: TermInputs, layer: int, ours: Array, theirs: Array, scale: float) -> Scaled:
        """Sum of a student layer's loss, and `scale` times its gradient by the states `ours` [T, H_s]."""
        raise NotImplementedError

    def __call__(self, inputs: TermInputs, scale: float, gradients: Gradients) -> float:
        total = 0.0
        for i, j in self.pairs(inputs.pair):
            if self.layers == "last":
                output, layer = "last_hidden_state", None
                ours, theirs = inputs.student[output], inputs.teacher[output]
            else:
                output, layer = "hidden_states", i
                ours, theirs = inputs.student[output][i], inputs.teacher[output][j]
            value, grad = self.compare(inputs, i, ours, theirs, scale)
            gradients.add(output, grad, layer)
            total += value
        return total


@dataclass(frozen=True)
class AttentionTerm(LayerTerm):
    """A term over queries, keys and values, and a relative bias if there is one; a mean over heads too."""

    @property
    def requires(self) -> tuple[str, ...]:
        return ("qkv",)

    def teacher_outputs(self, pair: Pair) -> list[str]:
        return [f"qkv.{theirs - 1}" for _, theirs in self.pairs(pair)]

    def compare(self, inputs: TermInputs, ours: Array, theirs: Array) -> Loss | BiasedLoss:
        """Loss of one pair of layers, from their q, k, v side by side [T, 3H]."""
        raise NotImplementedError

    def __call__(self, inputs: TermInputs, scale: float, gradients: Gradients) -> float:
        total = 0.0
        for i, j in self.pairs(inputs.pair):
            loss = self.compare(inputs, inputs.student["qkv"][i - 1], inputs.teacher["qkv"][j - 1])
            share = inputs.batch.num_tokens / max(loss.count, 1)  # a number a token: the mean over heads
            gradients.add("qkv", scale * share * loss.grad, i - 1)
            if isinstance(loss, BiasedLoss):
                gradients.add("attention_bias", scale * share * loss.dbias)
            total += share * loss.sum
        return total


@dataclass(frozen=True)
class Cosine(HiddenStateTerm):
    """1 - cosine of the hidden states of each token; DistilBERT's, with the last layers."""

    formula: ClassVar[str] = "1 - s.t / (|s| |t|)"

    def check(self, pair: Pair) -> None:
        super().check(pair)
        pair.check_same_width("cosine")

    def compare(self, inputs: TermInputs, layer: int, ours: Array, theirs: Array, scale: float) -> Scaled:
        loss = cosine(ours, theirs)
        return loss.sum, scale * loss.grad


@dataclass(frozen=True)
class Hidden(HiddenStateTerm):
    """Mean squared difference of hidden states; between widths, through a learned projection (TinyBERT)."""

    formula: ClassVar[str] = "mean (W s - t)^2"
    layers: Layers = "uniform"

    @staticmethod
    def _projection(layer: int) -> str:
        return f"distillation.hidden.{layer}.weight"

    def specs(self, pair: Pair) -> list[ParameterSpec]:
        ours, theirs = pair.widths()
        if ours == theirs:
            return []
        names = [self._projection(layer) for layer, _ in self.pairs(pair)]
        return [ParameterSpec(name, (theirs, ours), "weight") for name in names]

    def compare(self, inputs: TermInputs, layer: int, ours: Array, theirs: Array, scale: float) -> Scaled:
        name = self._projection(layer)
        loss = hidden_mse(ours, theirs, inputs.pair.student.params.get(name))
        if loss.dprojection is not None:
            inputs.grads[name][...] += scale * loss.dprojection
        return loss.sum, scale * loss.grad


@dataclass(frozen=True)
class PKD(HiddenStateTerm):
    """Distance of the directions of the [CLS] tokens' hidden states (Patient Knowledge Distillation)."""

    formula: ClassVar[str] = "|s/|s| - t/|t||^2, s and t of [CLS]"
    layers: Layers = "uniform"

    def check(self, pair: Pair) -> None:
        super().check(pair)
        pair.check_same_width("pkd")

    def count(self, batch: Batch, pair: Pair) -> float:
        return batch.num_sequences

    def compare(self, inputs: TermInputs, layer: int, ours: Array, theirs: Array, scale: float) -> Scaled:
        rows, grad = inputs.batch.cls_rows, np.zeros_like(ours)
        loss = pkd(ours[rows], theirs[rows])
        grad[rows] = scale * loss.grad
        return loss.sum, grad


@dataclass(frozen=True)
class Attention(AttentionTerm):
    """Attention maps: squared difference of scores (TinyBERT) or KL of probabilities (MiniLM)."""

    formula: ClassVar[str] = "mean (q_s k_s / sqrt(D) - q_t k_t / sqrt(D))^2, or KL of their softmax"
    layers: Layers = "uniform"
    kind: Literal["scores", "probabilities"] = "scores"

    def check(self, pair: Pair) -> None:
        super().check(pair)
        assert pair.teacher is not None
        ours, theirs = (m.config.num_attention_heads for m in (pair.student, pair.teacher))
        if ours != theirs:
            raise ConfigError(
                f"the attention term compares head by head; the teacher has {theirs} heads, the student "
                f"{ours}: use relations"
            )

    def compare(self, inputs: TermInputs, ours: Array, theirs: Array) -> Loss | BiasedLoss:
        loss = attention_scores_mse if self.kind == "scores" else attention_probabilities_kl
        heads = inputs.pair.student.config.num_attention_heads
        return loss(
            ours, theirs, inputs.batch.cu_seqlens, heads,
            student_bias=inputs.student.get("attention_bias"),
            teacher_bias=inputs.teacher.get("attention_bias"),
        )  # fmt: skip


@dataclass(frozen=True)
class Relations(AttentionTerm):
    """Self-attention relations: among queries, keys, values (MiniLM v2; values alone: v1's).

    Attributes
    ----------
    of : str
        Some of the letters q, k and v.
    heads : int or None
        Relation heads; the student's attention heads by default.
    """

    formula: ClassVar[str] = "KL(softmax(a_t a_t^T / sqrt(D)) || softmax(a_s a_s^T / sqrt(D))), a = q, k, v"
    of: str = "qkv"
    heads: int | None = None

    def check(self, pair: Pair) -> None:
        super().check(pair)
        if not self.of or set(self.of) - set("qkv") or len(set(self.of)) != len(self.of):
            raise ConfigError(f"relations are of some of q, k and v, not {self.of!r}")
        heads = self._heads(pair)
        for who, width in zip(("student", "teacher"), pair.widths(), strict=True):
            if heads < 1 or width % heads:
                raise ConfigError(f"{heads} relation heads do not divide the {who}'s width {width}")

    def _heads(self, pair: Pair) -> int:
        return pair.student.config.num_attention_heads if self.heads is None else self.heads

    def compare(self, inputs: TermInputs, ours: Array, theirs: Array) -> Loss:
        heads, cu_seqlens = self._heads(inputs.pair), inputs.batch.cu_seqlens
        return self_attention_relations(
            ours, theirs, cu_seqlens, relation_heads=heads, relations=tuple(self.of)
        )


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
        There is a layer 0, the embeddings.

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
