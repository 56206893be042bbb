"""Check of a teacher before it teaches: facts from its scores, and sentences where it can teach little.

The facts are of a sample, and cost little beside a training. Soft labels teach what they say beyond the
labels. That is little where the teacher knows its labels by heart, and nothing where it does no better than a
guess.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.model.heads import Head, problem_type
from minidistil.model.model import Model
from minidistil.text.batching import TOKENS_AT_ONCE
from minidistil.train.objective import TrainingData

# Size of a sample: a share of 500 answers has a standard error of 2.2 points at most, and a small encoder
# reads 50,000 tokens in some seconds.
EXAMPLES, TOKENS = 500, 50_000
# Mass of a soft label, at its temperature, on the label itself. The gradients of soft and hard label differ
# by the rest of the mass: with less than a twentieth of it they are nearly the same.
BY_HEART = 0.95
# Share of the variance of the labels that a regression's scores explain: the same for numbers.
EXPLAINED = 0.95
# Held-out answers, below which a teacher may look bad by chance: the standard error is 7 points.
FEWEST_ANSWERS = 50
# Texts, below which there is hardly an answer of a teacher to learn from.
FEW = 500

log = logging.getLogger("minidistil")

Scores = npt.NDArray[np.float64]


def facts_on(
    model: Model,
    data: TrainingData,
    temperature: float,
    inputs: TrainingData | None = None,
    problem: str | None = None,
) -> dict[str, Any]:
    """Means of a model's scores on a sample of labelled examples.

    Parameters
    ----------
    model : Model
    data : Dataset or other training data
        Tokens, and targets if there are any.
    temperature : float
        Of the soft labels.
    inputs : Dataset, optional
        The same examples as the model reads them, if it has another tokenizer.
    problem : str, optional
        Problem type that the task decides, of which the model's config may say nothing.

    Returns
    -------
    dict
        "examples", "tokens": size of the sample; then means over its rows of scores (sequences, tokens with a
        label, starts and ends of answers; of several labels each label by itself):

        - "entropy": of the distribution at the temperature, in nats, where there is one
        - with labels "rows", their number; "accuracy"; "probability" of the label, and
          "probability_at_temperature"; "loss", -log of the probability; where labels are classes, "guess" and
          "guess_loss": accuracy and loss of who knows no more than how frequent each class is
        - of a regression with labels "explained", 1 - squared error / variance of the labels

        Empty of a model without scores, or with scores over a vocabulary.
    """
    head = model.heads[0] if len(model.heads) == 1 else Head()
    if head.over_vocabulary or not head.score_outputs:
        return {}
    sums, rows = _Rows(temperature), _sample(data)
    for batch_rows in _in_batches(data, rows):
        batch = data.batch(batch_rows)
        read = batch if inputs is None else inputs.batch(batch_rows)
        outputs = model.forward(read, keep_cache=False, scores_only=True)[0]
        for output, name in zip(head.score_outputs, head.target_names, strict=True):
            labels = None if name not in batch.targets else np.asarray(batch.targets[name])
            sums.add(problem or _kind(model, labels), head.score_rows(outputs[output], read), labels)
    found = sums.means(classes=bool(head.classes()))
    return {"examples": len(rows), "tokens": int(data.lengths[rows].sum()), **found} if found else {}


class _Rows:
    """Rows of scores, as they come: what the means are over."""

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature
        self.entropies: list[Scores] = []
        self.labels: list[npt.NDArray[Any]] = []
        self.right: list[npt.NDArray[np.bool_]] = []
        self.log_probabilities: list[Scores] = []
        self.at_temperature: list[Scores] = []
        self.errors: list[Scores] = []
        self.sets: list[npt.NDArray[Any]] = []

    def add(self, kind: str, scores: npt.NDArray[Any], labels: npt.NDArray[Any] | None) -> None:
        """Take in a row for each distribution, [R, C], and its label, [R]; None if there are no labels.

        `kind` is a problem type of `minidistil.model.heads`.
        """
        scores = scores.astype(np.float64)
        if kind == "regression":
            if labels is not None:
                self.errors.append(scores.reshape(-1) - labels.reshape(-1))
                self.labels.append(labels.reshape(-1))
            return
        if kind == "multi_label_classification":  # each label is a choice of two, whose scores are 0 and z
            scores = np.stack([np.zeros(scores.size), scores.reshape(-1)], axis=1)
            if labels is not None:
                self.sets.append(labels > 0.5)
                labels = self.sets[-1].reshape(-1).astype(np.int64)
        if labels is not None:
            known = (labels >= 0) & (labels < scores.shape[1])  # IGNORE_INDEX is below 0
            scores, labels = scores[known], labels[known]
        soft = _log_softmax(scores / self.temperature)
        self.entropies.append(-(np.exp(soft) * np.where(np.isfinite(soft), soft, 0)).sum(1))
        if labels is not None:
            at = np.arange(len(labels)), labels
            self.labels.append(labels)
            self.right.append(scores.argmax(1) == labels)
            self.log_probabilities.append(_log_softmax(scores)[at])
            self.at_temperature.append(np.exp(soft[at]))

    def means(self, classes: bool) -> dict[str, Any]:
        """The means; `classes`: labels are numbers of classes, and not places in a text."""
        found: dict[str, Any] = {}
        if _count(self.entropies):
            found["entropy"] = _mean(self.entropies)
        if not _count(self.labels):
            return found
        labels = np.concatenate(self.labels)
        found["rows"] = len(labels)
        if self.errors:
            error, variance = float((np.concatenate(self.errors) ** 2).mean()), float(labels.var())
            return {**found, "explained": 1 - error / variance} if variance > 0 else found
        log_probabilities = np.concatenate(self.log_probabilities)
        found["accuracy"] = _mean(self.right)
        found["probability"] = float(np.exp(log_probabilities).mean())
        found["probability_at_temperature"] = _mean(self.at_temperature)
        found["loss"] = -float(log_probabilities.mean())
        if classes:
            # [C] for classes, [2, C] for labels by themselves: how often each answer is right
            sets = np.concatenate(self.sets).mean(0) if self.sets else None
            shares = np.bincount(labels) / len(labels) if sets is None else np.stack([sets, 1 - sets])
            found["guess"] = float(shares.max(0).mean())
            logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
            found["guess_loss"] = -float((shares * logs).sum(0).mean())
        return found


def teaching_facts(
    teacher: Model,
    student: Model,
    temperature: float,
    examples: tuple[TrainingData, TrainingData | None],
    held_out: tuple[TrainingData, TrainingData | None] | None,
) -> dict[str, Any]:
    """Facts on a teaching that is about to begin; see `sentences`.

    Parameters
    ----------
    teacher, student : Model
    temperature : float
        Of the soft labels.
    examples, held_out : pairs of training data
        As the student reads them, with targets, and as the teacher does; None if that is the same.
    """
    data, inputs = examples
    problem = student.config.problem_type
    found: dict[str, Any] = {
        "texts": len(data),
        "temperature": temperature,
        "problem": problem,
        "teacher_on_examples": facts_on(teacher, data, temperature, inputs, problem),
    }
    if held_out is not None:
        data, inputs = held_out
        found["teacher_on_held_out"] = facts_on(teacher, data, temperature, inputs, problem)
        if found["teacher_on_held_out"]:
            found["start_on_held_out"] = facts_on(student, data, temperature, None, problem)
    return found


def sentences(facts: Mapping[str, Any], *, unlabelled: bool) -> tuple[list[str], list[str]]:
    """Warnings, that a teacher has nothing to teach, and remarks, that soft labels can say little.

    Parameters
    ----------
    facts : mapping
        Of `teaching_facts`.
    unlabelled : bool
        Whether there are texts without labels among those that are learnt from.
    """
    warnings = _nothing_to_teach(facts)
    if unlabelled:
        return warnings, []
    remarks = _by_heart(facts)
    if facts["problem"] == "regression" and not remarks:
        remarks.append("a regression has no soft labels: a teacher's answer is one number, as a label is")
    if facts["texts"] < FEW:
        count = facts["texts"]
        remarks.append(f"{count:,} texts are few: a teacher can say little of them beyond their labels")
    if remarks:
        remarks[-1] += "; of texts without labels (--unlabelled) it can say more"
    return warnings, remarks


def say(facts: Mapping[str, Any], *, unlabelled: bool) -> None:
    """Log a line of warnings and a line of remarks, if there are any; arguments as of `sentences`."""
    warnings, remarks = sentences(facts, unlabelled=unlabelled)
    if warnings:
        log.warning("%s", "; ".join(warnings))
    if remarks:
        log.info("%s", "; ".join(remarks))


def _by_heart(facts: Mapping[str, Any]) -> list[str]:
    """Remark on a teacher that says again what the labels say."""
    learnt = facts.get("teacher_on_examples") or {}
    if learnt.get("explained", 0) >= EXPLAINED:
        share = _percent(learnt["explained"])
        return [
            f"the teacher knows the numbers that are learnt from by heart: its own explain {share} of their "
            "variance, and say little else"
        ]
    if learnt.get("probability_at_temperature", 0) >= BY_HEART:
        share = _percent(learnt["probability_at_temperature"])
        return [
            f"the teacher knows the labels that are learnt from by heart: {share} of a soft label (T = "
            f"{facts['temperature']:g}) is the label itself, so soft labels say little else"
        ]
    return []


def _nothing_to_teach(facts: Mapping[str, Any]) -> list[str]:
    """Warning of a teacher that does no better on held-out examples than a guess, or than its student."""
    found, start = (facts.get(key) or {} for key in ("teacher_on_held_out", "start_on_held_out"))
    if found.get("rows", 0) < FEWEST_ANSWERS:
        return []
    of = f"of {found['rows']:,} held-out answers"
    if (explained := found.get("explained")) is not None:
        if explained <= 0:
            return [
                f"the teacher's numbers are further from those {of} than their mean is: it has nothing to "
                "teach"
            ]
        first = start.get("explained")
        if first is not None and explained <= first:
            return [
                f"the teacher explains {_percent(explained)} of the variance {of}, and the student "
                f"{_percent(first)} before it learns: it has little to teach"
            ]
        return []
    if (right := found.get("accuracy")) is None:
        return []
    guess, first = found.get("guess"), start.get("accuracy")
    if guess is not None and right <= guess and found["loss"] >= found["guess_loss"]:
        return [
            f"the teacher is right in {_percent(right)} {of}, and the most frequent answer alone in "
            f"{_percent(guess)}: it has nothing to teach"
        ]
    if first is not None and right <= first:
        return [
            f"the teacher is right in {_percent(right)} {of}, and the student in {_percent(first)} before it "
            "learns: it has little to teach"
        ]
    return []


def _sample(data: TrainingData) -> npt.NDArray[np.int64]:
    """Rows at equal distances, as many as the sample may have."""
    count = min(EXAMPLES, len(data))
    rows = np.unique(np.linspace(0, len(data) - 1, count).round().astype(np.int64))
    kept = np.cumsum(data.lengths[rows]) <= TOKENS
    kept[0] = True
    if kept.all():
        return rows
    return np.unique(np.linspace(0, len(data) - 1, int(kept.sum())).round().astype(np.int64))


def _in_batches(data: TrainingData, rows: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    sums = np.cumsum(data.lengths[rows], dtype=np.int64)
    yield from np.split(rows, np.flatnonzero(np.diff(sums // TOKENS_AT_ONCE)) + 1)


def _kind(model: Model, labels: npt.NDArray[Any] | None) -> str:
    """Problem that the scores of a model are of; one label of several, unless they are of whole sequences."""
    head = model.heads[0]
    if head.by_token or not head.classes():
        return "single_label_classification"
    return problem_type(np.zeros(0, np.int64) if labels is None else labels, model.config)


def _log_softmax(scores: Scores) -> Scores:
    top = scores.max(1, keepdims=True)
    shifted = scores - top
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


def _count(parts: list[Any]) -> int:
    return sum(map(len, parts))


def _mean(parts: list[Any]) -> float:
    return float(np.concatenate(parts).mean())


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
