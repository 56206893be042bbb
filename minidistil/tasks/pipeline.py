"""From text to answer in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.errors import ConfigError, InputError, UsageError
from minidistil.model import load_model
from minidistil.model.base import Model
from minidistil.model.heads import SequenceHead
from minidistil.ops.softmax import softmax_forward
from minidistil.tasks.classification import predict_logits
from minidistil.text.dataset import Dataset
from minidistil.text.tokenizer import Tokenizer
from minidistil.weights.hub import resolve


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


class TextClassification:
    """Classifies texts: `TextClassification(model, tokenizer)(["a warm, funny film"])`."""

    def __init__(self, model: Model, tokenizer: Tokenizer) -> None:
        if not any(isinstance(head, SequenceHead) for head in model.heads):
            raise ConfigError(f"{type(model).__name__} does not classify texts")
        self.model, self.tokenizer = model, tokenizer

    def __call__(
        self, texts: str | Sequence[str], pairs: Sequence[str] | None = None, *, truncation: bool = True
    ) -> list[Prediction]:
        """Predictions in the order of `texts`, whose results do not depend on each other.

        Without `truncation` a text longer than the model takes is an InputError.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        for i, text in enumerate(texts):
            if not text.strip():
                raise InputError(f"text {i + 1} of {len(texts)} is empty: there is nothing to classify")
        limit = self.model.config.max_position_embeddings
        dataset = Dataset.from_texts(self.tokenizer, texts, pairs, max_length=limit, truncation=truncation)
        return [self._prediction(row) for row in predict_logits(self.model, dataset)]

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


def pipeline(task: str, path_or_id: str | Path, **options: Any) -> TextClassification:
    """A ready predictor: `pipeline("text-classification", "runs/demo/student")`.

    Parameters
    ----------
    task : "text-classification"
    path_or_id : directory or hub id
    **options
        As for `Model.from_pretrained`.
    """
    if task != "text-classification":
        raise UsageError(f"task {task!r} is not supported; supported: text-classification")
    path = resolve(str(path_or_id))
    model = load_model(path, **{"mapped": True, **options}).eval()
    return TextClassification(model, Tokenizer.from_pretrained(path))
