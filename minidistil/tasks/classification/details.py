"""Details of an evaluation of classes, of several labels, and of numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil import metrics
from minidistil.arrays import Bool, Float64, Int64
from minidistil.tasks.classification.scores import Problem
from minidistil.tasks.details import THRESHOLDS, Details, answered_above, line_of, nats
from minidistil.text.readers import Examples

Describe = Callable[[int], Mapping[str, Any]]


def answer_details(
    details: Details,
    problem: Problem,
    scores: Float64,
    targets: npt.NDArray[Any],
    names: Sequence[str],
    examples: Examples,
) -> None:
    """Add the details of answers to texts, or to pairs of texts.

    Parameters
    ----------
    details : Details
    problem : {"single", "multi", "regression"}
    scores : float64 [N, C]
        Of `answer_scores`.
    targets : array [N], or [N, C] of several labels
        As of `ClassificationTask.targets`.
    names : sequence of str
        Of the C classes.
    examples : Examples
    """

    def describe(i: int) -> dict[str, Any]:
        texts = {"text": examples.texts[i]}
        if examples.pairs is not None:
            texts["second text"] = examples.pairs[i]
        return {**line_of(examples, i), "texts": texts}

    if problem == "single":
        class_details(details, targets, scores, names, describe)
    elif problem == "multi":
        _label_details(details, targets > 0.5, scores, names, describe)
    else:
        _number_details(details, targets, scores.reshape(-1), describe)


def class_details(
    details: Details, labels: Int64, probabilities: Float64, names: Sequence[str], describe: Describe
) -> None:
    """Add losses, calibration and thresholds of N examples with one of C classes.

    Parameters
    ----------
    details : Details
    labels : int64 [N]
    probabilities : float64 [N, C]
    names : sequence of str
        Of the C classes.
    describe : callable
        Facts about an example, see `Details.keep_worst`.
    """
    chosen = probabilities.argmax(1)
    confidence, correct = probabilities.max(1), chosen == labels
    details.keep_worst(
        nats(probabilities[np.arange(len(labels)), labels]),
        lambda i: {
            **describe(i),
            "right": names[labels[i]],
            "given": names[chosen[i]],
            "probability": float(confidence[i]),
        },
        measure="loss (nats)",
        about="Minus the logarithm of the probability that the model gives to the right class.",
    )
    details.found["calibration"] = [row._asdict() for row in metrics.calibration_bins(labels, probabilities)]
    details.found["thresholds"] = answered_above(confidence, correct)


def _label_details(
    details: Details, right: Bool, probabilities: Float64, names: Sequence[str], describe: Describe
) -> None:
    """Add losses and thresholds of several labels, [N, C]."""

    def listed(row: Bool) -> str:
        return ", ".join(name for name, there in zip(names, row.tolist(), strict=True) if there) or "none"

    details.keep_worst(
        nats(np.where(right, probabilities, 1 - probabilities)).sum(1),
        lambda i: {**describe(i), "right": listed(right[i]), "given": listed(probabilities[i] >= 0.5)},
        measure="loss (nats)",
        about="Minus the logarithm of the probability of being right about a label, summed over labels.",
    )
    rows = []
    for threshold in THRESHOLDS:
        chosen = probabilities >= threshold
        hits, given, there = int((right & chosen).sum()), int(chosen.sum()), int(right.sum())
        rows.append(
            {
                "threshold": threshold,
                "precision": hits / given if given else None,
                "recall": hits / there if there else None,
                "f1": 2 * hits / (given + there) if given + there else None,
            }
        )
    details.found["thresholds"] = rows


def _number_details(details: Details, targets: npt.NDArray[Any], values: Float64, describe: Describe) -> None:
    details.keep_worst(
        (values - targets) ** 2,
        lambda i: {**describe(i), "right": float(targets[i]), "given": float(values[i])},
        measure="squared error",
        about="Square of the difference between the right number and the model's.",
    )
