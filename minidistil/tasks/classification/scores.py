"""Scores of classes from a model's outputs, and metrics of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minidistil import metrics
from minidistil.config import ModelConfig
from minidistil.errors import ConfigError
from minidistil.model.model import Model
from minidistil.ops.softmax import softmax_forward
from minidistil.tasks.inference import predict_logits
from minidistil.tasks.result import Result
from minidistil.text.dataset import Dataset
from minidistil.text.labels import names_in
from minidistil.text.readers import Examples

Problem = Literal["single", "multi", "regression"]

TYPES: dict[Problem, str] = {
    "single": "single_label_classification",
    "multi": "multi_label_classification",
    "regression": "regression",
}
UNNAMED = ("score", "LABEL_0")  # names of a number that nobody named
READABLE = 200  # classes of a matrix, or mistakes of a list, that somebody may look at


@dataclass(frozen=True)
class ClassificationSettings:
    """Settings of classes, as `task.`.

    Attributes
    ----------
    positive : str, int or None
        Of two classes, the one that F1 is of; None: see `ClassificationTask.positive`.
    """

    positive: str | int | None = None


@dataclass(frozen=True, eq=False)
class Prediction(Result):
    """Answer to one text; its keys are `label` and `score`.

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

    def keyed(self) -> dict[str, Any]:
        return {"label": self.label, "score": self.score}

    def ranked(self, top_k: int | None = None) -> list[Prediction]:
        """Labels by their scores, the `top_k` best or all, each as an answer of its own."""
        best = sorted(self.scores.items(), key=lambda item: -item[1])[:top_k]
        return [Prediction(label, score, self.scores) for label, score in best]


def example_classes(examples: Examples, problem: Problem, separator: str) -> list[tuple[str, ...]]:
    """Plain names of the classes of each example, sorted; none of unlabelled examples and of numbers."""
    if examples.labels is None or problem == "regression":
        return [()] * len(examples)
    return [names_in(label, separator if problem == "multi" else None) for label in examples.labels]


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


def is_number(config: ModelConfig) -> bool:
    """True if a model's answer is one number, and no class."""
    multi = config.problem_type == "multi_label_classification"
    return config.problem_type == "regression" or (config.num_labels == 1 and not multi)


def stored_activation(config: ModelConfig) -> str | None:
    """Activation of a model's one output, "Sigmoid" or "Identity", if its config says.

    So a CrossEncoder of sentence-transformers is saved.

    Raises
    ------
    ConfigError
        Something else.
    """
    saved = config.extra.get("sentence_transformers")
    name = saved.get("activation_fn") if isinstance(saved, Mapping) else None
    name = config.extra.get("sbert_ce_default_activation_function") if name is None else name
    if name is None:
        return None
    short = str(name).rpartition(".")[2]
    if short not in ("Sigmoid", "Identity"):
        raise ConfigError(f"the activation in config.json must be Sigmoid or Identity, not {name!r:.80}")
    return short


def answer_scores(logits: npt.NDArray[np.floating[Any]], config: ModelConfig) -> npt.NDArray[np.float64]:
    """Scores of a model's classes from its outputs: the ones that predict answers and evaluate measures.

    Parameters
    ----------
    logits : float [N, C]
    config : ModelConfig
        Of the model.

    Returns
    -------
    float64 [N, C]
        Probabilities of the classes; of several labels, that of each; of a number, the number, through the
        activation that the config stores.
    """
    values = logits.astype(np.float64)
    if config.problem_type == "multi_label_classification":
        return sigmoid(values)
    if not is_number(config):
        return np.asarray(softmax_forward(values)[0])
    return sigmoid(values) if stored_activation(config) == "Sigmoid" else values


def sigmoid(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """1 / (1 + e^-x), without overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, small, 1.0) / (1 + small))


def accuracy(model: Model, dataset: Dataset) -> float:
    """Share of examples whose highest logit is at the label in `dataset.targets["labels"]`."""
    return float((predict_logits(model, dataset).argmax(1) == dataset.targets["labels"]).mean())


def class_scores(
    labels: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64], names: Sequence[str], positive: int = 1
) -> dict[str, Any]:
    """Metrics of single-label classification.

    Parameters
    ----------
    labels, chosen : int64 [N]
        The right classes, and the predicted ones.
    names : sequence of str
        Names of the C classes.
    positive : int
        Of two classes, the one that "f1" is of.

    Returns
    -------
    dict
        Accuracy; F1 of one of two classes ("f1", and of which, "positive"), and the mean over classes
        ("f1_macro"); Matthews correlation; the confusion matrix [C, C], its rows the right classes
        ("confusion"), or, of more than 200 classes, the most frequent mistakes ("confusions"); of each class
        precision, recall, F1 and how many there are ("classes").
    """
    scores = metrics.precision_recall_f1(labels, chosen, len(names))
    found: dict[str, Any] = {
        "accuracy": metrics.accuracy(labels, chosen),
        "f1_macro": metrics.f1(labels, chosen, "macro"),
        "matthews": metrics.matthews_correlation(labels, chosen),
    }
    if len(names) == 2:
        found |= {"f1": float(scores.f1[positive]), "positive": names[positive]}
    if len(names) <= READABLE:
        found["confusion"] = metrics.confusion_matrix(labels, chosen, len(names)).tolist()
    else:
        found["confusions"] = _most_confused(labels, chosen, names)
    return {**found, "classes": by_name(scores, names)}


def _most_confused(
    labels: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64], names: Sequence[str]
) -> list[dict[str, Any]]:
    """The most frequent mistakes: the right class, the predicted one, and their number."""
    wrong = labels != chosen
    pairs, counts = np.unique(labels[wrong] * len(names) + chosen[wrong], return_counts=True)
    most = np.argsort(-counts, kind="stable")[:READABLE]
    return [
        {"label": names[pair // len(names)], "chosen": names[pair % len(names)], "examples": count}
        for pair, count in zip(pairs[most].tolist(), counts[most].tolist(), strict=True)
    ]


def label_scores(
    right: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.floating[Any]], names: Sequence[str]
) -> dict[str, Any]:
    """Metrics of multi-label classification.

    Parameters
    ----------
    right : bool [N, C]
    probabilities : float [N, C]
        A label is chosen at one half or above.
    names : sequence of str
        Names of the C labels.

    Returns
    -------
    dict
        F1 over all labels ("f1_micro") and the mean over labels ("f1_macro"); share of examples with all
        labels right; of each label precision, recall, F1, how many there are, and, whatever the threshold,
        the area under its ROC and its average precision ("classes"); the mean of those areas ("auroc_macro"),
        over the labels that some examples have and some have not.
    """
    chosen = probabilities >= 0.5
    classes = by_name(metrics.multilabel_precision_recall_f1(right, chosen), names)
    for i, name in enumerate(names):
        if right[:, i].any() and not right[:, i].all():
            classes[name]["auroc"] = metrics.auroc(right[:, i], probabilities[:, i])
            classes[name]["average_precision"] = metrics.average_precision(right[:, i], probabilities[:, i])
    areas = [scores["auroc"] for scores in classes.values() if "auroc" in scores]
    return {
        "f1_micro": metrics.multilabel_f1(right, chosen, "micro"),
        "f1_macro": metrics.multilabel_f1(right, chosen, "macro"),
        "subset_accuracy": metrics.subset_accuracy(right, chosen),
        **({"auroc_macro": float(np.mean(areas))} if areas else {}),
        "classes": classes,
    }


def number_scores(right: npt.NDArray[Any], values: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Pearson's and Spearman's correlation of numbers [N] with the right ones, and the mean squared error."""
    return {
        "pearson": metrics.pearson(right, values),
        "spearman": metrics.spearman(right, values),
        "mse": metrics.mean_squared_error(right, values),
    }


def by_name(scores: metrics.ClassScores, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Scores of classes, under their names."""
    columns = [column.tolist() for column in scores]
    return {
        name: dict(zip(scores._fields, row, strict=True)) for name, *row in zip(names, *columns, strict=True)
    }
