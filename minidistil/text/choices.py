"""Examples of several sequences each, such as the choices of a question."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.arrays import check_bounds, check_field
from minidistil.batch import Batch
from minidistil.text.dataset import Dataset, check_targets, rows_at


@dataclass(frozen=True, eq=False)
class MultipleChoiceDataset:
    """N examples over the sequences of a dataset.

    Attributes
    ----------
    sequences : Dataset
        Of all examples, end to end. What is random is keyed by their ids.
    offsets : int64 [N + 1]
        Example i is the sequences from `offsets[i]` up to `offsets[i + 1]`, at least one.
    targets : mapping of str to array [N, ...]
        A row for each example.
    """

    sequences: Dataset
    offsets: npt.NDArray[np.int64]
    targets: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_field("MultipleChoiceDataset", "offsets", self.offsets, np.int64)
        # Each example has at least one sequence, and each sequence an example.
        check_bounds("MultipleChoiceDataset", "offsets", self.offsets, len(self.sequences))
        check_targets(self.targets, len(self), "examples")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """int64 [N]: tokens in each example, all its sequences together."""
        ends = np.append(0, np.cumsum(self.sequences.lengths))
        return np.diff(ends[self.offsets])

    def batch(self, indices: npt.ArrayLike) -> Batch:
        """The examples at `indices`, packed, with `cu_choices` and their rows of every target."""
        rows = rows_at(indices, len(self))
        sizes = np.diff(self.offsets)[rows]
        cu = np.append(0, np.cumsum(sizes))  # int64
        # Sequence j of the batch is sequence j - cu[i] of its example i, which began at offsets[rows[i]].
        members = np.arange(cu[-1]) + np.repeat(self.offsets[rows] - cu[:-1], sizes)
        batch = replace(self.sequences.batch(members), cu_choices=cu)
        return batch.with_targets(**{name: values[rows] for name, values in self.targets.items()})

    def content_hash(self) -> str:
        """SHA-256 over sequences, groups and targets."""
        digest = hashlib.sha256(self.sequences.content_hash().encode())
        for name, values in [("offsets", self.offsets), *sorted(self.targets.items())]:
            little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
            digest.update(f"{name} {little.dtype.str} {little.shape}\n".encode())
            digest.update(little.tobytes())
        return digest.hexdigest()
