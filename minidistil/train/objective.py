"""Interfaces of a model, training data and an objective as the trainer sees them, and checks of them.

`ModelLoss` is the objective of plain fine-tuning.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence, Set
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_type, did_you_mean
from minidistil.batch import Batch
from minidistil.errors import ConfigError, DataError, InputError, UsageError
from minidistil.losses import IGNORE_INDEX, cross_entropy
from minidistil.model.checks import class_target
from minidistil.model.heads import Head
from minidistil.model.model import Model
from minidistil.model.terms import Losses, check_all_given, checked_counts, described
from minidistil.ops.dropout import Dropout
from minidistil.parameters import Parameters
from minidistil.text.corpus.chunks import Sequences
from minidistil.text.dataset import Dataset
from minidistil.train.class_weights import checked
from minidistil.train.settings import TrainSettings

# Settings that say what is written down, not what is computed: they may change between stop and resume.
BOOKKEEPING = ("save_every", "keep", "log_every")


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
    longest, room = int(sequences.lengths.max(initial=0)), model.config.max_sequence_length
    if longest > room:
        raise InputError(
            f"{what} takes {room} tokens, and the texts have up to {longest}: cut them, as "
            f"data.max_length={room} does"
        )


def check_training(
    dataset: Any, settings: TrainSettings, out: Any, evaluate: Any, on_step: Any = None
) -> None:
    """Refuse arguments of another type, data without examples, and `keep_best` without what it needs."""
    check_type("settings", settings, TrainSettings)
    if not (hasattr(dataset, "lengths") and hasattr(dataset, "batch")):
        raise UsageError(
            f"training needs a Dataset, not {type(dataset).__name__}: Dataset.from_texts makes one of texts"
        )
    if evaluate is not None and not callable(evaluate):
        raise UsageError(f"evaluate must be a function that gives metrics, not {evaluate!r:.60}")
    if on_step is not None and not callable(on_step):
        raise UsageError(f"on_step must be a function of a Step, not {on_step!r:.60}")
    if out is not None:
        check_type("out", out, (str, os.PathLike))
    if len(dataset) == 0:
        raise DataError("there is nothing to train on: the dataset has no examples")
    if settings.keep_best is not None and (evaluate is None or out is None):
        raise ConfigError("keep_best needs an evaluation to compare by and an output directory to save to")


def check_learner(model: Any, objective: Any, dataset: TrainingData) -> None:
    """Refuse what is no model or no objective, and data too long for the model or its teacher."""
    if not hasattr(model, "params"):
        raise UsageError(f"the model to train must be a Model, not {type(model).__name__}: {model!r:.60}")
    if not callable(objective) or not callable(getattr(objective, "counts", None)):
        raise UsageError(f"the objective must be one, such as ModelLoss(model), not {objective!r:.60}")
    weights, name = getattr(objective, "weights", None), type(objective).__name__
    if not isinstance(weights, Mapping):
        raise UsageError(
            f"{name}.weights must give the weight of each term, such as {{'mine': 1.0}}, not "
            f"{described(weights)}"
        )
    for term, weight in weights.items():
        if not (isinstance(weight, Real) and np.isfinite(float(weight))):
            raise UsageError(f"{name}.weights: the weight of {term!r} must be a number, not {weight!r:.60}")
    if isinstance(model, Model):
        check_positions(dataset, model)
        if (teacher := getattr(objective, "teacher", None)) is not None:
            check_positions(dataset, teacher, "the teacher")


def window_counts(objective: Objective, batches: Sequence[Batch]) -> dict[str, float]:
    """Count, or weight, that each term averages over in a window.

    Raises
    ------
    UsageError
        Counts that are none, or a weight for a term that is not counted.
    """
    counts: dict[str, float] = {}
    name = type(objective).__name__
    for batch in batches:
        for term, count in checked_counts(name, objective.counts(batch)).items():
            counts[term] = counts.get(term, 0.0) + count
    for term in objective.weights:
        if term not in counts:
            raise UsageError(
                f"{name} has a weight for the term {term!r}, which its counts lack"
                f"{did_you_mean(term, counts)}"
            )
    return counts


def window_losses(
    objective: Objective, sums: Mapping[str, float], counts: Mapping[str, float]
) -> dict[str, float]:
    """Mean of each term that has items in a window, and their weighted sum, "loss"; empty if none has."""
    check_all_given(type(objective).__name__, sums, counts)
    losses = {term: sums[term] / count for term, count in counts.items() if count}
    if losses:
        losses["loss"] = sum(objective.weights.get(term, 1.0) * value for term, value in losses.items())
    return losses


class Objective(Protocol):
    """A weighted sum of terms, each a mean over something: L = sum_k weight_k * S_k / count_k.

    What a term averages over (sequences, tokens, masked tokens) is counted before the forward pass, so that
    the trainer knows the count over the whole accumulation window when it asks for the first gradient. Every
    term is counted in every batch, with 0 where it has no item.
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


class LabelLoss:
    """A model's own loss against the labels of a batch, in which a class may have a weight.

    With weights the mean is over the weights of the labels, as that of PyTorch's
    `CrossEntropyLoss(weight=...)`.

    Parameters
    ----------
    model : Model
    class_weights : float [C], optional

    Raises
    ------
    ConfigError
        Weights for a model that does not choose one of several classes, or weights that do not fit it.
    """

    def __init__(self, model: Model, class_weights: npt.ArrayLike | None = None) -> None:
        self.model, self.class_weights = model, None
        if class_weights is None:
            return
        head = model.heads[0] if len(model.heads) == 1 else Head()
        classes, problem = head.classes(), model.config.problem_type
        single = len(classes) > 1 and problem in (None, "single_label_classification")
        if not (single or (classes and head.by_token)):
            raise ConfigError("class weights are for classifiers that choose one of several classes")
        self.class_weights = checked(class_weights, len(classes))

    def counts(self, batch: Batch) -> dict[str, float]:
        """Items that each term averages over, or the sum of their weights."""
        counts: dict[str, float] = dict(self.model.loss_counts(batch))
        if self.class_weights is None:
            return counts
        labels = self._classes(batch)
        return dict.fromkeys(counts, float(self.class_weights[labels[labels != IGNORE_INDEX]].sum()))

    def losses(
        self, outputs: dict[str, Any], batch: Batch, scales: Mapping[str, float], grads: Parameters | None
    ) -> Losses:
        """The terms of the loss, as `Model.losses` gives them."""
        if self.class_weights is None:
            return self.model.losses(outputs, batch, scales, grads)
        (term,) = scales
        loss = cross_entropy(outputs["logits"], self._classes(batch), class_weights=self.class_weights)
        return Losses({term: loss.sum}, {"logits": loss.grad * scales[term]}, {term: loss.count})

    def _classes(self, batch: Batch) -> npt.NDArray[Any]:
        """Labels of the rows of scores, if they are classes."""
        (head,) = self.model.heads
        return class_target(batch, "labels", head.num_score_rows(batch), len(head.classes()))


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

    def __repr__(self) -> str:
        terms = ", ".join(f"{term} {weight:g}" for term, weight in self.weights.items())
        return f"ModelLoss({terms}{', ' if terms else ''}class_weights={self.labels.class_weights!r:.60})"

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


def fingerprint(
    settings: TrainSettings,
    objective: Objective,
    dataset: TrainingData,
    model: Trainable,
    identity: Mapping[str, Any],
) -> dict[str, Any]:
    """Identity of a run, equal for all its checkpoints: settings, data, first weights."""
    params = model.params
    labels = getattr(objective, "labels", None)
    if labels is not None and labels.class_weights is not None:
        identity = {"class weights": labels.class_weights.tolist(), **identity}
    return {
        "settings": {k: v for k, v in dataclasses.asdict(settings).items() if k not in BOOKKEEPING},
        "objective": {"kind": type(objective).__name__, "weights": dict(objective.weights)},
        "data": {"examples": len(dataset), "sha256": dataset.content_hash()},
        "model": {
            "config": model.config.to_dict(),
            "backend": model.backend.name,
            "dtype": params.dtype.name,
            "layout": hashlib.sha256(repr([(s.name, s.shape) for s in params.specs]).encode()).hexdigest(),
            "frozen": sorted(model.frozen),
            "first weights": hashlib.sha256(params.flat.data).hexdigest(),
        },
        **identity,
    }
