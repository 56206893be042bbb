"""Context of one forward pass and of its way back: what every module computes on, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array
from minidistil.batch import Batch
from minidistil.config import ModelConfig
from minidistil.model.taps import Taps
from minidistil.ops.dropout import Dropout, Mask
from minidistil.parameters import Parameters

# Sites of dropout; with (seed, step, layer) they name a mask.
EMBEDDING_SITE, ATTENTION_SITE, ATTENTION_OUTPUT_SITE, OUTPUT_SITE, HEAD_SITE, POOLER_SITE = range(6)


class Cache(NamedTuple):
    """All that `backward` of a model needs of a forward pass.

    Attributes
    ----------
    batch : Batch
    kind : type
        Class of the model.
    config : ModelConfig
    dtype : dtype
        Of the model's parameters.
    layers, heads : list
        Caches of the embeddings, of each layer and of each head.
    shapes : mapping of str to tuple of int
        Of the outputs that may have a gradient, "last_hidden_state" the first.
    """

    batch: Batch
    kind: type
    config: ModelConfig
    dtype: npt.DTypeLike
    layers: list[Any]
    heads: list[Any]
    shapes: Mapping[str, tuple[int, ...]]


@dataclass(slots=True)
class Context:
    """Forward context: the batch, the backend, and the settings of a pass.

    Attributes
    ----------
    batch : Batch
    config : ModelConfig
    ops : module
        `minidistil.ops` (NumPy) or `minidistil.kernels` (Numba).
    params : Parameters
    grads : Parameters or None
        Gradients, to which the backward pass adds.
    dropout : Dropout or None
        The masks of this optimiser step; None in evaluation mode.
    logits : bool
        False: a masked-LM head stops before the vocabulary, and its loss goes on from there in chunks.
    needs_backward : bool
        A backward pass will follow. False saves memory.
    cls_only : bool
        The last layer has a row for the first token of each sequence alone, [B, H].
    layer : int
        Number of the layer that computes, counted from 0; as many as there are layers above them.
    qkv : list or None
        Queries, keys and values of each layer [T, 3H] are put here.
    dqkv : mapping of int to array
        By layer, a gradient [T, 3H] that they have from an objective which compares them.
    bias, dbias : [A, 2N - 1] or None
        What attention adds to its scores by distance, the same in all layers, and the gradient of that, to
        which the layers add; see `RelativeBias`.
    taps : Taps or None
        Modules put numbers here that somebody wants to see; see `minidistil.model.taps`.
    """

    batch: Batch
    config: ModelConfig
    ops: ModuleType
    params: Parameters
    grads: Parameters | None = None
    dropout: Dropout | None = None
    logits: bool = True
    needs_backward: bool = True
    cls_only: bool = False
    layer: int = 0
    qkv: list[Array] | None = None
    dqkv: Mapping[int, Array] = field(default_factory=dict)
    bias: Array | None = None
    dbias: Array | None = None
    taps: Taps | None = None

    def part(self, name: str) -> str:
        """Part of the present layer, as the names of taps begin: "layer.3.attention"."""
        return f"layer.{self.layer}.{name}"

    def gradients(self, *names: str) -> list[Array]:
        """Arrays that the gradients of parameters are added to."""
        assert self.grads is not None
        return self.grads.arrays(*names)

    def token_mask(self, rate: float, site: int) -> Mask | None:
        """The dropout mask of one site over all T tokens, or None in evaluation mode."""
        if self.dropout is None:
            return None
        batch = self.batch
        return self.dropout.mask(
            rate, self.layer, site, batch.example_ids[batch.sequence_ids], batch.token_index
        )

    def sequence_mask(self, rate: float, site: int = HEAD_SITE) -> Mask | None:
        """Dropout of pooled vectors [B, H]: keyed like the first token of each sequence."""
        if self.dropout is None:
            return None
        first = np.zeros(self.batch.num_sequences, np.int32)
        return self.dropout.mask(rate, self.layer, site, self.batch.example_ids, first)
