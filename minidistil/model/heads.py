"""Heads on top of the encoder, each forward above its backward, with its loss.

The base class and the heads of whole sequences; those of every token are in `token_heads`.

A head takes the encoder's output [T, H] and gives named outputs. It knows its parameters' names, its loss and
how many items that averages over. A model has a tuple of heads (pre-training has two).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array
from minidistil.batch import Batch
from minidistil.config import ModelConfig
from minidistil.errors import InputError
from minidistil.losses import IGNORE_INDEX, binary_cross_entropy, cross_entropy, mean_squared_error
from minidistil.model.checks import class_target, integer_target, output_of, target
from minidistil.model.context import POOLER_SITE, Context
from minidistil.model.modules import Linear
from minidistil.model.terms import Losses as Losses
from minidistil.ops.activations import activation_of
from minidistil.parameters import ParameterSpec

Outputs = dict[str, Array]
Scales = Mapping[str, float]


class Head:
    """Base of all heads.

    A head says for itself what its scores are: code that compares them with labels or with a teacher's asks
    it, and not for its class.

    Attributes
    ----------
    pipeline_tag : str
        The hub's name of its task.
    by_token : bool
        Scores of every token, not of every sequence.
    reads_cls_only : bool
        Nothing but each sequence's [CLS] has a part in the outputs.
    over_choices : bool
        Sequences are the choices of examples: input has the shape [B, C, L].
    over_vocabulary : bool
        Scores of words, so many that losses take them in chunks, see `MaskedLMHead`.
    """

    pipeline_tag: ClassVar[str] = "feature-extraction"
    by_token: ClassVar[bool] = False
    reads_cls_only: ClassVar[bool] = False
    over_choices: ClassVar[bool] = False
    over_vocabulary: ClassVar[bool] = False

    def specs(self) -> list[ParameterSpec]:
        """Name, shape and role of every parameter."""
        raise NotImplementedError

    def taps(self) -> dict[str, str]:
        """Names of the numbers inside, in order, each with the `Linear` or `Norm` that writes it."""
        return {}

    def parts(self) -> tuple[Head, ...]:
        """The head and, before it, a pooler inside it, which heads of other classes have too."""
        return (self,)

    @property
    def signature(self) -> tuple[object, ...]:
        """Key of a head's meaning: with equal keys, parameters of the same shape mean the same."""
        return (type(self),)

    def copies(self) -> dict[str, str]:
        """Tied tensors in a file: {name: the parameter that it equals}."""
        return {}

    def forward(self, x: Array, ctx: Context) -> tuple[Outputs, Any]:
        """[T, H], or [B, H] of first tokens, -> outputs by name, and the cache for `backward`."""
        raise NotImplementedError

    def backward(self, douts: Outputs, cache: Any, ctx: Context) -> Array | None:
        """Gradients of outputs -> that of the input [T, H]; None if none of them is this head's."""
        raise NotImplementedError

    # The loss

    @property
    def target_names(self) -> tuple[str, ...]:
        """Targets that the loss needs."""
        return ()

    def counts(self, batch: Batch) -> Mapping[str, float]:
        """Items that each term of the loss averages over. Targets that do not fit are refused."""
        return {}

    def losses(self, outputs: Outputs, ctx: Context, scales: Scales) -> Losses:
        """The terms of the loss, from what `forward` gave.

        `scales` are the factors of the terms' sums in the whole loss. A head may add to `ctx.grads` what its
        own parameters get, and leave it out of what it returns.
        """
        return Losses({}, {})

    # Scores, as a teacher's are compared with a student's

    @property
    def score_outputs(self) -> tuple[str, ...]:
        """Names of the outputs that are scores; none of a head that has no loss."""
        return ()

    @property
    def token_outputs(self) -> tuple[str, ...]:
        """Names of the outputs with a row for each token."""
        return self.score_outputs if self.by_token else ()

    def scores_alike(self, other: Head) -> bool:
        """True if a score of one head can be compared with that of the other: same kind, same names."""
        return type(self) is type(other) and self.score_outputs == other.score_outputs

    def classes(self) -> list[str]:
        """Names of the classes that a row of scores is over, in order; none where the config names none."""
        return []

    def num_score_rows(self, batch: Batch) -> int:
        """Number of distributions in the scores of a batch: rows of `score_rows` of all outputs."""
        return batch.num_tokens if self.by_token else batch.num_examples

    def score_rows(self, scores: Array, batch: Batch) -> Array:
        """One output -> a row for each softmax, -inf where a row has fewer entries than the longest."""
        return scores

    def from_score_rows(self, rows: Array, batch: Batch) -> Array:
        """The reverse of `score_rows`, for a gradient."""
        return rows


def scatter_first(dfirst: Array, batch: Batch) -> Array:
    """[B, H] -> [T, H]: a gradient that only reaches the first token of each sequence."""
    dx = np.zeros((batch.num_tokens, dfirst.shape[1]), dfirst.dtype)
    dx[batch.cls_rows] = dfirst
    return dx


@dataclass(frozen=True)
class Pooler(Head):
    """activation(W dropout(x_first) + b): a vector for the whole sequence from its first token.

    BERT's is a tanh called `bert.pooler.dense`, without dropout, DistilBERT's a ReLU called `pre_classifier`.

    Attributes
    ----------
    dense : Linear
    activation : a key of `minidistil.ops.activations.CURVES`
    dropout : float
    """

    dense: Linear
    activation: str = "tanh"
    dropout: float = 0.0
    reads_cls_only: ClassVar[bool] = True

    @property
    def signature(self) -> tuple[object, ...]:
        return (type(self), self.activation)

    def specs(self) -> list[ParameterSpec]:
        return self.dense.specs()

    def taps(self) -> dict[str, str]:
        return {"pooler.input": "", "pooler.output": self.dense.name, "pooler.activated": ""}

    def forward(self, x: Array, ctx: Context) -> tuple[Outputs, Any]:
        first = x if ctx.cls_only else x[ctx.batch.cls_rows]  # [T, H] -> [B, H]
        first, drop = ctx.ops.dropout_forward(first, ctx.sequence_mask(self.dropout, POOLER_SITE))
        y, linear = self.dense.forward(first, ctx)
        activate, _ = activation_of(ctx.ops, self.activation)
        pooled, act = activate(y)
        if ctx.taps is not None:
            ctx.taps.put("pooler", input=first, output=y, activated=pooled)
        return {"pooler_output": pooled}, (drop, linear, act)

    def backward(self, douts: Outputs, cache: Any, ctx: Context) -> Array | None:
        if "pooler_output" not in douts:
            return None
        drop, linear, act = cache
        _, activation_backward = activation_of(ctx.ops, self.activation)
        dy = activation_backward(douts["pooler_output"], act)
        dfirst = self.dense.backward(dy, linear, ctx)
        if ctx.taps is not None:
            ctx.taps.put("pooler", activated=douts["pooler_output"], output=dy, input=dfirst)
        return scatter_first(ctx.ops.dropout_backward(dfirst, drop), ctx.batch)


@dataclass(frozen=True)
class PooledHead(Head):
    """A linear layer on the pooled vector: scores of each sequence. Subclasses say what they mean."""

    config: ModelConfig
    pooler: Pooler
    classifier: Linear
    dropout: float
    output: str = "logits"
    labels: str = "labels"
    reads_cls_only: ClassVar[bool] = True

    def parts(self) -> tuple[Head, ...]:
        return (self.pooler, self)

    @property
    def signature(self) -> tuple[object, ...]:
        return (type(self), self.pooler.activation)

    @property
    def target_names(self) -> tuple[str, ...]:
        return (self.labels,)

    @property
    def score_outputs(self) -> tuple[str, ...]:
        return (self.output,)

    def specs(self) -> list[ParameterSpec]:
        return self.pooler.specs() + self.classifier.specs()

    def taps(self) -> dict[str, str]:
        return {**self.pooler.taps(), "classifier.input": "", "classifier.output": self.classifier.name}

    def forward(self, x: Array, ctx: Context) -> tuple[Outputs, Any]:
        pooled, pool = self.pooler.forward(x, ctx)
        y, drop = ctx.ops.dropout_forward(pooled["pooler_output"], ctx.sequence_mask(self.dropout))
        logits, linear = self.classifier.forward(y, ctx)  # [B, H] -> [B, C]
        if ctx.taps is not None:
            ctx.taps.put("classifier", input=y, output=logits)
        return {self.output: logits}, (pool, drop, linear)

    def backward(self, douts: Outputs, cache: Any, ctx: Context) -> Array | None:
        if self.output not in douts:
            return None
        pool, drop, linear = cache
        dy = self.classifier.backward(douts[self.output], linear, ctx)
        if ctx.taps is not None:
            ctx.taps.put("classifier", output=douts[self.output], input=dy)
        return self.pooler.backward({"pooler_output": ctx.ops.dropout_backward(dy, drop)}, pool, ctx)


def problem_type(labels: npt.NDArray[Any], config: ModelConfig) -> str:
    """Problem that a sequence classifier learns.

    Left open by the config, the labels decide, as in transformers: one output is regression, integer labels
    are classes, float labels are many yes-or-no labels.
    """
    if config.problem_type is not None:
        return config.problem_type
    if config.num_labels == 1:
        return "regression"
    return (
        "single_label_classification"
        if np.issubdtype(labels.dtype, np.integer)
        else "multi_label_classification"
    )


@dataclass(frozen=True)
class SequenceHead(PooledHead):
    """Classification of sequences with one label or many, and regression."""

    pipeline_tag: ClassVar[str] = "text-classification"

    def classes(self) -> list[str]:
        return self.config.label_names

    def counts(self, batch: Batch) -> dict[str, int]:
        """Sequences for one label each, matrix entries for many labels or regression; those with labels."""
        kind, labels = self._target(batch)
        single = kind == "single_label_classification"
        return {"classification": int((labels != IGNORE_INDEX if single else ~np.isnan(labels)).sum())}

    def _target(self, batch: Batch) -> tuple[str, npt.NDArray[Any]]:
        """The problem, and labels that fit it: classes [B], or numbers [B, C].

        A sequence without a label has the class -100, or a row of NaN.
        """
        labels, shape = target(batch, self.labels), (batch.num_sequences, self.config.num_labels)
        kind = problem_type(labels, self.config)
        if kind == "single_label_classification":
            return kind, class_target(batch, self.labels, *shape)
        if labels.shape != shape and not (shape[1] == 1 and labels.shape == shape[:1]):
            raise InputError(
                f"{self.labels} have shape {list(labels.shape)}, the model's outputs {list(shape)}"
            )
        rows = labels.reshape(shape)
        if labels.size and (labels.dtype.kind not in "biuf" or not np.isfinite(rows[_labelled(rows)]).all()):
            raise InputError(f"{self.labels} must be finite numbers; they are {labels.dtype}: {labels!s:.60}")
        return kind, rows

    def losses(self, outputs: Outputs, ctx: Context, scales: Scales) -> Losses:
        logits = output_of(outputs, self.output, ctx.batch.num_sequences)
        kind, labels = self._target(ctx.batch)
        if kind == "single_label_classification":
            loss = cross_entropy(logits, labels)
            return Losses({"classification": loss.sum}, {self.output: loss.grad * scales["classification"]})
        rows, grad = _labelled(labels), np.zeros_like(logits)
        ours, theirs = logits[rows], labels[rows].astype(logits.dtype)
        if kind == "multi_label_classification":
            loss = binary_cross_entropy(ours, theirs)
        else:
            loss = mean_squared_error(ours.reshape(-1), theirs.reshape(-1))
        grad[rows] = loss.grad.reshape(ours.shape) * scales["classification"]
        return Losses({"classification": loss.sum}, {self.output: grad})


def _labelled(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """bool [B]: rows [B, C] that are not all NaN."""
    known: npt.NDArray[np.bool_] = ~np.isnan(labels).all(axis=1)
    return known


@dataclass(frozen=True)
class NextSentenceHead(SequenceHead):
    """Next-sentence prediction: two scores, without dropout."""

    term: ClassVar[str] = "next_sentence"

    def counts(self, batch: Batch) -> dict[str, int]:
        return {self.term: int((self._classes(batch) != IGNORE_INDEX).sum())}

    def _classes(self, batch: Batch) -> npt.NDArray[Any]:
        return class_target(batch, self.labels, batch.num_sequences, self.classifier.outputs)

    def losses(self, outputs: Outputs, ctx: Context, scales: Scales) -> Losses:
        logits = output_of(outputs, self.output, ctx.batch.num_sequences)
        loss = cross_entropy(logits, self._classes(ctx.batch))
        return Losses({self.term: loss.sum}, {self.output: loss.grad * scales[self.term]})


@dataclass(frozen=True)
class ChoiceHead(PooledHead):
    """Multiple choice (SWAG, Zellers et al. 2018, arXiv:1808.05326): one score for each sequence, [B].

    Each choice is read by itself, [CLS] context [SEP] choice [SEP]; the scores of an example go through one
    softmax. So a choice is a sequence like any other, an example a group of sequences (`Batch.cu_choices`),
    and one example may have two choices where the next has five.
    """

    pipeline_tag: ClassVar[str] = "multiple-choice"
    over_choices: ClassVar[bool] = True

    def forward(self, x: Array, ctx: Context) -> tuple[Outputs, Any]:
        outputs, cache = super().forward(x, ctx)
        return {self.output: outputs[self.output][:, 0]}, cache  # [B, 1] -> [B]

    def backward(self, douts: Outputs, cache: Any, ctx: Context) -> Array | None:
        if self.output not in douts:
            return None
        return super().backward({self.output: douts[self.output][:, None]}, cache, ctx)

    def counts(self, batch: Batch) -> dict[str, int]:
        return {"choice": int((self._chosen(batch) != IGNORE_INDEX).sum())}

    def _chosen(self, batch: Batch) -> npt.NDArray[Any]:
        """[G]: number of the right choice of each example, or -100."""
        sizes, labels = batch.num_choices, integer_target(batch, self.labels, batch.num_examples)
        bad = np.flatnonzero((labels != IGNORE_INDEX) & ((labels < 0) | (labels >= sizes)))
        if len(bad):
            g = int(bad[0])
            raise InputError(
                f"{self.labels}: label {labels[g]} of example {g}, which has choices 0 to {sizes[g] - 1}"
            )
        return labels

    def losses(self, outputs: Outputs, ctx: Context, scales: Scales) -> Losses:
        """Cross-entropy of the right choice among those of its example; -100 where none is known."""
        batch, labels = ctx.batch, self._chosen(ctx.batch)
        logits = output_of(outputs, self.output, batch.num_sequences)
        loss = cross_entropy(self.score_rows(logits, batch), labels)  # [B] -> [G, C]
        grad = self.from_score_rows(loss.grad, batch) * scales["choice"]
        return Losses({"choice": loss.sum}, {self.output: grad})

    def score_rows(self, scores: Array, batch: Batch) -> Array:
        """[B] -> [G, C]; exp gives a choice that is not there no probability and no gradient."""
        return batch.unpack_choices(scores, fill=-np.inf)

    def from_score_rows(self, rows: Array, batch: Batch) -> Array:
        return batch.pack_choices(rows)
