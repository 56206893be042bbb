"""Labels, or a score, for texts and for pairs of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.model.heads import SequenceHead
from minidistil.ops.softmax import softmax_forward
from minidistil.pipelines.base import Pipeline, as_list, require_text
from minidistil.tasks.classification import predict_logits
from minidistil.text.dataset import Dataset


class Prediction(NamedTuple):
    """What a classifier says of one text.

    Attributes
    ----------
    label : str
        The most probable one. For many labels, those at or above one half, joined by ", ". For
        regression, the name of the one output.
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
        self, texts: str | Sequence[str], pairs: Sequence[str] | None = None, *, truncation: bool = True
    ) -> list[Prediction]:
        """Predictions in the order of `texts`, whose results do not depend on each other.

        Without `truncation` a text longer than the model takes is an InputError.
        """
        texts = as_list(texts)
        require_text(texts, "text", "classify")
        limit = self.model.config.max_position_embeddings
        parts = Dataset.in_parts(self.tokenizer, texts, pairs, max_length=limit, truncation=truncation)
        return [self._prediction(row) for part in parts for row in predict_logits(self.model, part)]

    def _prediction(self, logits: npt.NDArray[np.floating[Any]]) -> Prediction:
        config = self.model.config
        names = [config.id2label[i] for i in range(config.num_labels)]
        if config.problem_type == "regression" or config.num_labels == 1:
            values = logits
        elif config.problem_type == "multi_label_classification":
            values = 1 / (1 + np.exp(-logits))
            chosen = [name for name, value in zip(names, values, strict=True) if value >= 0.5]
            scores = dict(zip(names, values.tolist(), strict=True))
            return Prediction(", ".join(chosen), float(values.max()), scores)
        else:
            values = softmax_forward(logits.astype(np.float64))[0]
        best = int(values.argmax())
        return Prediction(names[best], float(values[best]), dict(zip(names, values.tolist(), strict=True)))
