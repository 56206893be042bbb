"""Intent classification with out-of-scope detection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minidistil import metrics
from minidistil.arrays import Array, Int64
from minidistil.config import ModelConfig
from minidistil.errors import DataError, UsageError
from minidistil.metrics import OUT_OF_SCOPE, selective_scores
from minidistil.model.model import Model
from minidistil.tasks.classification.details import answer_details
from minidistil.tasks.classification.scores import class_scores, label_names
from minidistil.tasks.classification.task import ClassificationTask
from minidistil.tasks.data import DataSettings
from minidistil.tasks.details import Details
from minidistil.tasks.intents.clinc import read_clinc
from minidistil.tasks.intents.nearest import NearestTask, Neighbour
from minidistil.tasks.intents.out_of_scope import ScopeSettings, or_none
from minidistil.tasks.result import Result
from minidistil.tasks.training_settings import NONE, THRESHOLD, stored_threshold
from minidistil.text.dataset import Dataset
from minidistil.text.json_text import has_rows
from minidistil.text.labels import LabelMap, class_labels
from minidistil.text.readers import Examples
from minidistil.text.tables import suffix_of
from minidistil.text.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class IntentCandidate(Result):
    """Candidate intent of a text.

    Attributes
    ----------
    label : str
    score : float
        Similarity to the nearest example of the intent.
    example : str
    """

    label: str
    score: float
    example: str


@dataclass(frozen=True, eq=False)
class Intent(Result):
    """Intent of a text.

    Attributes
    ----------
    label : str
        "none" below the threshold.
    score : float
        Of the best candidate.
    candidates : list of IntentCandidate
        Best first.
    """

    label: str
    score: float
    candidates: list[IntentCandidate]


class IntentTask(NearestTask, ClassificationTask):
    """Intent classification, by a trained classifier or by an encoder and entries.

    With entries it is `pipeline("intents", ENCODER, entries="intents.jsonl")("where is it?")`, which gives a
    list of `Intent`; a trained classifier is opened as one of text classification.

    An example whose label is empty, "none" or "oos" is out of scope. It trains no class, but held-out ones
    decide the threshold, below which the answer is "none".

    Parameters
    ----------
    data : DataSettings
    settings : ScopeSettings
        With `entries`, an encoder is evaluated.
    """

    kind: ClassVar[str] = "intents"
    template: ClassVar[str] = "intents"
    settings_type: ClassVar[type[Any]] = ScopeSettings

    def __init__(self, data: DataSettings | None = None, settings: ScopeSettings | None = None) -> None:
        ClassificationTask.__init__(self, data)
        self.scope = settings or ScopeSettings()

    # Reading

    def read(self, path: str | Path) -> Examples:
        """Read a table (`read_examples`), or a part of CLINC150's JSON: `data_full.json#val`."""
        examples = _part_of_clinc(path) or ClassificationTask.read(self, path)
        if examples.labels is None:
            return examples
        return replace(examples, labels=[or_none(label) for label in class_labels(examples)])

    def read_unlabelled(self, path: str | Path) -> Examples:
        part = _part_of_clinc(path)
        return super().read_unlabelled(path) if part is None else replace(part, labels=None)

    def read_entries(self, path: str | Path) -> Examples:
        return self.read(path)

    def entry_label(self, label: Any) -> str:
        return or_none(label)

    # A trained classifier

    def config_overrides(self, examples: Examples) -> dict[str, Any]:
        return super().config_overrides(in_scope(examples))

    def dataset(
        self, tokenizer: Tokenizer, examples: Examples, config: ModelConfig, *, labelled: bool = True
    ) -> Dataset:
        """Tokens of all examples, or with labels of those in scope."""
        if labelled:
            examples = in_scope(examples)
        return super().dataset(tokenizer, examples, config, labelled=labelled)

    def calibrate(self, model: Model, tokenizer: Tokenizer, examples: Examples) -> dict[str, Any]:
        """Threshold for config.json, the best on these examples, if some of them are out of scope."""
        labels = intent_numbers(examples, label_names(model.config))
        if (labels != OUT_OF_SCOPE).all():
            return {}
        probabilities = self._probabilities(model, tokenizer, examples)
        correct = probabilities.argmax(1) == labels
        best = metrics.best_threshold(correct, labels == OUT_OF_SCOPE, probabilities.max(1))
        return {THRESHOLD: best.value}

    def evaluate(
        self, model: Model, tokenizer: Tokenizer, examples: Examples, *, quiet: bool = True,
        details: Details | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Metrics of a classifier: those of classification in scope, and `selective_scores`."""
        names = label_names(model.config)
        labels = intent_numbers(examples, names)
        probabilities = self._probabilities(model, tokenizer, examples, quiet=quiet)
        threshold = stored_threshold(model.config) if self.scope.threshold is None else self.scope.threshold
        inside = labels != OUT_OF_SCOPE
        error = metrics.expected_calibration_error(labels[inside], probabilities[inside])
        if details is not None:
            asked = examples.subset(np.flatnonzero(inside))
            answer_details(details, "single", probabilities[inside], labels[inside], names, asked)
        return {
            **class_scores(labels[inside], probabilities[inside].argmax(1), names),
            "calibration_error": error,
            **selective_scores(labels, probabilities, threshold),
        }

    def evaluate_saved(
        self,
        path_or_id: str | Path,
        examples: Examples,
        *,
        quiet: bool = True,
        details: Details | None = None,
    ) -> dict[str, Any]:
        """Metrics of a classifier, or with entries of an encoder."""
        if self.scope.entries is not None:
            return NearestTask.evaluate_saved(self, path_or_id, examples, quiet=quiet, details=details)
        if self.scope.prompt is not None:
            raise UsageError("task.prompt is of an encoder that compares with entries: --entries FILE")
        return ClassificationTask.evaluate_saved(self, path_or_id, examples, quiet=quiet, details=details)

    def _probabilities(
        self, model: Model, tokenizer: Tokenizer, examples: Examples, *, quiet: bool = True
    ) -> Array:
        """Probabilities of all classes, [N, C]."""
        return np.concatenate(
            list(self.answers(model, tokenizer, examples.texts, examples.pairs, quiet=quiet))
        )

    # An encoder with entries

    def labelled_texts(self, entries: Examples) -> tuple[list[str], Sequence[str | None]]:
        in_scope(entries)
        return entries.texts, [None if label == NONE else label for label in labels_of(entries)]

    def class_numbers(self, examples: Examples, entries: Examples) -> Int64:
        return intent_numbers(examples, tuple(dict.fromkeys(labels_of(in_scope(entries)))))

    def class_metrics(self, labels: Int64, predictions: Int64, names: tuple[str, ...]) -> dict[str, Any]:
        return class_scores(labels, predictions, names)

    def answer(self, neighbours: list[Neighbour], accepted: bool, texts: list[str]) -> Intent:
        candidates = [IntentCandidate(label, score, texts[i]) for label, score, i in neighbours]
        return Intent(neighbours[0].label if accepted else NONE, neighbours[0].score, candidates)


def labels_of(examples: Examples) -> list[str]:
    """Intents of examples.

    Raises
    ------
    DataError
        No column of intents.
    """
    if examples.labels is None:
        raise DataError("there is no column of intents; say which: data.label", path=examples.path)
    return examples.labels


def in_scope(examples: Examples) -> Examples:
    """Examples that have an intent.

    Raises
    ------
    DataError
        There are none.
    """
    rows = [i for i, label in enumerate(labels_of(examples)) if label != NONE]
    if not rows:
        raise DataError("every example is out of scope: there is no intent in it", path=examples.path)
    return examples.subset(rows)


def intent_numbers(examples: Examples, names: Sequence[str]) -> Int64:
    """Class numbers [N], or `OUT_OF_SCOPE`.

    A model that has learnt "none" as a class gets that class.

    Raises
    ------
    DataError
        An intent that is not among the names (file and line named), or no example that is in scope.
    """
    names = [or_none(name) for name in names]
    labels = np.full(len(examples), OUT_OF_SCOPE, np.int64)
    inside = [i for i, label in enumerate(labels_of(examples)) if label != NONE or NONE in names]
    if not inside:
        raise DataError("every example is out of scope: there is no intent in it", path=examples.path)
    labels[inside] = LabelMap(tuple(names)).encode(examples.subset(inside))
    return labels


def _part_of_clinc(path: str | Path) -> Examples | None:
    """A part of CLINC150's JSON; None of another file."""
    file, _, part = str(path).partition("#")
    if suffix_of(file) == ".json" and (part or not has_rows(file)):
        return read_clinc(file, part)
    return None
