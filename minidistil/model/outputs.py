"""Outputs of a model that is called with arrays."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from minidistil.arguments import Named
from minidistil.arrays import Array
from minidistil.batch import Batch


class NamedOutputs(Named):
    """Outputs of a packed batch by name."""

    what = "output"


class ModelOutput(dict[str, Any]):
    """Outputs by name, as attributes, by index: `out["logits"]`, `out.logits`, `loss, logits = out[:2]`.

    Arrays have the rectangular form: [B, L, ...] for tokens (zeros where there is no token), [B, ...] for
    sequences. `hidden_states` is a tuple of L + 1 arrays [B, L, H], the embeddings first; `attentions` a
    tuple of arrays [B, A, L, L], one a layer; `taps` a dict of arrays by the names of docs/taps.md.

    Parameters
    ----------
    values : mapping, optional
    beside : collection of str
        Outputs that transformers does not give: they have a name, and no index.
    """

    def __init__(self, values: Mapping[str, Any] | None = None, *, beside: Collection[str] = ()) -> None:
        super().__init__(values or {})
        self._beside = frozenset(beside)

    def __getitem__(self, key: str | int | slice) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def to_tuple(self) -> tuple[Any, ...]:
        """Outputs in the order of transformers: loss if there is one, scores, hidden states, attentions."""
        return tuple(value for name, value in self.items() if name not in self._beside)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            have = ", ".join(self)
            raise AttributeError(f"this output has no {name!r}; it has: {have}") from None

    def __repr__(self) -> str:
        return f"ModelOutput({', '.join(f'{name}={_shape(value)}' for name, value in self.items())})"

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]


def _shape(value: Any) -> str:
    """Dtype and shape of an output, or of the first of several."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    if isinstance(value, Mapping):
        return f"{len(value)} by name"
    if isinstance(value, tuple) and value:
        return f"{len(value)} of {_shape(value[0])}"
    return f"{value!r:.60}"


def unpack_attention(maps: list[Array], batch: Batch) -> Array:
    """B maps [A, L, L] -> one array [B, A, width, width], zero where there is no token."""
    heads = len(maps[0]) if maps else 0
    out = np.zeros((len(maps), heads, batch.width, batch.width), maps[0].dtype if maps else np.float32)
    for b, p in enumerate(maps):
        columns = batch.columns[batch.cu_seqlens[b] : batch.cu_seqlens[b + 1]]
        out[b][:, columns[:, None], columns] = p
    return out
