"""Class weights, with which rare classes count for more in a loss against labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minidistil.arguments import did_you_mean
from minidistil.errors import ConfigError
from minidistil.losses import IGNORE_INDEX
from minidistil.text.dataset import Dataset


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
            raise ConfigError(f"train.class_weights: there is no class {name!r}{did_you_mean(name, names)}")
        return checked(np.array([given.get(name, 1.0) for name in names]), len(names))
    counts = np.bincount(labels[labels != IGNORE_INDEX], minlength=len(names))
    # A class without examples has no part in the loss, whatever its weight.
    weights: npt.NDArray[np.float64] = np.where(
        counts, counts.sum() / (len(names) * np.maximum(counts, 1)), 1.0
    )
    return weights


def class_weights_for(
    data: object, given: Literal["balanced"] | Mapping[str, float], names: Sequence[str]
) -> npt.NDArray[np.float64]:
    """As `class_weights`, for the labels of a dataset.

    Raises
    ------
    ConfigError
        It has no labels, or not one of several classes for each.
    """
    targets = {**data.targets, **data.token_targets} if isinstance(data, Dataset) else {}
    labels = targets.get("labels")
    if labels is None or labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ConfigError(
            "train.class_weights are for examples with one label of several, and need the labels"
        )
    return class_weights(given, labels, names)


def checked(weights: npt.ArrayLike, classes: int) -> npt.NDArray[np.float64]:
    """Weights as an array, if there is one >= 0 for each class and not all are 0."""
    array = np.asarray(weights, np.float64)
    if array.shape != (classes,) or not np.isfinite(array).all() or (array < 0).any() or not array.any():
        raise ConfigError(
            f"class weights are {weights!r:.80}: expected {classes} numbers >= 0, not all of them 0"
        )
    return array
