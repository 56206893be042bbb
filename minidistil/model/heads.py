"""Task heads: what stands on top of the encoder, each forward above its backward, with its loss.

Here what all heads share, and the heads that say something of a whole sequence; those that say something of
every token are in `token_heads`.

A head takes the encoder's output [T, H], gives named outputs, knows its parameters' names, how many
items its loss averages over, and the loss itself. A model has a tuple of heads (pre-training has two).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from minidistil.config import ModelConfig
from minidistil.errors import InputError
from minidistil.losses import IGNORE_INDEX, binary_cross_entropy, cross_entropy, mean_squared_error
from minidistil.model.arena import Arena, ParameterSpec
from minidistil.model.encoder import HEAD_SITE
from minidistil.model.naming import linear_specs
from minidistil.ops.dropout import Dropout, Mask
from minidistil.packing import Batch

Array = npt.NDArray[np.floating[Any]]
Outputs = dict[str, Array]


@dataclass(frozen=True)
class HeadLoss:
    """One term of the loss: its sum, over how many items, and the gradient of the sum by output."""

    sum: float
    count: int
    douts: Outputs


class Head(Protocol):
    """What the model asks of a head. `token_outputs` names the outputs with a row for each token."""

    @property
    def token_outputs(self) -> tuple[str, ...]: ...

    def specs(self, config: ModelConfig) -> list[ParameterSpec]: ...

    def forward(
        self,
        x: Array,
        params: Arena,
        batch: Batch,
        config: ModelConfig,
        ops: ModuleType,
        dropout: Dropout | None,
    ) -> tuple[Outputs, Any]: ...

    def backward(self, douts: Outputs, cache: Any, grads: Arena, ops: ModuleType) -> Array | None: ...

    def counts(self, batch: Batch, config: ModelConfig) -> dict[str, int]: ...

    def losses(self, outputs: Outputs, batch: Batch, config: ModelConfig) -> dict[str, HeadLoss]: ...


def target(batch: Batch, name: str) -> npt.NDArray[Any]:
    """A target of the batch, or an error that says which are there."""
    if name not in batch.targets:
        have = ", ".join(sorted(batch.targets)) or "none"
        raise InputError(f"the loss of this model needs {name!r}; the batch has: {have}")
    return batch.targets[name]


def first_token_mask(dropout: Dropout | None, rate: float, layer: int, batch: Batch) -> Mask | None:
    """Dropout of pooled vectors [B, H]: keyed like the first token of each sequence."""
    if dropout is None:
        return None
    return dropout.mask(rate, layer, HEAD_SITE, batch.example_ids, np.zeros(batch.num_sequences, np.int32))


def scatter_first(dfirst: Array, batch: Batch) -> Array:
    """[B, H] -> [T, H]: a gradient that only reaches the first token of each sequence."""
    dx = np.zeros((batch.num_tokens, dfirst.shape[1]), dfirst.dtype)
    dx[batch.first_tokens] = dfirst
    return dx


def classification_count(labels: npt.NDArray[Any], config: ModelConfig) -> int:
    """Sequences for one label each, matrix entries for many labels or regression."""
    if problem_type(labels, config) == "single_label_classification":
        return int((labels != IGNORE_INDEX).sum())
    return int(labels.size)


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
    token_outputs: ClassVar[tuple[str, ...]] = ()

    def specs(self, config: ModelConfig) -> list[ParameterSpec]:
        return linear_specs(self.dense, config.hidden_size, config.hidden_size)

    def forward(
        self,
        x: Array,
        params: Arena,
        batch: Batch,
        config: ModelConfig,
        ops: ModuleType,
        dropout: Dropout | None,
    ) -> tuple[Outputs, Any]:
        first = x[batch.first_tokens]  # [T, H] -> [B, H]
        y, linear = ops.linear_forward(first, params[f"{self.dense}.weight"], params[f"{self.dense}.bias"])
        forward = ops.tanh_forward if self.activation == "tanh" else ops.relu_forward
        pooled, act = forward(y)
        return {"pooler_output": pooled}, (linear, act, batch)

    def backward(self, douts: Outputs, cache: Any, grads: Arena, ops: ModuleType) -> Array | None:
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

    def losses(self, outputs: Outputs, batch: Batch, config: ModelConfig) -> dict[str, HeadLoss]:
        return {}


@dataclass(frozen=True)
class SequenceHead:
    """One row of scores for each sequence: a linear layer on the pooled vector.

    Classification with one label or many, and regression.
    """

    pooler: Pooler
    classifier: str = "classifier"
    output: str = "logits"
    labels: str = "labels"
    token_outputs: ClassVar[tuple[str, ...]] = ()

    def num_outputs(self, config: ModelConfig) -> int:
        return config.num_labels

    def dropout_rate(self, config: ModelConfig) -> float:
        return config.classifier_dropout_prob

    def specs(self, config: ModelConfig) -> list[ParameterSpec]:
        return self.pooler.specs(config) + linear_specs(
            self.classifier, self.num_outputs(config), config.hidden_size
        )

    def forward(
        self,
        x: Array,
        params: Arena,
        batch: Batch,
        config: ModelConfig,
        ops: ModuleType,
        dropout: Dropout | None,
    ) -> tuple[Outputs, Any]:
        pooled, pool = self.pooler.forward(x, params, batch, config, ops, dropout)
        mask = first_token_mask(dropout, self.dropout_rate(config), config.num_hidden_layers, batch)
        y, drop = ops.dropout_forward(pooled["pooler_output"], mask)
        logits, linear = ops.linear_forward(
            y, params[f"{self.classifier}.weight"], params[f"{self.classifier}.bias"]
        )  # [B, H] -> [B, C]
        return {self.output: logits}, (pool, drop, linear)

    def backward(self, douts: Outputs, cache: Any, grads: Arena, ops: ModuleType) -> Array | None:
        if self.output not in douts:
            return None
        pool, drop, linear = cache
        dy, _, _ = ops.linear_backward(
            douts[self.output], linear, grads[f"{self.classifier}.weight"], grads[f"{self.classifier}.bias"]
        )
        return self.pooler.backward({"pooler_output": ops.dropout_backward(dy, drop)}, pool, grads, ops)

    def counts(self, batch: Batch, config: ModelConfig) -> dict[str, int]:
        return {"classification": classification_count(target(batch, self.labels), config)}

    def losses(self, outputs: Outputs, batch: Batch, config: ModelConfig) -> dict[str, HeadLoss]:
        logits, labels = outputs[self.output], target(batch, self.labels)
        kind = problem_type(labels, config)
        if kind == "single_label_classification":
            loss = cross_entropy(logits, labels)
        elif labels.size != logits.size:
            raise InputError(
                f"labels have shape {list(labels.shape)}, the model's outputs {list(logits.shape)}"
            )
        else:
            wanted = labels.reshape(logits.shape).astype(logits.dtype)
            if kind == "multi_label_classification":
                loss = binary_cross_entropy(logits, wanted)
            else:
                loss = mean_squared_error(logits.reshape(-1), wanted.reshape(-1))
        return {
            "classification": HeadLoss(loss.sum, loss.count, {self.output: loss.grad.reshape(logits.shape)})
        }


@dataclass(frozen=True)
class NextSentenceHead(SequenceHead):
    """Does the second sentence follow the first? Two scores, no dropout."""

    classifier: str = "cls.seq_relationship"

    def num_outputs(self, config: ModelConfig) -> int:
        return 2

    def dropout_rate(self, config: ModelConfig) -> float:
        return 0.0

    def counts(self, batch: Batch, config: ModelConfig) -> dict[str, int]:
        return {"next_sentence": int((target(batch, self.labels) != IGNORE_INDEX).sum())}

    def losses(self, outputs: Outputs, batch: Batch, config: ModelConfig) -> dict[str, HeadLoss]:
        loss = cross_entropy(outputs[self.output], target(batch, self.labels))
        return {"next_sentence": HeadLoss(loss.sum, loss.count, {self.output: loss.grad})}
