"""Class weights: a loss against labels in which rare classes count for more."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minidistil.batch import Batch
from minidistil.errors import ConfigError
from minidistil.losses import IGNORE_INDEX, cross_entropy
from minidistil.model.heads import Head, Losses
from minidistil.model.model import Model
from minidistil.model.targets import class_target
from minidistil.parameters import Parameters

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
        Labels of the training, -100 where there is none.
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
        self, outputs: dict[str, Any], batch: Batch, scales: Mapping[str, float], grads: Parameters
    ) -> Losses:
        """The terms of the loss, as `Model.losses` gives them."""
        if self.class_weights is None:
            return self.model.losses(outputs, batch, scales, grads)
        (term,) = scales
        loss = cross_entropy(outputs["logits"], self._classes(batch), class_weights=self.class_weights)
        return Losses({term: loss.sum}, {"logits": loss.grad * scales[term]})

    def _classes(self, batch: Batch) -> npt.NDArray[Any]:
        """Labels of the rows of scores, if they are classes."""
        (head,) = self.model.heads
        return class_target(batch, "labels", head.num_score_rows(batch), len(head.classes()))
