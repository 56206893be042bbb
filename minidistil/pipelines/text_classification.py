"""Labels, or a score, for texts and for pairs of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.errors import InputError, UsageError
from minidistil.model.heads import SequenceHead
from minidistil.ops.softmax import softmax_forward
from minidistil.pipelines.base import Pipeline, as_list, require_text
from minidistil.tasks.classification import predict_logits
from minidistil.tasks.scope import NONE, stored_threshold
from minidistil.tasks.sequence import label_names
from minidistil.text.dataset import Dataset
from minidistil.text.lengths import sequence_length


class Prediction(NamedTuple):
    """What a classifier says of one text.

    Attributes
    ----------
    label : str
        The most probable one, or "none" below the threshold. For many labels, those at or above the threshold
        (one half), joined by ", ". For regression, the name of the one output.
    score : float
        Its probability (the highest, for many labels); for regression, the value itself.
    scores : dict of str to float
        Of every label.
    """

    label: str
    score: float
    scores: dict[str, float]


class TextClassification(Pipeline):
    """Classifies texts: `TextClassification(model, tokenizer)(["a warm, funny film"])`."""

    task: ClassVar[str] = "text-classification"
    head: ClassVar[type] = SequenceHead
    does: ClassVar[str] = "classify texts"

    def __call__(
        self,
        texts: str | Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        threshold: float | None = None,
        truncation: bool = True,
    ) -> list[Prediction]:
        """Predictions in the order of `texts`, whose results do not depend on each other.

        Parameters
        ----------
        texts : str or sequence of str
        pairs : sequence of str, optional
            The second text of each, for a model of pairs.
        threshold : float, optional
            A probability, below which a label is not given; see `Prediction`. By default what the model's
            config says ("none_threshold", of intents); else one half for many labels, and nothing for one.
        truncation : bool
            Without it a text longer than the model takes is an InputError.

        Raises
        ------
        InputError
            A text that is empty or too long.
        UsageError
            A threshold that is no probability, or for a regression.
        """
        texts = as_list(texts)
        if pairs is None:
            require_text(texts, "text", "classify")
        elif len(pairs) != len(texts):
            raise InputError(f"{len(texts)} texts but {len(pairs)} second texts")
        else:
            require_text([a + b for a, b in zip(texts, pairs, strict=True)], "pair", "classify")
        if threshold is None:
            threshold = stored_threshold(self.model.config)
        elif not 0 <= threshold <= 1:
            raise UsageError(f"the threshold is a probability, from 0 to 1, not {threshold}")
        elif self._regression:
            raise UsageError("a model of a number has no threshold")
        limit = sequence_length(self.tokenizer, self.model.config)
        parts = Dataset.in_parts(self.tokenizer, texts, pairs, max_length=limit, truncation=truncation)
        return [
            prediction
            for part in parts
            for prediction in self._predictions(predict_logits(self.model, part), threshold)
        ]

    @property
    def _regression(self) -> bool:
        config = self.model.config
        multi = config.problem_type == "multi_label_classification"
        return config.problem_type == "regression" or (config.num_labels == 1 and not multi)

    def _predictions(
        self, logits: npt.NDArray[np.floating[Any]], threshold: float | None
    ) -> list[Prediction]:
        config = self.model.config
        names = label_names(config)
        many = config.problem_type == "multi_label_classification"
        if self._regression:
            values, threshold = logits, None
        elif many:
            values, threshold = 1 / (1 + np.exp(-logits)), 0.5 if threshold is None else threshold
        else:
            values, _ = softmax_forward(logits.astype(np.float64))
        predictions = []
        for row, best in zip(values.tolist(), values.argmax(1).tolist(), strict=True):
            if many:
                label = ", ".join(name for name, value in zip(names, row, strict=True) if value >= threshold)
            else:
                label = NONE if threshold is not None and row[best] < threshold else names[best]
            predictions.append(Prediction(label, row[best], dict(zip(names, row, strict=True))))
        return predictions
