"""Linear probe: how much of a task is in the vectors of a model that has not learnt it.

Texts become vectors, the mean of the last hidden states of their tokens. A ridge regression of the classes on
them is a sum that can be written down: nothing is trained, nothing is random, and it takes as long as reading
the texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.retention.examples import Rows
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.model.model import Model
from minidistil.text.tokenizer import Tokenizer
from minidistil.threads import single_threaded_blas

PENALTIES = 10.0 ** np.arange(-4, 5)  # in units of the features' mean squared singular value


@dataclass(frozen=True)
class Probe:
    """Texts with one label each, to learn from and to measure by: rows with "text" and "label"."""

    learnt: Rows
    measured: Rows

    def accuracy(self, model: Model, tokenizer: Tokenizer) -> float:
        """Accuracy of a ridge regression on the model's vectors."""
        encoder = SentenceEncoder.of_model(model, tokenizer, pooling="mean", normalize=False)
        parts = []
        for rows in (self.learnt, self.measured):
            vectors = encoder.encode([row["text"] for row in rows])
            parts += [vectors, [row["label"] for row in rows]]
        return ridge_accuracy(*parts)


def ridge_accuracy(
    features: npt.ArrayLike, labels: Sequence[str], others: npt.ArrayLike, right: Sequence[str]
) -> float:
    """Share of `others` [M, H] whose class is right, as a ridge regression on `features` [N, H] sees it.

    Each class is regressed on, as 1 or 0, and the largest value is the answer. Features are standardised by
    those learnt from. Of `PENALTIES` the one is taken that has the least squared error where each example is
    left out in turn. With the singular value decomposition X = U S V' of the centred features that needs no
    further fit: predictions are H Y with H = 1/N + U S^2 / (S^2 + penalty) U', and the error of an example
    that is left out is its error, divided by 1 - H_ii (Allen 1974, "The relationship between variable
    selection and data augmentation and a method for prediction").
    """
    x, z = np.asarray(features, np.float64), np.asarray(others, np.float64)
    classes, numbers = np.unique(np.asarray(labels), return_inverse=True)
    mean, deviation = x.mean(0), x.std(0)
    deviation[deviation == 0] = 1.0
    x, z = (x - mean) / deviation, (z - mean) / deviation
    y = np.eye(len(classes))[numbers]
    with single_threaded_blas():  # the number of cores has no say in the rounding
        u, s, v = np.linalg.svd(x, full_matrices=False)
        projected = u.T @ (y - y.mean(0))
        unit, best = float(np.mean(s**2)), None
        for penalty in PENALTIES * unit:
            shrunk = s**2 / (s**2 + penalty)
            errors = y - y.mean(0) - (u * shrunk) @ projected
            own = 1 / len(x) + (u**2) @ shrunk
            error = float(np.mean((errors / (1 - own)[:, None]) ** 2))
            if best is None or error < best[0]:
                best = error, v.T @ (projected * (s / (s**2 + penalty))[:, None])
        assert best is not None
        scores = z @ best[1] + y.mean(0)
    return float(np.mean(classes[scores.argmax(1)] == np.asarray(right)))
