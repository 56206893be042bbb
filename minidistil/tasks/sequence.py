"""Classification of texts and of pairs of texts, with one label or many, and regression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from minidistil import metrics
from minidistil.config import ModelConfig
from minidistil.errors import DataError
from minidistil.model.base import Model
from minidistil.ops.softmax import softmax_forward
from minidistil.progress import Progress
from minidistil.tasks.base import DataSettings, Task
from minidistil.tasks.classification import class_scores, label_scores, predict_logits
from minidistil.text.dataset import Dataset
from minidistil.text.labels import LabelMap, encode_numbers
from minidistil.text.readers import Examples, read_examples
from minidistil.text.tokenizer import Tokenizer

Array = npt.NDArray[np.floating[Any]]
Problem = Literal["single", "multi", "regression"]

TYPES: dict[Problem, str] = {
    "single": "single_label_classification",
    "multi": "multi_label_classification",
    "regression": "regression",
}


class SequenceTask(Task):
    """One answer for a text or a pair of texts.

    Parameters
    ----------
    problem : {"single", "multi", "regression"}
    data : DataSettings
    names : mapping of str to str, optional
        Labels as they stand in the files, and what they are called; in the order of the model's outputs.
        Without it labels are what the training file has.
    primary : str, optional
        "accuracy" by default; of several labels "f1_micro", of regression "pearson".
    """

    kind: ClassVar[str] = "classification"
    head: ClassVar[str] = "ForSequenceClassification"
    pipeline_tag: ClassVar[str] = "text-classification"
    lower_is_better: ClassVar[tuple[str, ...]] = ("mse", "calibration_error")

    def __init__(
        self,
        problem: Problem = "single",
        data: DataSettings | None = None,
        *,
        names: Mapping[str, str] | None = None,
        primary: str | None = None,
    ) -> None:
        usual = {"single": "accuracy", "multi": "f1_micro", "regression": "pearson"}
        self.problem, self.data, self.names = problem, data or DataSettings(), dict(names or {})
        self.primary = primary or usual[problem]

    def read(self, path: str | Path) -> Examples:
        d = self.data
        examples = read_examples(
            path, text=d.text, pair=d.pair, label=d.label, label_columns=d.label_columns, format=d.format,
            header=d.header,
        )  # fmt: skip
        if self.names and examples.labels is not None:
            return replace(examples, labels=[self.names.get(str(x).strip(), x) for x in examples.labels])
        return examples

    def changes(self, examples: Examples) -> dict[str, Any]:
        if self.problem == "regression":
            encode_numbers(examples)  # complains where there are none
            return {"problem_type": TYPES[self.problem], "id2label": {0: "score"}}
        if examples.labels is None:
            raise DataError("there is no label column to learn from", path=examples.path)
        if self.names:
            labels = LabelMap(tuple(self.names.values()))
        elif self.data.label_columns:
            labels = LabelMap(self.data.label_columns)
        elif self.problem == "multi":
            labels = LabelMap.fit_sets(examples.labels, self.data.separator)
        else:
            labels = LabelMap.fit(examples.labels)
        if len(labels.names) < (1 if self.problem == "multi" else 2):
            only = f"only one class, {labels.names[0]!r}" if labels.names else "no label"
            raise DataError(f"{only}: there is nothing to tell apart", path=examples.path)
        return {"problem_type": TYPES[self.problem], "id2label": dict(enumerate(labels.names))}

    def dataset(
        self, tokenizer: Tokenizer, examples: Examples, config: ModelConfig, *, labelled: bool = True
    ) -> Dataset:
        length = min(self.data.max_length, config.max_position_embeddings)
        data = Dataset.from_texts(tokenizer, examples.texts, examples.pairs, max_length=length)
        return data.with_targets(labels=self.targets(examples, config)) if labelled else data

    def targets(self, examples: Examples, config: ModelConfig) -> npt.NDArray[Any]:
        """Labels as the loss takes them: int64 [N], float32 [N, C], or float32 [N]."""
        if self.problem == "regression":
            return encode_numbers(examples)
        labels = LabelMap(label_names(config))
        if self.problem == "multi":
            return labels.encode_sets(examples, self.data.separator)
        return labels.encode(examples)

    def evaluate(
        self, model: Model, tokenizer: Tokenizer, examples: Examples, *, quiet: bool = True
    ) -> dict[str, Any]:
        data = self.dataset(tokenizer, examples, model.config)
        with Progress(len(data), "evaluating", "example", quiet=quiet) as progress:
            logits = predict_logits(model, data, progress=progress)
        return self.score(logits, data.targets["labels"], label_names(model.config))

    def score(self, logits: Array, labels: npt.NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """Metrics from scores [N, C] of the labels with these names.

        One label: expected calibration error, and what `class_scores` has. Several: what `label_scores` has.
        Numbers: Pearson, Spearman, mean squared error.
        """
        if self.problem == "regression":
            values = logits.reshape(-1)
            return {
                "pearson": metrics.pearson(labels, values),
                "spearman": metrics.spearman(labels, values),
                "mse": metrics.mean_squared_error(labels, values),
            }
        if self.problem == "multi":
            return label_scores(labels > 0.5, logits, names)
        probabilities, _ = softmax_forward(logits.astype(np.float64))
        error = metrics.expected_calibration_error(labels, probabilities)
        return {**class_scores(labels, logits.argmax(1), names), "calibration_error": error}


def label_names(config: ModelConfig) -> tuple[str, ...]:
    """What a model's outputs are called, in their order."""
    return tuple(config.id2label[i] for i in range(config.num_labels))
