"""Weights of classes: a rare class can count for more in the loss than its examples would."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minidistil.batch import Batch
from minidistil.errors import ConfigError
from minidistil.losses import IGNORE_INDEX, Loss, cross_entropy
from minidistil.model.model import Model
from minidistil.model.targets import class_target

Given = Literal["balanced"] | Mapping[str, float] | None


def class_weights(
    given: Literal["balanced"] | Mapping[str, float], labels: npt.NDArray[Any], names: Sequence[str]
) -> npt.NDArray[np.float64]:
    """The weight of each class.

    Parameters
    ----------
    given : "balanced" or mapping of str to float
        "balanced": N / (C n_c), for N labels of which n_c are of class c, so that all classes weigh alike
        together and a label weighs 1 in the mean. Or a weight for each name; 1 for those not named.
    labels : int [N]
        What is learnt from, with -100 where there is no label.
    names : sequence of str
        Of the C classes.

    Returns
    -------
    float64 [C]

    Raises
    ------
    ConfigError
        A name that no class has, a weight below 0.
    """
    if isinstance(given, Mapping):
        for name in given.keys() - set(names):
            near = difflib.get_close_matches(name, names, 1, 0.5)
            hint = f" (did you mean {near[0]}?)" if near else f"; there are: {', '.join(names[:8])}"
            raise ConfigError(f"train.class_weights: there is no class {name!r}{hint}")
        return checked(np.array([given.get(name, 1.0) for name in names]), len(names))
    counts = np.bincount(labels[labels != IGNORE_INDEX], minlength=len(names))
    # A class without examples has no part in the loss, whatever its weight.
    weights: npt.NDArray[np.float64] = np.where(
        counts, counts.sum() / (len(names) * np.maximum(counts, 1)), 1.0
    )
    return weights


def checked(weights: npt.ArrayLike, classes: int) -> npt.NDArray[np.float64]:
    """Weights as an array, if there is one >= 0 for each class and not all are 0."""
    array = np.asarray(weights, np.float64)
    if array.shape != (classes,) or not np.isfinite(array).all() or (array < 0).any() or not array.any():
        raise ConfigError(
            f"class weights are {weights!r:.80}: expected {classes} numbers >= 0, not all of them 0"
        )
    return array


class WeightedClasses:
    """The cross-entropy of a classifier of sequences or tokens, with a weight for each class.

    Its mean is over the weights of the labels, as that of PyTorch's `CrossEntropyLoss(weight=...)`.

    Parameters
    ----------
    model : Model
    weights : float [C]

    Raises
    ------
    ConfigError
        A model that does not choose one of several classes, or weights that do not fit it.
    """

    def __init__(self, model: Model, weights: npt.ArrayLike) -> None:
        head = model.heads[0] if len(model.heads) == 1 else None
        classes = [] if head is None else head.classes()
        single = len(classes) > 1 and model.config.problem_type in (None, "single_label_classification")
        self.by_token = bool(classes) and head is not None and head.by_token
        if not (single or self.by_token):
            raise ConfigError("class weights are for classifiers that choose one of several classes")
        self.weights = checked(weights, len(classes))

    def labels(self, batch: Batch) -> npt.NDArray[Any]:
        rows = batch.num_tokens if self.by_token else batch.num_sequences
        return class_target(batch, "labels", rows, len(self.weights))

    def count(self, batch: Batch) -> float:
        """The sum of the weights of a batch's labels."""
        labels = self.labels(batch)
        return float(self.weights[labels[labels != IGNORE_INDEX]].sum())

    def __call__(self, logits: npt.NDArray[np.floating[Any]], batch: Batch) -> Loss:
        return cross_entropy(logits, self.labels(batch), class_weights=self.weights)
