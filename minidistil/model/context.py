"""One forward pass, as every part of a model sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.batch import Batch
from minidistil.config import ModelConfig
from minidistil.ops.dropout import Dropout, Mask

# Sites where a layer drops something; with (seed, step, layer) they name a mask.
EMBEDDING_SITE, ATTENTION_SITE, ATTENTION_OUTPUT_SITE, OUTPUT_SITE, HEAD_SITE = range(5)


class Cache(NamedTuple):
    """All that `Model.backward` needs of a forward pass.

    Attributes
    ----------
    batch : Batch
    kind : type
        Class of the model.
    config : ModelConfig
    dtype : dtype
        Of the model's parameters.
    layers, heads : list
        What each layer, the embeddings before them, and each head kept.
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


@dataclass(frozen=True)
class Run:
    """What is computed on, and how.

    Attributes
    ----------
    batch : Batch
    config : ModelConfig
    ops : module
        `minidistil.ops` (NumPy) or `minidistil.kernels` (Numba).
    dropout : Dropout or None
        The masks of this optimiser step; None in evaluation mode.
    logits : bool
        False: a masked-LM head stops before the vocabulary, and its loss goes on from there in chunks.
    learns : bool
        Whether a backward pass will follow.
    firsts : bool
        Whether the last layer has a row for the first token of each sequence alone, [B, H].
    """

    batch: Batch
    config: ModelConfig
    ops: ModuleType
    dropout: Dropout | None = None
    logits: bool = True
    learns: bool = True
    firsts: bool = False

    def token_mask(self, rate: float, layer: int, site: int) -> Mask | None:
        """The dropout mask of one site over all T tokens, or None in evaluation mode."""
        if self.dropout is None:
            return None
        batch = self.batch
        return self.dropout.mask(rate, layer, site, batch.example_ids[batch.sequence_ids], batch.token_index)

    def sequence_mask(self, rate: float) -> Mask | None:
        """Dropout of pooled vectors [B, H], above all layers: keyed like the first token of each sequence."""
        if self.dropout is None:
            return None
        first = np.zeros(self.batch.num_sequences, np.int32)
        return self.dropout.mask(
            rate, self.config.num_hidden_layers, HEAD_SITE, self.batch.example_ids, first
        )
