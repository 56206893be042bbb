"""Classification of texts and of pairs of texts, with one label or many, and regression."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from minidistil import metrics
from minidistil.arguments import check_number
from minidistil.config import ModelConfig
from minidistil.errors import ConfigError, DataError, InputError, UsageError
from minidistil.model.model import Model
from minidistil.progress import Progress
from minidistil.tasks.base import Predictor, TrainableTask
from minidistil.tasks.classification.file_labels import FileLabels
from minidistil.tasks.classification.scores import (
    TYPES,
    UNNAMED,
    ClassificationSettings,
    Prediction,
    Problem,
    answer_scores,
    class_scores,
    example_classes,
    is_number,
    label_names,
    label_scores,
    number_scores,
    stored_activation,
)
from minidistil.tasks.data import TABLE, DataSettings
from minidistil.tasks.inference import predict_logits
from minidistil.tasks.inputs import Input, Shown, read_pairs
from minidistil.tasks.training_settings import NONE, TrainingRecord, stored_threshold
from minidistil.text.dataset import Dataset
from minidistil.text.labels import LabelMap, check_classes, class_labels, encode_numbers, label_name
from minidistil.text.readers import CLASSES, LABELS, Examples
from minidistil.text.texts import as_texts
from minidistil.text.tokenizer import Tokenizer, Truncation

if TYPE_CHECKING:
    from minidistil.tasks.details import Details

log = logging.getLogger("minidistil")


class ClassificationTask(TrainableTask):
    """Classification of a text or a pair of texts: one label of several.

    Parameters
    ----------
    data : DataSettings
    settings : ClassificationSettings
    names : mapping of str to str, optional
        Labels as they stand in the files, and what they are called; in the order of the model's outputs.
        Without it labels are what the training file has.
    main_metric : str, optional
        "accuracy" by default; of several labels "f1_micro", of regression "pearson".
    """

    kind: ClassVar[str] = "classification"
    data_settings: ClassVar[tuple[str, ...]] = (*TABLE, "pair", "label_columns", "separator", "max_length")
    settings_type: ClassVar[type[Any] | None] = ClassificationSettings
    head: ClassVar[str] = "ForSequenceClassification"
    pipeline_tag: ClassVar[str] = "text-classification"
    inputs: ClassVar[tuple[str, ...]] = ("text", "text_pair")
    ranks: ClassVar[bool] = True
    does: ClassVar[str] = "classify texts"
    options: ClassVar[tuple[str, ...]] = ("no_truncation", "top_k", "threshold", "pair", "pair_column")
    template: ClassVar[str] = "text-classification"
    lower_is_better: ClassVar[tuple[str, ...]] = ("mse", "calibration_error")
    problem: ClassVar[Problem] = "single"
    usual_metric: ClassVar[str] = "accuracy"

    def __init__(
        self,
        data: DataSettings | None = None,
        settings: ClassificationSettings | None = None,
        *,
        names: Mapping[str, str] | None = None,
        main_metric: str | None = None,
    ) -> None:
        super().__init__(data, settings or ClassificationSettings())
        self.names = FileLabels(names or {})
        self.main_metric, self.problem_type = main_metric or self.usual_metric, TYPES[self.problem]
        self._warned = False
        if not self.data.separator:
            raise UsageError("data.separator is empty: something must stand between labels")
        if len(set(self.data.label_columns)) < len(self.data.label_columns):
            raise UsageError("data.label_columns names a column twice")

    def read(self, path: str | Path) -> Examples:
        usual = LABELS if self.problem == "regression" else CLASSES
        examples = self.data.read(path, usual_labels=usual, empty=self.empty)
        if self.names and examples.labels is not None:
            examples = replace(examples, labels=[self.names.of_file(x) for x in examples.labels])
            self.names.check_first_line(examples, self.data.named_columns)
        return examples

    def read_unlabelled(self, path: str | Path) -> Examples:
        return self.data.read_unlabelled(path)

    def config_overrides(self, examples: Examples) -> dict[str, Any]:
        many = self.problem == "multi"
        there = class_labels(examples, several=many)
        found = labels = LabelMap.fit_sets(there, self.data.separator) if many else LabelMap.fit(there)
        check_classes(found.names, examples)
        if self.names:
            labels = LabelMap(self.names.all)
        elif self.data.label_columns:
            labels = LabelMap(self.data.label_columns)
        if len(found.names) < (1 if many else 2):
            only = f"only one class, {found.names[0]!r}" if found.names else "no label"
            raise DataError(f"{only}: there is nothing to tell apart", path=examples.path)
        return {"problem_type": self.problem_type, "id2label": dict(enumerate(labels.names))}

    def classes_of(self, examples: Examples) -> Sequence[tuple[str, ...]]:
        return example_classes(examples, self.problem, self.data.separator)

    def dataset(
        self, tokenizer: Tokenizer, examples: Examples, config: ModelConfig, *, labelled: bool = True
    ) -> Dataset:
        length = self.max_length(tokenizer, config)
        data = Dataset.from_texts(tokenizer, examples.texts, examples.pairs, max_length=length)
        if not labelled:
            return data
        labels = self.targets(examples, config)
        return data.with_targets(labels=labels if labels.dtype == np.int64 else labels.astype(np.float32))

    def training_record(
        self,
        examples: Examples,
        config: ModelConfig,
        tokenizer: Tokenizer,
        teacher: tuple[Model, Tokenizer] | None = None,
    ) -> TrainingRecord:
        return replace(
            super().training_record(examples, config, tokenizer),
            pairs=examples.pairs is not None,
            columns=dict(examples.columns) or None,
            positive=None if self.settings.positive is None else label_name(self.settings.positive),
        )

    def targets(self, examples: Examples, config: ModelConfig) -> npt.NDArray[Any]:
        """Labels as numbers: int64 [N], of several labels float32 [N, C], of a regression float64 [N]."""
        labels = LabelMap(label_names(config))
        if self.names:
            examples = replace(examples, labels=self.names.as_written(class_labels(examples), labels))
        if self.problem == "multi":
            return labels.encode_sets(examples, self.data.separator)
        return labels.encode(examples)

    @classmethod
    def of_model(cls, model: Model, data: DataSettings) -> TrainableTask:
        config = model.config
        if config.num_labels == 1 and config.problem_type is None and stored_activation(config) is None:
            log.warning(
                "config.json does not say whether the one output of this model is a probability: it is given "
                'as it is, without a sigmoid (say "problem_type": "regression", or an activation)'
            )
        if is_number(config):
            return RegressionTask(data)
        return (MultiLabelTask if config.problem_type == TYPES["multi"] else ClassificationTask)(data)

    def predict(
        self,
        model: Model,
        tokenizer: Tokenizer,
        texts: str | Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        threshold: float | None = None,
        truncation: bool = True,
    ) -> list[Prediction]:
        """Labels, or numbers, of texts or of pairs of texts.

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
        ConfigError
            Two labels have one name.
        InputError
            A value that is no text, or a text that is too long.
        UsageError
            A threshold that is no probability, or for a regression.
        """
        texts = as_texts("texts", texts, one=True)
        if pairs is not None and len(pairs := as_texts("pairs", pairs, one=True)) != len(texts):
            raise InputError(f"{len(texts)} texts but {len(pairs)} second texts")
        config = model.config
        if threshold is None:
            threshold = None if self.is_number(config) else stored_threshold(config)
        elif self.is_number(config):
            raise UsageError("a model of a number has no threshold")
        else:
            check_number("the threshold, a probability,", threshold, 0, 1)
        self._warn_of_pairs(config, pairs is not None)
        names = label_names(config)
        return [
            self._prediction(names, row, best, threshold)
            for scores in self.answers(model, tokenizer, texts, pairs, truncation=truncation)
            for row, best in zip(scores.tolist(), scores.argmax(1).tolist(), strict=True)
        ]

    def is_number(self, config: ModelConfig) -> bool:
        """True if an answer is a number, and no probability."""
        return self.problem == "regression" and stored_activation(config) != "Sigmoid"

    def _warn_of_pairs(self, config: ModelConfig, pairs: bool) -> None:
        """Warn, once, of texts alone where pairs were learnt, or the reverse."""
        if TrainingRecord.of(config).pairs not in (None, pairs) and not self._warned:
            given, other = ("pairs of texts", "texts alone") if pairs else ("texts alone", "pairs of texts")
            log.warning("these are %s, and the model learnt from %s: its answers mean little", given, other)
            self._warned = True

    def _prediction(
        self, names: Sequence[str], row: list[float], best: int, threshold: float | None
    ) -> Prediction:
        """Answer to one text, from the scores of its labels; `best` is the highest."""
        if self.problem == "multi":
            least = 0.5 if threshold is None else threshold
            label = ", ".join(name for name, value in zip(names, row, strict=True) if value >= least)
        else:
            label = NONE if threshold is not None and row[best] < threshold else names[best]
        return Prediction(label, row[best], dict(zip(names, row, strict=True)))

    def read_inputs(self, args: argparse.Namespace) -> list[Input]:
        return read_pairs(args)

    def show(
        self,
        predictor: Predictor,
        texts: Sequence[str],
        *,
        pairs: Sequence[str] | None = None,
        top_k: int | None = None,
        no_truncation: bool = False,
        **options: Any,
    ) -> Iterator[Shown]:
        model, tokenizer = predictor.model, predictor.tokenizer
        found = self.predict(model, tokenizer, texts, pairs, truncation=not no_truncation, **options)
        for i, (text, prediction) in enumerate(zip(texts, found, strict=True)):
            given = {"text": text} if pairs is None else {"text": text, "pair": pairs[i]}
            if self.is_number(model.config):
                called = {} if prediction.label in UNNAMED else {"label": prediction.label}
                cells: dict[str, object] = {**called, "score": prediction.score}
                yield Shown([[*cells.values(), *given.values()]], {**given, **cells}, [cells])
                continue
            facts = {**given, **prediction._asdict()}
            chosen: list[tuple[str, float]] = [(prediction.label or "none", prediction.score)]
            if top_k is not None:
                chosen = sorted(prediction.scores.items(), key=lambda item: -item[1])[:top_k]
                facts["top"] = [{"label": label, "score": score} for label, score in chosen]
            every = {f"score.{k}": v for k, v in prediction.scores.items()} if top_k is None else {}
            table: list[dict[str, object]] = [{"label": k, "score": v, **every} for k, v in chosen]
            yield Shown([[label, score, *given.values()] for label, score in chosen], facts, table)

    def evaluate(
        self, model: Model, tokenizer: Tokenizer, examples: Examples, *, quiet: bool = True,
        details: Details | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        if self.problem == "single":
            self.names.check_known(examples, LabelMap(label_names(model.config)))
        labels = self.targets(examples, model.config)
        parts = self.answers(model, tokenizer, examples.texts, examples.pairs, quiet=quiet)
        scores = np.concatenate(list(parts))
        if details is not None:
            from minidistil.tasks.classification.details import answer_details

            answer_details(details, self.problem, scores, labels, label_names(model.config), examples)
        return self.score(scores, labels, model.config)

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
        config = model.config.replace(problem_type=model.config.problem_type or self.problem_type)
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
        learnt = TrainingRecord.of(config)
        if learnt.pairs not in (None, examples.pairs is not None):
            kinds = {True: "pairs of texts", False: "texts alone", None: ""}
            known = learnt.columns or {}
            columns = " and ".join(repr(known[role]) for role in ("text", "pair") if role in known)
            raise ConfigError(
                f"{examples.path} has {kinds[not learnt.pairs]}, and {what} learnt from {kinds[learnt.pairs]}"
                + (f", named {columns}" if columns else ""),
                remedy=(("pair", "NAME"),) if learnt.pairs else (("text", "NAME"),),
            )

    def score(
        self, scores: npt.NDArray[np.float64], labels: npt.NDArray[Any], config: ModelConfig
    ) -> dict[str, Any]:
        """Metrics of the answers [N, C] of a model with this config, see `answer_scores`.

        One label: expected calibration error, and what `class_scores` has. Several: what `label_scores` has.
        Numbers: Pearson, Spearman, mean squared error.
        """
        error = metrics.expected_calibration_error(labels, scores)
        found = class_scores(labels, scores.argmax(1), label_names(config), self.positive(config))
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
            number = self.names.number(self.names.of_file(name), ours)
            if number is None or len(ours.names) != 2:
                raise ConfigError(
                    f"task.positive is {said!r}: expected one of two classes; there are: "
                    f"{', '.join(ours.names)}"
                )
            return number
        usual = [TrainingRecord.of(config).positive, *self.names.all[1:2]]
        numbers = [self.names.number(name, ours) for name in usual if name is not None]
        return next((number for number in numbers if number is not None), 1)


class MultiLabelTask(ClassificationTask):
    """Multi-label classification: any number of labels for a text or a pair of texts."""

    settings_type: ClassVar[type[Any] | None] = None
    problem: ClassVar[Problem] = "multi"
    usual_metric: ClassVar[str] = "f1_micro"

    def score(
        self, scores: npt.NDArray[np.float64], labels: npt.NDArray[Any], config: ModelConfig
    ) -> dict[str, Any]:
        return label_scores(labels > 0.5, scores, label_names(config))


class RegressionTask(ClassificationTask):
    """Regression: a number for a text or a pair of texts."""

    settings_type: ClassVar[type[Any] | None] = None
    problem: ClassVar[Problem] = "regression"
    usual_metric: ClassVar[str] = "pearson"

    def config_overrides(self, examples: Examples) -> dict[str, Any]:
        encode_numbers(examples)  # complains where there are none
        return {"problem_type": self.problem_type, "id2label": {0: "score"}}

    def targets(self, examples: Examples, config: ModelConfig) -> npt.NDArray[Any]:
        return encode_numbers(examples)

    def score(
        self, scores: npt.NDArray[np.float64], labels: npt.NDArray[Any], config: ModelConfig
    ) -> dict[str, Any]:
        return number_scores(labels, scores.reshape(-1))
