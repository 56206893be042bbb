"""Texts to which no answer is right, and how well they are told from the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil import metrics
from minidistil.tasks.similarity.ranking import one_each, ranked_scores, rows_at_once
from minidistil.tasks.similarity.settings import EncoderSettings
from minidistil.tasks.training_settings import NONE
from minidistil.text.labels import label_name

WRITTEN = {"", NONE, "oos", "out_of_scope", "out-of-scope"}  # as files have it
OUTSIDE = -1  # in place of a class number


@dataclass(frozen=True)
class ScopeSettings(EncoderSettings):
    """Settings of intents, as `task.`.

    Attributes
    ----------
    entries : str or None
        A file of texts that an encoder compares with.
    threshold : float or None
        The score below which the answer is "none"; None: what the model says, if it says something.
    """

    entries: str | None = None
    threshold: float | None = None


def or_none(label: Any) -> str:
    """A label as it stands in a file; `NONE` however that is written."""
    name = label_name(label)
    return NONE if name.lower() in WRITTEN else name


def none_scores(
    labels: npt.NDArray[np.int64], scores: npt.NDArray[np.floating[Any]], threshold: float | None
) -> dict[str, float]:
    """How good answers are if there may be none.

    Parameters
    ----------
    labels : int64 [N]
        The right classes; `OUTSIDE` where none is right. Some is.
    scores : float [N, C]
        The answer is the class with the highest, unless that is below the threshold.
    threshold : float or None

    Returns
    -------
    dict
        Of examples with a right answer: "recall_at_3", "recall_at_5" and "mrr_at_10", for more than two
        classes. If there are others: "auroc", the chance that the highest score of one with an answer is
        above that of one without; and on these examples the best threshold and what it gives
        ("best_threshold", "best_accuracy_with_none"), which is too good for a promise. With a threshold:
        "accuracy_with_none" over all examples, where "none" is the right answer for some; and precision and
        recall of saying so.
    """
    outside, best = labels == OUTSIDE, scores.max(1).astype(np.float64)
    right = scores.argmax(1) == labels
    found: dict[str, float] = {}
    classes = scores.shape[1]
    if classes > 2:
        inside = np.flatnonzero(~outside)
        parts = (
            (one_each(labels[inside[rows]], classes), scores[inside[rows]])
            for rows in rows_at_once(len(inside), classes)
        )
        ranked = ranked_scores(parts, (3, 5))
        found |= {name: ranked[name] for name in ("recall_at_3", "recall_at_5", "mrr_at_10")}
    if outside.any():
        found["auroc"] = metrics.auroc(~outside, best)
    if threshold is not None:
        withheld = metrics.precision_recall_f1(
            outside.astype(np.int64), (best < threshold).astype(np.int64), 2
        )
        found["threshold"] = threshold
        found["accuracy_with_none"] = metrics.rejection_accuracy(right, outside, best, threshold)
        if outside.any():
            found["none_precision"] = float(withheld.precision[1])
            found["none_recall"] = float(withheld.recall[1])
    if outside.any():
        cut = metrics.best_threshold(right, outside, best)
        found |= {"best_threshold": cut.value, "best_accuracy_with_none": cut.accuracy}
    return found
