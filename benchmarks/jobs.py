"""One engine at one workload: what is timed, and what must agree before it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.padding import unpad
from benchmarks.workloads import Array, Examples, Workload

CHECKED_STEPS = 3
# Of the word table, only some rows that a text uses: it is large, and peak memory is measured too.
CHECKED_ROWS = slice(1000, 3000)


class Job(ABC):
    """`run` is timed. `notes` says what an engine chose for itself."""

    notes: dict[str, str]

    def __init__(self, workload: Workload, batches: Sequence[Examples]) -> None:
        self.workload, self.batches, self.notes = workload, batches, {}

    @abstractmethod
    def run(self) -> None:
        """Once over all batches."""

    @abstractmethod
    def check(self) -> dict[str, Array]:
        """Tensors that all engines must agree on. Comes before `run`."""


class ForwardJob(Job):
    """A forward pass over every batch."""

    @abstractmethod
    def forward(self, sequences: Sequence[Array]) -> dict[str, Any]:
        """The model's outputs by name, from token ids: forming the batch is part of the time."""

    @abstractmethod
    def arrays(self, outputs: dict[str, Any]) -> dict[str, Array]:
        """The same as NumPy arrays; per token either packed [T, H] or padded [B, L, H]."""

    def run(self) -> None:
        for examples in self.batches:
            self.forward(examples.sequences)

    def check(self) -> dict[str, Array]:
        found: dict[str, list[Array]] = {}
        for examples in self.batches:
            for name, array in self.arrays(self.forward(examples.sequences)).items():
                rows = unpad(array, examples.sequences) if array.ndim == 3 else array
                found.setdefault(name, []).append(rows.copy())
        return {name: np.concatenate(parts) for name, parts in found.items()}


class TextJob(Job):
    """From texts to scores: tokens are part of the time, batches are sorted by length, results are not."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload, [])
        self.texts = workload.texts()

    @abstractmethod
    def scores(self) -> dict[str, Array]:
        """Scores of all texts, in their order; of answers for every token of every window."""

    def run(self) -> None:
        self.scores()

    def check(self) -> dict[str, Array]:
        return self.scores()


class TrainJob(Job):
    """An optimiser step on every batch."""

    @abstractmethod
    def step(self, examples: Examples, *, dropout: bool) -> float:
        """Forward, backward, clipping, AdamW. Returns the loss."""

    @abstractmethod
    def gradient(self, name: str) -> Array:
        """Gradient of a parameter in the last step, clipped."""

    def run(self) -> None:
        for examples in self.batches:
            self.step(examples, dropout=True)

    def check(self) -> dict[str, Array]:
        """Clipped gradients of the first step; the losses of some, which the optimiser has a part in."""
        found: dict[str, Array] = {}
        losses = []
        for i in range(CHECKED_STEPS):
            losses.append(self.step(self.batches[i % len(self.batches)], dropout=False))
            if i == 0:
                for name in self.workload.gradients:
                    gradient = self.gradient(name)
                    rows = gradient[CHECKED_ROWS] if "word_embeddings" in name else gradient
                    found[f"gradient of {name}"] = rows.copy()
        return {"losses": np.array(losses), **found}
