"""Checks of what a loss is given: targets of a batch, and outputs of its size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.arguments import did_you_mean
from minidistil.arrays import Array
from minidistil.batch import Batch
from minidistil.config import ModelConfig
from minidistil.errors import InputError
from minidistil.losses import IGNORE_INDEX


def target(batch: Batch, name: str) -> npt.NDArray[Any]:
    """A target of the batch, or an error that says which are there."""
    if name not in batch.targets:
        have = ", ".join(sorted(batch.targets)) or "none"
        raise InputError(f"the loss of this model needs {name!r}; the batch has: {have}")
    return np.asarray(batch.targets[name])


def integer_target(batch: Batch, name: str, rows: int) -> npt.NDArray[Any]:
    """A target of the batch, if it holds `rows` integers.

    Raises
    ------
    InputError
        Naming it.
    """
    values = target(batch, name)
    if values.shape != (rows,) or (rows and values.dtype.kind not in "iu"):
        raise InputError(
            f"{name} must be integers of shape [{rows}], not {values.dtype} {list(values.shape)}"
        )
    return values


def class_target(batch: Batch, name: str, rows: int, classes: int) -> npt.NDArray[Any]:
    """A target of the batch, if it holds `rows` classes, from 0 to `classes` - 1 or -100 for none.

    Raises
    ------
    InputError
        Naming it, and the first label that is none.
    """
    values = integer_target(batch, name, rows)
    bad = np.flatnonzero((values != IGNORE_INDEX) & ((values < 0) | (values >= classes)))
    if len(bad):
        raise InputError(
            f"{name}: label {values[bad[0]]} at index {bad[0]} is out of range: expected 0 to {classes - 1}, "
            f"or {IGNORE_INDEX} for a row without a label"
        )
    return values


def output_of(outputs: Mapping[str, Any], name: str, rows: int) -> Array:
    """An output of `rows` rows, or an InputError."""
    if name not in outputs:
        raise InputError(f"the loss is of the output {name!r}{did_you_mean(name, outputs)}")
    values: Array = outputs[name]
    if len(values) != rows:
        raise InputError(f"the output {name!r} has {len(values)} rows, and the batch {rows}")
    return values


def problem_type(labels: npt.NDArray[Any], config: ModelConfig) -> str:
    """Problem that a sequence classifier learns.

    Left open by the config, the labels decide, as in transformers: one output is regression, integer labels
    are classes, float labels are many yes-or-no labels.
    """
    if config.problem_type is not None:
        return config.problem_type
    if config.num_labels == 1:
        return "regression"
    return (
        "single_label_classification"
        if np.issubdtype(labels.dtype, np.integer)
        else "multi_label_classification"
    )
