"""Task heads: what stands on top of the encoder, each forward above its backward, with its loss.

Here what all heads share, and the heads that say something of a whole sequence; those that say something of
every token are in `token_heads`.

A head takes the encoder's output [T, H], gives named outputs, knows its parameters' names, how many
items its loss averages over, and the loss itself. A model has a tuple of heads (pre-training has two).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from minidistil.arguments import did_you_mean
from minidistil.batch import Batch
from minidistil.config import ModelConfig
from minidistil.errors import InputError
from minidistil.losses import IGNORE_INDEX, binary_cross_entropy, cross_entropy, mean_squared_error
from minidistil.model.context import Run
from minidistil.model.naming import linear_specs
from minidistil.parameters import Parameters, ParameterSpec

Array = npt.NDArray[np.floating[Any]]
Outputs = dict[str, Array]


class Losses(NamedTuple):
    """The terms of a loss.

    Attributes
    ----------
    sums : dict of str to float
        By name of the term.
    douts : dict of str to array
        Gradient of sum_k scale_k sums_k by each output.
    """

    sums: dict[str, float]
    douts: Outputs


class Head(Protocol):
    """Interface of a head.

    `pipeline_tag` is the hub's name of its task. `token_outputs` names the outputs with a row for each token,
    `target_names` what the loss needs. `counts` refuses targets of another shape, dtype or range.
    `losses` takes what `forward` gave, and for each term the factor of its sum in the whole loss; it may add
    to the gradients of the head's own parameters by itself and leave them out of what it returns.
    """

    @property
    def pipeline_tag(self) -> str: ...
    @property
    def token_outputs(self) -> tuple[str, ...]: ...
    @property
    def target_names(self) -> tuple[str, ...]: ...

    def specs(self, config: ModelConfig) -> list[ParameterSpec]: ...

    def forward(self, x: Array, params: Parameters, run: Run) -> tuple[Outputs, Any]: ...

    def backward(self, douts: Outputs, cache: Any, grads: Parameters, ops: ModuleType) -> Array | None: ...

    def counts(self, batch: Batch, config: ModelConfig) -> dict[str, int]: ...

    def losses(
        self,
        outputs: Outputs,
        params: Parameters,
        run: Run,
        scales: Mapping[str, float],
        grads: Parameters | None,
    ) -> Losses: ...


def target(batch: Batch, name: str) -> npt.NDArray[Any]:
    """A target of the batch, or an error that says which are there."""
    if name not in batch.targets:
        have = ", ".join(sorted(batch.targets)) or "none"
        raise InputError(f"the loss of this model needs {name!r}; the batch has: {have}")
    return np.asarray(batch.targets[name])


def integer_target(batch: Batch, name: str, rows: int) -> npt.NDArray[Any]:
    """A target of the batch, if it holds `rows` integers.

    Raises
    ------
    InputError
        Naming it.
    """
    values = target(batch, name)
    if values.shape != (rows,) or (rows and values.dtype.kind not in "iu"):
        raise InputError(
            f"{name} must be integers of shape [{rows}], not {values.dtype} {list(values.shape)}"
        )
    return values


def class_target(batch: Batch, name: str, rows: int, classes: int) -> npt.NDArray[Any]:
    """A target of the batch, if it holds `rows` classes, from 0 to `classes` - 1 or -100 for none.

    Raises
    ------
    InputError
        Naming it, and the first label that is none.
    """
    values = integer_target(batch, name, rows)
    bad = np.flatnonzero((values != IGNORE_INDEX) & ((values < 0) | (values >= classes)))
    if len(bad):
        raise InputError(
            f"{name}: label {values[bad[0]]} at index {bad[0]} is out of range: expected 0 to {classes - 1}, "
            f"or {IGNORE_INDEX} for a row without a label"
        )
    return values


def output_of(outputs: Mapping[str, Any], name: str, rows: int) -> Array:
    """An output of `rows` rows, or an InputError."""
    if name not in outputs:
        raise InputError(f"the loss is of the output {name!r}{did_you_mean(name, outputs)}")
    values: Array = outputs[name]
    if len(values) != rows:
        raise InputError(f"the output {name!r} has {len(values)} rows, and the batch {rows}")
    return values


def scatter_first(dfirst: Array, batch: Batch) -> Array:
    """[B, H] -> [T, H]: a gradient that only reaches the first token of each sequence."""
    dx = np.zeros((batch.num_tokens, dfirst.shape[1]), dfirst.dtype)
    dx[batch.cls_rows] = dfirst
    return dx


def problem_type(labels: npt.NDArray[Any], config: ModelConfig) -> str:
    """What a sequence classifier learns. Left open by the config, the labels decide, as in transformers:
    one output is regression, integer labels are classes, float labels are many yes-or-no labels."""
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
class Pooler:
    """activation(W x_first + b): a vector for the whole sequence from its [CLS] token.

    BERT's is a tanh called `bert.pooler.dense`, DistilBERT's a ReLU called `pre_classifier`.
    """

    dense: str
    activation: str = "tanh"
    pipeline_tag: ClassVar[str] = "feature-extraction"
    token_outputs: ClassVar[tuple[str, ...]] = ()
    target_names: ClassVar[tuple[str, ...]] = ()

    def specs(self, config: ModelConfig) -> list[ParameterSpec]:
        return linear_specs(self.dense, config.hidden_size, config.hidden_size)

    def forward(self, x: Array, params: Parameters, run: Run) -> tuple[Outputs, Any]:
        first, ops = x if run.firsts else x[run.batch.cls_rows], run.ops  # [T, H] -> [B, H]
        y, linear = ops.linear_forward(first, *params.linear(f"{self.dense}.weight", f"{self.dense}.bias"))
        forward = ops.tanh_forward if self.activation == "tanh" else ops.relu_forward
        pooled, act = forward(y)
        return {"pooler_output": pooled}, (linear, act, run.batch)

    def backward(self, douts: Outputs, cache: Any, grads: Parameters, ops: ModuleType) -> Array | None:
        if "pooler_output" not in douts:
            return None
        linear, act, batch = cache
        backward = ops.tanh_backward if self.activation == "tanh" else ops.relu_backward
        dy = backward(douts["pooler_output"], act)
        dfirst, _, _ = ops.linear_backward(
            dy, linear, grads[f"{self.dense}.weight"], grads[f"{self.dense}.bias"]
        )
        return scatter_first(dfirst, batch)

    def counts(self, batch: Batch, config: ModelConfig) -> dict[str, int]:
        return {}

    def losses(
        self,
        outputs: Outputs,
        params: Parameters,
        run: Run,
        scales: Mapping[str, float],
        grads: Parameters | None,
    ) -> Losses:
        return Losses({}, {})


@dataclass(frozen=True)
class PooledHead:
    """Scores for each sequence: a linear layer on the pooled vector. What they mean is said by subclasses."""

    pooler: Pooler
    classifier: str = "classifier"
    output: str = "logits"
    labels: str = "labels"
    token_outputs: ClassVar[tuple[str, ...]] = ()

    @property
    def target_names(self) -> tuple[str, ...]:
        return (self.labels,)

    def num_outputs(self, config: ModelConfig) -> int:
        return config.num_labels

    def dropout_rate(self, config: ModelConfig) -> float:
        return config.classifier_dropout_prob

    def specs(self, config: ModelConfig) -> list[ParameterSpec]:
        return self.pooler.specs(config) + linear_specs(
            self.classifier, self.num_outputs(config), config.hidden_size
        )

    def forward(self, x: Array, params: Parameters, run: Run) -> tuple[Outputs, Any]:
        pooled, pool = self.pooler.forward(x, params, run)
        mask = run.sequence_mask(self.dropout_rate(run.config))
        y, drop = run.ops.dropout_forward(pooled["pooler_output"], mask)
        logits, linear = run.ops.linear_forward(
            y, *params.linear(f"{self.classifier}.weight", f"{self.classifier}.bias")
        )  # [B, H] -> [B, C]
        return {self.output: logits}, (pool, drop, linear)

    def backward(self, douts: Outputs, cache: Any, grads: Parameters, ops: ModuleType) -> Array | None:
        if self.output not in douts:
            return None
        pool, drop, linear = cache
        dy, _, _ = ops.linear_backward(
            douts[self.output], linear, grads[f"{self.classifier}.weight"], grads[f"{self.classifier}.bias"]
        )
        return self.pooler.backward({"pooler_output": ops.dropout_backward(dy, drop)}, pool, grads, ops)


@dataclass(frozen=True)
class SequenceHead(PooledHead):
    """Classification of sequences with one label or many, and regression."""

    pipeline_tag: ClassVar[str] = "text-classification"

    def counts(self, batch: Batch, config: ModelConfig) -> dict[str, int]:
        """Sequences for one label each, matrix entries for many labels or regression."""
        kind, labels = self._target(batch, config)
        single = kind == "single_label_classification"
        return {"classification": int((labels != IGNORE_INDEX).sum()) if single else labels.size}

    def _target(self, batch: Batch, config: ModelConfig) -> tuple[str, npt.NDArray[Any]]:
        """The problem, and labels that fit it: classes [B], or numbers [B, C]."""
        labels, shape = target(batch, self.labels), (batch.num_sequences, config.num_labels)
        kind = problem_type(labels, config)
        if kind == "single_label_classification":
            return kind, class_target(batch, self.labels, *shape)
        if labels.shape != shape and not (shape[1] == 1 and labels.shape == shape[:1]):
            raise InputError(
                f"{self.labels} have shape {list(labels.shape)}, the model's outputs {list(shape)}"
            )
        if labels.size and (labels.dtype.kind not in "biuf" or not np.isfinite(labels).all()):
            raise InputError(f"{self.labels} must be finite numbers; they are {labels.dtype}: {labels!s:.60}")
        return kind, labels.reshape(shape)

    def losses(
        self,
        outputs: Outputs,
        params: Parameters,
        run: Run,
        scales: Mapping[str, float],
        grads: Parameters | None,
    ) -> Losses:
        logits = output_of(outputs, self.output, run.batch.num_sequences)
        kind, labels = self._target(run.batch, run.config)
        if kind == "single_label_classification":
            loss = cross_entropy(logits, labels)
        elif kind == "multi_label_classification":
            loss = binary_cross_entropy(logits, labels.astype(logits.dtype))
        else:
            loss = mean_squared_error(logits.reshape(-1), labels.astype(logits.dtype).reshape(-1))
        grad = loss.grad.reshape(logits.shape) * scales["classification"]
        return Losses({"classification": loss.sum}, {self.output: grad})


@dataclass(frozen=True)
class NextSentenceHead(SequenceHead):
    """Does the second sentence follow the first? Two scores, no dropout."""

    classifier: str = "cls.seq_relationship"

    def num_outputs(self, config: ModelConfig) -> int:
        return 2

    def dropout_rate(self, config: ModelConfig) -> float:
        return 0.0

    def counts(self, batch: Batch, config: ModelConfig) -> dict[str, int]:
        return {"next_sentence": int((self._classes(batch) != IGNORE_INDEX).sum())}

    def _classes(self, batch: Batch) -> npt.NDArray[Any]:
        return class_target(batch, self.labels, batch.num_sequences, 2)

    def losses(
        self,
        outputs: Outputs,
        params: Parameters,
        run: Run,
        scales: Mapping[str, float],
        grads: Parameters | None,
    ) -> Losses:
        logits = output_of(outputs, self.output, run.batch.num_sequences)
        loss = cross_entropy(logits, self._classes(run.batch))
        return Losses({"next_sentence": loss.sum}, {self.output: loss.grad * scales["next_sentence"]})
