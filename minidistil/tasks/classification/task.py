"""Classification of texts and of pairs of texts, with one label or many, and regression."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from minidistil import metrics
from minidistil.config import ModelConfig
from minidistil.errors import ConfigError, DataError, UsageError
from minidistil.model.model import Model
from minidistil.progress import Progress
from minidistil.tasks.base import Task
from minidistil.tasks.classification.predict import (
    answer_scores,
    class_scores,
    is_number,
    label_scores,
    predict_logits,
)
from minidistil.tasks.data import TABLE, DataSettings
from minidistil.tasks.training_settings import Learnt
from minidistil.text.dataset import Dataset
from minidistil.text.labels import (
    LabelMap,
    check_classes,
    class_labels,
    encode_numbers,
    label_name,
    plain_name,
)
from minidistil.text.readers import CLASSES, LABELS, Examples
from minidistil.text.tokenizer import Tokenizer, Truncation

Problem = Literal["single", "multi", "regression"]

TYPES: dict[Problem, str] = {
    "single": "single_label_classification",
    "multi": "multi_label_classification",
    "regression": "regression",
}


@dataclass(frozen=True)
class SequenceSettings:
    """Settings of classes, as `task.`.

    Attributes
    ----------
    positive : str, int or None
        Of two classes, the one that F1 is of; None: see `SequenceTask.positive`.
    """

    positive: str | int | None = None


class SequenceTask(Task):
    """One answer for a text or a pair of texts.

    Parameters
    ----------
    problem : {"single", "multi", "regression"}
    data : DataSettings
    settings : SequenceSettings
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
        settings: SequenceSettings | None = None,
        *,
        names: Mapping[str, str] | None = None,
        primary: str | None = None,
    ) -> None:
        usual = {"single": "accuracy", "multi": "f1_micro", "regression": "pearson"}
        self.problem, self.data, self.names = problem, data or DataSettings(), dict(names or {})
        self.primary, self.settings = primary or usual[problem], settings or SequenceSettings()
        self.problem_type = TYPES[problem]
        if not self.data.separator:
            raise UsageError("data.separator is empty: something must stand between labels")
        if len(set(self.data.label_columns)) < len(self.data.label_columns):
            raise UsageError("data.label_columns names a column twice")

    def read(self, path: str | Path) -> Examples:
        usual = LABELS if self.problem == "regression" else CLASSES
        examples = self.data.read(path, usual_labels=usual)
        if self.names and examples.labels is not None:
            examples = replace(examples, labels=[self._called(x) for x in examples.labels])
            self._check_first(examples)
        return examples

    def _check_first(self, examples: Examples) -> None:
        """A DataError for a first line that names the columns, where the authors' files have no such line."""
        known = [label in self.names.values() for label in (examples.labels or [])[:2]]
        if not self.data.named_columns and known == [False, True]:
            first = (examples.labels or [""])[0]
            raise DataError(
                f"unknown label {first!r:.60}; if this line names the columns,",
                path=examples.path,
                line=examples.lines[0],
                remedy=(("header", "true"),),
            )

    def _called(self, label: Any) -> Any:
        """Name of a label of the files; the label itself if it is none of theirs."""
        name = label_name(label) if not isinstance(label, list) else ""
        return self.names.get(name, self.names.get(plain_name(name), label))

    def changes(self, examples: Examples) -> dict[str, Any]:
        if self.problem == "regression":
            encode_numbers(examples)  # complains where there are none
            return {"problem_type": TYPES[self.problem], "id2label": {0: "score"}}
        there = class_labels(examples, several=self.problem == "multi")
        if self.problem == "multi":
            found = labels = LabelMap.fit_sets(there, self.data.separator)
        else:
            found = labels = LabelMap.fit(there)
        check_classes(found.names, examples)
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
        if not labelled:
            return data
        labels = self.targets(examples, config)
        return data.with_targets(labels=labels if labels.dtype == np.int64 else labels.astype(np.float32))

    def learns(
        self,
        examples: Examples,
        config: ModelConfig,
        tokenizer: Tokenizer,
        teacher: tuple[Model, Tokenizer] | None = None,
    ) -> Learnt:
        return replace(
            super().learns(examples, config, tokenizer),
            pairs=examples.pairs is not None,
            columns=dict(examples.columns) or None,
            positive=None if self.settings.positive is None else label_name(self.settings.positive),
        )

    def targets(self, examples: Examples, config: ModelConfig) -> npt.NDArray[Any]:
        """Labels as numbers: int64 [N], of several labels float32 [N, C], of a regression float64 [N]."""
        if self.problem == "regression":
            return encode_numbers(examples)
        labels = LabelMap(label_names(config))
        if self.names:
            examples = replace(examples, labels=self._as_written(class_labels(examples), labels))
        if self.problem == "multi":
            return labels.encode_sets(examples, self.data.separator)
        return labels.encode(examples)

    def evaluate(
        self, model: Model, tokenizer: Tokenizer, examples: Examples, *, quiet: bool = True
    ) -> dict[str, Any]:
        if self.problem == "single":
            self._check_labels(model.config, examples)
        labels = self.targets(examples, model.config)
        parts = self.answers(model, tokenizer, examples.texts, examples.pairs, quiet=quiet)
        return self.score(np.concatenate(list(parts)), labels, model.config)

    def answers(
        self,
        model: Model,
        tokenizer: Tokenizer,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        truncation: Truncation = True,
        quiet: bool = True,
    ) -> Iterator[npt.NDArray[np.float64]]:
        """Answers of a model, see `answer_scores`, for some texts at a time: [n, C] each."""
        config = model.config
        if config.problem_type is None:  # so the task says it
            config = config.replace(problem_type=self.problem_type)
        length = self.max_length(tokenizer, config)
        parts = Dataset.in_parts(tokenizer, texts, pairs, max_length=length, truncation=truncation)
        with Progress(len(texts), "evaluating", "example", quiet=quiet) as progress:
            for part in parts:
                yield answer_scores(predict_logits(model, part, progress=progress), config)

    def check_model(self, model: Model, what: object) -> None:
        super().check_model(model, what)
        config, kind = model.config, model.config.problem_type
        numeric = is_number(config)
        if numeric != (self.problem == "regression"):
            labels = ", ".join(config.id2label.values())
            says = "a number, and no classes" if numeric else f"classes ({labels}), and no number"
            raise ConfigError(f"{what} predicts {says}")
        if kind not in (None, TYPES[self.problem]):
            raise ConfigError(f"{what} is for {kind}, not for {TYPES[self.problem]}")

    def check_examples(self, examples: Examples, config: ModelConfig, what: object) -> None:
        learnt = Learnt.of(config)
        if learnt.pairs not in (None, examples.pairs is not None):
            kinds = {True: "pairs of texts", False: "texts alone", None: ""}
            known = learnt.columns or {}
            columns = " and ".join(repr(known[role]) for role in ("text", "pair") if role in known)
            raise ConfigError(
                f"{examples.path} has {kinds[not learnt.pairs]}, and {what} learnt from {kinds[learnt.pairs]}"
                + (f", named {columns}" if columns else ""),
                remedy=(("pair", "NAME"),) if learnt.pairs else (("text", "NAME"),),
            )

    def _check_labels(self, config: ModelConfig, examples: Examples) -> None:
        """A ConfigError if none of the labels in a file are the model's."""
        ours = LabelMap(label_names(config))
        theirs = LabelMap.fit(self._as_written(class_labels(examples), ours)).names
        if theirs and all(ours.number(name) is None for name in theirs):
            raise ConfigError(
                f"the labels of {examples.path} are {', '.join(theirs[:8])}, the model's "
                f"{', '.join(ours.names)}: rename them in id2label of its config.json"
            )

    def _as_written(self, labels: Sequence[Any], ours: LabelMap) -> list[Any]:
        """Labels of a named task as the model has them: others write them in capitals, or number them."""
        if not self.names:
            return list(labels)
        known = {name.casefold(): name for name in ours.names}
        if ours.are_numbers and list(self.names) == [str(i) for i in range(len(ours.names))]:
            known = {name.casefold(): number for number, name in self.names.items()}
        return [known.get(str(label).casefold(), label) for label in labels]

    def number(self, name: str, ours: LabelMap) -> int | None:
        """The number of a class of the task among a model's; None if the model has none of this name."""
        return ours.number(label_name(*self._as_written([name], ours)))

    def score(
        self, scores: npt.NDArray[np.float64], labels: npt.NDArray[Any], config: ModelConfig
    ) -> dict[str, Any]:
        """Metrics of what a model with this config answers, [N, C] of `answer_scores`.

        One label: expected calibration error, and what `class_scores` has. Several: what `label_scores` has.
        Numbers: Pearson, Spearman, mean squared error.
        """
        if self.problem == "regression":
            values = scores.reshape(-1)
            return {
                "pearson": metrics.pearson(labels, values),
                "spearman": metrics.spearman(labels, values),
                "mse": metrics.mean_squared_error(labels, values),
            }
        names = label_names(config)
        if self.problem == "multi":
            return label_scores(labels > 0.5, scores, names)
        error = metrics.expected_calibration_error(labels, scores)
        found = class_scores(labels, scores.argmax(1), names, self.positive(config))
        return {**found, "calibration_error": error}

    def positive(self, config: ModelConfig) -> int:
        """Index of the class, of two, that F1 is of.

        That of the settings, else the one that the model was judged by as it learnt, else the second of those
        that the task has, wherever a model has it; else the model's second.

        Raises
        ------
        ConfigError
            The settings name no class of the model, or there are more than two.
        """
        ours, said = LabelMap(label_names(config)), self.settings.positive
        if said is not None:
            name = label_name(said)
            number = self.number(self.names.get(name, name), ours)
            if number is None or len(ours.names) != 2:
                raise ConfigError(
                    f"task.positive is {said!r}: expected one of two classes; there are: "
                    f"{', '.join(ours.names)}"
                )
            return number
        usual = [Learnt.of(config).positive, *list(self.names.values())[1:2]]
        numbers = [self.number(name, ours) for name in usual if name is not None]
        return next((number for number in numbers if number is not None), 1)


def problem_of(config: ModelConfig) -> Problem:
    """Kind of a model's answer: one label, several, or a number."""
    if is_number(config):
        return "regression"
    return "multi" if config.problem_type == TYPES["multi"] else "single"


def label_names(config: ModelConfig) -> tuple[str, ...]:
    """Names of a model's outputs, in their order.

    Raises
    ------
    ConfigError
        Two have one name: an answer could not say which is meant.
    """
    names = tuple(config.label_names)
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ConfigError(
                f"id2label in config.json calls both {names.index(name)} and {i} {name!r}: name them apart"
            )
    return names
