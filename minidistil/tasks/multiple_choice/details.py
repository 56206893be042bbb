"""Details of an evaluation of choices: examples with the highest loss, calibration, thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidistil import metrics
from minidistil.arrays import Array, Int64
from minidistil.tasks.details import Details, answered_above, line_of, nats
from minidistil.tasks.multiple_choice.swag import Choices


def choice_details(
    details: Details, examples: Choices, labels: Int64, probabilities: Sequence[Array]
) -> None:
    """Add the details of N examples.

    Parameters
    ----------
    details : Details
    examples : Choices
    labels : int64 [N]
        Index of the right choice.
    probabilities : sequence of float64 [C_i]
        Of the choices of each example.
    """
    chosen = np.array([int(row.argmax()) for row in probabilities])

    def describe(i: int) -> dict[str, Any]:
        texts = {"context": examples.contexts[i], "start": examples.starts[i]}
        return {
            **line_of(examples, i),
            "texts": {name: text for name, text in texts.items() if text},
            "right": examples.choices[i][labels[i]],
            "given": examples.choices[i][chosen[i]],
            "probability": float(probabilities[i][chosen[i]]),
        }

    details.keep_worst(
        nats([row[label] for row, label in zip(probabilities, labels, strict=True)]),
        describe,
        measure="loss (nats)",
        about="Minus the logarithm of the probability that the model gives to the right choice.",
    )
    if len({len(row) for row in probabilities}) == 1:
        rows = metrics.calibration_bins(labels, np.stack(probabilities))
        details.found["calibration"] = [row._asdict() for row in rows]
    confidence = np.array([float(row.max()) for row in probabilities])
    details.found["thresholds"] = answered_above(confidence, chosen == labels)
