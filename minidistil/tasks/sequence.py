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
from minidistil.errors import ConfigError, DataError, UsageError
from minidistil.model.base import Model
from minidistil.ops.softmax import softmax_forward
from minidistil.progress import Progress
from minidistil.tasks.base import TABLE, DataSettings, Task
from minidistil.tasks.classification import class_scores, label_scores, predict_logits
from minidistil.text.dataset import Dataset
from minidistil.text.labels import LabelMap, class_labels, encode_numbers, label_name
from minidistil.text.readers import CLASSES, LABELS, Examples
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
    reads: ClassVar[tuple[str, ...]] = (*TABLE, "pair", "label_columns", "separator", "max_length")
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
        self.problem_type = TYPES[problem]
        if not self.data.separator:
            raise UsageError("data.separator is empty: something must stand between labels")
        if len(set(self.data.label_columns)) < len(self.data.label_columns):
            raise UsageError("data.label_columns names a column twice")

    def read(self, path: str | Path) -> Examples:
        usual = LABELS if self.problem == "regression" else CLASSES
        examples = self.data.read(path, usual_labels=usual)
        if self.names and examples.labels is not None:
            return replace(examples, labels=[self.names.get(label_name(x), x) for x in examples.labels])
        return examples

    def changes(self, examples: Examples) -> dict[str, Any]:
        if self.problem == "regression":
            encode_numbers(examples)  # complains where there are none
            return {"problem_type": TYPES[self.problem], "id2label": {0: "score"}}
        there = class_labels(examples, several=self.problem == "multi")
        if self.problem == "multi":
            found = labels = LabelMap.fit_sets(there, self.data.separator)
        else:
            found = labels = LabelMap.fit(there)
        if self.names:
            labels = LabelMap(tuple(self.names.values()))
        elif self.data.label_columns:
            labels = LabelMap(self.data.label_columns)
        if len(found.names) < (1 if self.problem == "multi" else 2):
            only = f"only one class, {found.names[0]!r}" if found.names else "no label"
            raise DataError(f"{only}: there is nothing to tell apart", path=examples.path)
        return {"problem_type": TYPES[self.problem], "id2label": dict(enumerate(labels.names))}

    def dataset(
        self, tokenizer: Tokenizer, examples: Examples, config: ModelConfig, *, labelled: bool = True
    ) -> Dataset:
        length = self.max_length(tokenizer, config)
        data = Dataset.from_texts(tokenizer, examples.texts, examples.pairs, max_length=length)
        return data.with_targets(labels=self.targets(examples, config)) if labelled else data

    def targets(self, examples: Examples, config: ModelConfig) -> npt.NDArray[Any]:
        """Labels as the loss takes them: int64 [N], float32 [N, C], or float32 [N]."""
        if self.problem == "regression":
            return encode_numbers(examples)
        labels = LabelMap(label_names(config))
        if self.names:  # others write them in capitals
            as_written = {name.casefold(): name for name in labels.names}
            own = [as_written.get(str(label).casefold(), label) for label in class_labels(examples)]
            examples = replace(examples, labels=own)
        if self.problem == "multi":
            return labels.encode_sets(examples, self.data.separator)
        return labels.encode(examples)

    def evaluate(
        self, model: Model, tokenizer: Tokenizer, examples: Examples, *, quiet: bool = True
    ) -> dict[str, Any]:
        if self.problem == "single":
            self._check_labels(model.config, examples)
        labels = self.targets(examples, model.config)
        logits = self.logits(model, tokenizer, examples, quiet=quiet)
        return self.score(logits, labels, label_names(model.config))

    def logits(self, model: Model, tokenizer: Tokenizer, examples: Examples, *, quiet: bool = True) -> Array:
        """What a model says of examples, with or without labels: [N, C]."""
        length = self.max_length(tokenizer, model.config)
        parts = Dataset.in_parts(tokenizer, examples.texts, examples.pairs, max_length=length)
        with Progress(len(examples), "evaluating", "example", quiet=quiet) as progress:
            return np.concatenate([predict_logits(model, part, progress=progress) for part in parts])

    def check_model(self, model: Model, what: object) -> None:
        super().check_model(model, what)
        config, kind = model.config, model.config.problem_type
        numeric = kind == "regression" or (kind is None and config.num_labels == 1)
        if numeric != (self.problem == "regression"):
            labels = ", ".join(config.id2label.values())
            says = "a number, and no classes" if numeric else f"classes ({labels}), and no number"
            raise ConfigError(f"{what} predicts {says}")
        if kind not in (None, TYPES[self.problem]):
            raise ConfigError(f"{what} is for {kind}, not for {TYPES[self.problem]}")

    def _check_labels(self, config: ModelConfig, examples: Examples) -> None:
        """A ConfigError if none of the labels in a file are the model's."""
        theirs = LabelMap.fit(class_labels(examples)).names
        ours = {name.casefold() for name in config.id2label.values()}
        if theirs and not ours & {name.casefold() for name in theirs}:
            raise ConfigError(
                f"the labels of {examples.path} are {', '.join(theirs[:8])}, the model's "
                f"{', '.join(config.id2label.values())}: rename them in id2label of its config.json"
            )

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
        scores = class_scores(labels, logits.argmax(1), names, self._positive(names))
        return {**scores, "calibration_error": error}

    def _positive(self, names: Sequence[str]) -> int:
        """Which of two classes F1 is of: the second of those that the task has, wherever a model has it."""
        second = [name.casefold() for name in self.names.values()][1:2]
        return next((i for i, name in enumerate(names) if name.casefold() in second), 1)


def label_names(config: ModelConfig) -> tuple[str, ...]:
    """What a model's outputs are called, in their order."""
    return tuple(config.id2label[i] for i in range(config.num_labels))
