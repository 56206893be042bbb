"""The rectangular form that the peers take: padded to the longest sequence of the batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.workloads import Array


def pad(sequences: Sequence[Array]) -> tuple[Array, Array | None]:
    """Ids [B, L] and attention mask [B, L], both int64; no mask where nothing is padded."""
    lengths = np.array([len(s) for s in sequences])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate(sequences)
    return ids, None if mask.all() else mask.astype(np.int64)


def unpad(padded: Array, sequences: Sequence[Array]) -> Array:
    """[B, L, ...] -> [T, ...]: real tokens only."""
    return np.concatenate([row[: len(s)] for row, s in zip(padded, sequences, strict=True)])
