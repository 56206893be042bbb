"""Interfaces of a model, of training data and of an objective, as the trainer sees them."""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from minidistil.batch import Batch
from minidistil.errors import InputError
from minidistil.ops.dropout import Dropout
from minidistil.parameters import Parameters
from minidistil.text.corpus.chunks import Sequences
from minidistil.text.dataset import Dataset
from minidistil.train.class_weights import LabelLoss

if TYPE_CHECKING:
    from minidistil.model.model import Model


class Trainable(Protocol):
    """A model as the trainer sees it: parameters, the backend that updates them, and how to save it."""

    @property
    def config(self) -> Any: ...
    @property
    def params(self) -> Parameters: ...
    @property
    def backend(self) -> ModuleType: ...
    @property
    def frozen(self) -> Set[str]: ...
    def save_pretrained(self, path: Path) -> None: ...
    def mark_trained(self) -> None: ...


class TrainingData(Protocol):
    """Examples that can be counted, measured and packed."""

    @property
    def lengths(self) -> npt.NDArray[np.integer[Any]]:
        """[N]: tokens of each example."""
        ...

    def __len__(self) -> int: ...
    def batch(self, indices: npt.NDArray[np.int64]) -> Batch: ...
    def content_hash(self) -> str: ...


@runtime_checkable
class EpochData(Protocol):
    """Training data whose batches differ from epoch to epoch, as random masks do.

    `for_epoch` gives the data of an epoch, counted from 0: a function of the epoch alone, so that a resumed
    run meets the same batches. Lengths, number and content hash are the same for every epoch.
    """

    def for_epoch(self, epoch: int) -> TrainingData: ...


def data_of_epoch(dataset: TrainingData, epoch: int) -> TrainingData:
    """Data that the trainer takes batches from in an epoch: mostly the data itself."""
    return dataset.for_epoch(epoch) if isinstance(dataset, EpochData) else dataset


def check_positions(data: TrainingData, model: Model, what: str = "the model") -> None:
    """Refuse data of which some sequence has more tokens than a model, called `what`, has positions.

    Raises
    ------
    InputError
        There is one.
    """
    sequences = getattr(data, "sequences", data)  # of choices and of masked words they stand behind
    if not isinstance(sequences, Dataset | Sequences):
        return  # an example of other data may be several sequences: the model looks at each batch
    longest, room = int(sequences.lengths.max(initial=0)), model.config.max_position_embeddings
    if longest > room:
        raise InputError(
            f"{what} takes {room} tokens, and the texts have up to {longest}: cut them, as "
            f"data.max_length={room} does"
        )


class Objective(Protocol):
    """A weighted sum of terms, each a mean over something: L = sum_k weight_k * S_k / count_k.

    What a term averages over (sequences, tokens, masked tokens) is counted before the forward pass, so that
    the trainer knows the count over the whole accumulation window when it asks for the first gradient.
    """

    @property
    def weights(self) -> Mapping[str, float]:
        """Weight of each term; 1 for a term that is not named."""
        ...

    def counts(self, batch: Batch) -> Mapping[str, float]:
        """Number of items, or their weight, that each term averages over in this micro-batch."""
        ...

    def __call__(
        self,
        model: Any,
        batch: Batch,
        totals: Mapping[str, float],
        dropout: Dropout | None,
        grads: Parameters,
    ) -> Mapping[str, float]:
        """Add the gradient of sum_k weight_k * S_k / totals_k to `grads`; return the sums S_k.

        Parameters
        ----------
        model
            The model in training.
        batch : Batch
            One micro-batch.
        totals : mapping of str to float
            Count of each term over the window; 1 in place of 0, so that dividing is safe for a term that
            nothing counts for.
        dropout : Dropout or None
            The masks of this optimiser step; None for no dropout.
        grads : Parameters
            Gradients of the window so far.
        """
        ...


class ModelLoss:
    """The loss of a model's own heads against the labels in the batch: plain fine-tuning.

    Parameters
    ----------
    model : Model
    weights : mapping of str to float, optional
        For a model with two heads, such as pre-training's "masked_lm" and "next_sentence".
    class_weights : float [C], optional
        Of a classifier of sequences or tokens, see `minidistil.train.class_weights`.
    """

    def __init__(
        self,
        model: Model,
        weights: Mapping[str, float] | None = None,
        *,
        class_weights: npt.ArrayLike | None = None,
    ) -> None:
        self.weights = dict(weights or {})
        self.labels = LabelLoss(model, class_weights)

    def counts(self, batch: Batch) -> dict[str, float]:
        return self.labels.counts(batch)

    def __call__(
        self,
        model: Model,
        batch: Batch,
        totals: Mapping[str, float],
        dropout: Dropout | None,
        grads: Parameters,
    ) -> Mapping[str, float]:
        outputs, cache = model.forward(batch, dropout=dropout, logits=False)
        scales = {term: self.weights.get(term, 1.0) / total for term, total in totals.items()}
        losses = self.labels.losses(outputs, batch, scales, grads)
        model.backward(losses.douts, cache, grads)
        return losses.sums
