"""Terms of the scores of the heads: soft labels, hard labels, and logits as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array
from minidistil.batch import Batch
from minidistil.distill.term import Gradients, Pair, Term, TermInputs
from minidistil.errors import ConfigError, InputError
from minidistil.losses import IGNORE_INDEX, logits_mse, soft_binary_kl, soft_label_kl
from minidistil.model.checks import class_target, target
from minidistil.model.heads import Head
from minidistil.model.token_heads import MaskedLMHead
from minidistil.ops.linear_cross_entropy import LinearHead, TopKLogits

COMPARED = "compared"  # target of a batch, bool [T], see `ComparedScores`


@dataclass(frozen=True)
class ComparedScores(Term):
    """A term that compares the scores of student and teacher.

    Of a token classifier these are the scores of all tokens, or, where the batch has a target "compared",
    bool [T], of those where it is true. The first piece of a word has its tag; the scores that a teacher
    gives other pieces are of no training.
    """

    of_scores: ClassVar[bool] = True

    def carried(self, pair: Pair) -> tuple[str, ...]:
        return pair.student.heads[0].score_outputs

    def teacher_outputs(self, pair: Pair) -> list[str]:
        head = pair.student.heads[0]
        return ["features"] if head.over_vocabulary else list(head.score_outputs)

    def count(self, batch: Batch, pair: Pair) -> float:
        rows = _compared_rows(pair.student.heads[0], batch)
        return pair.student.heads[0].num_score_rows(batch) if isinstance(rows, slice) else len(rows)


def _compared_rows(head: Head, batch: Batch) -> npt.NDArray[np.intp] | slice:
    """Rows of scores that are compared."""
    if not (head.by_token and head.classes() and COMPARED in batch.targets):
        return slice(None)
    chosen = np.asarray(batch.targets[COMPARED])
    if chosen.shape != (batch.num_tokens,) or chosen.dtype != bool:
        raise InputError(
            f"{COMPARED} must be bool of shape [{batch.num_tokens}], not {chosen.dtype} {list(chosen.shape)}"
        )
    return np.flatnonzero(chosen)


def _in_place(grad: Array, rows: npt.NDArray[np.intp] | slice, scores: Array) -> Array:
    """Gradient of all scores, from that of some rows."""
    if isinstance(rows, slice):
        return grad
    whole = np.zeros_like(scores)
    whole[rows] = grad
    return whole


@dataclass(frozen=True)
class SoftLabels(ComparedScores):
    """KL divergence of the student's distributions from the teacher's, at a temperature.

    Of labels of which any number may hold each has a distribution of its own, see `soft_binary_kl`.
    """

    formula: ClassVar[str] = "T^2 KL(softmax(z_t / T) || softmax(z_s / T))"
    order: ClassVar[int] = 0

    def check(self, pair: Pair) -> None:
        head = pair.student.heads[0]
        if not head.by_token and len(head.classes()) == 1 and not pair.several_labels:
            raise ConfigError("soft labels are for classes; for a regression use the term logits")

    def count(self, batch: Batch, pair: Pair) -> float:
        if pair.soft_on == "all":
            rows = super().count(batch, pair)
            return rows * len(pair.student.heads[0].classes()) if pair.several_labels else rows
        labels = class_target(batch, "labels", batch.num_tokens, pair.student.config.vocab_size)
        return int((labels != IGNORE_INDEX).sum())

    def __call__(self, inputs: TermInputs, scale: float, gradients: Gradients) -> float:
        pair, batch, total = inputs.pair, inputs.batch, 0.0
        head, kl = pair.student.heads[0], soft_binary_kl if pair.several_labels else soft_label_kl
        rows = _compared_rows(head, batch)
        for name in head.score_outputs:
            ours, theirs = (head.score_rows(z[name], batch) for z in (inputs.student, inputs.teacher))
            loss = kl(ours[rows], theirs[rows], temperature=pair.temperature)
            gradients.add(name, head.from_score_rows(_in_place(loss.grad, rows, ours), batch) * scale)
            total += loss.sum
        return total


@dataclass(frozen=True)
class Logits(ComparedScores):
    """Squared distance of the scores as they are."""

    formula: ClassVar[str] = "|z_s - z_t|^2"
    order: ClassVar[int] = 1

    def check(self, pair: Pair) -> None:
        if not pair.student.heads[0].classes():
            name = type(pair.student).__name__
            raise ConfigError(f"the logits term is for classifiers and regression; {name} is neither")

    def __call__(self, inputs: TermInputs, scale: float, gradients: Gradients) -> float:
        (name,) = inputs.pair.student.heads[0].score_outputs
        rows, ours = _compared_rows(inputs.pair.student.heads[0], inputs.batch), inputs.student[name]
        loss = logits_mse(ours[rows], inputs.teacher[name][rows])
        gradients.add(name, _in_place(loss.grad, rows, ours) * scale)
        return loss.sum


@dataclass(frozen=True)
class HardLabels(Term):
    """The student's own loss against the labels of the batch."""

    formula: ClassVar[str] = "-log softmax(z_s)[label]"
    order: ClassVar[int] = 2
    of_scores: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True

    def count(self, batch: Batch, pair: Pair) -> float:
        return sum(pair.labels.counts(batch).values())

    def __call__(self, inputs: TermInputs, scale: float, gradients: Gradients) -> float:
        labels, batch = inputs.pair.labels, inputs.batch
        scales = dict.fromkeys(labels.counts(batch), scale)
        losses = labels.losses(dict(inputs.student), batch, scales, inputs.grads)
        for output, grad in losses.douts.items():
            gradients.add(output, grad)
        return sum(losses.sums.values())


def word_terms(
    terms: Mapping[str, Term], inputs: TermInputs, scales: Mapping[str, float], gradients: Gradients
) -> dict[str, float]:
    """Sums of the soft and the hard labels of a masked LM, in one pass over the vocabulary.

    A score for each word and token is too much to hold: student and teacher stop before their last layer,
    at "features" [T, H], and the pass goes on from there in chunks of tokens.
    """
    pair, batch, features = inputs.pair, inputs.batch, inputs.student["features"]
    if not terms.keys() & {"soft", "hard"}:
        return {}
    masked = pair.soft_on == "masked"
    labels = target(batch, "labels") if "hard" in terms or masked else None
    rows = np.flatnonzero(labels != IGNORE_INDEX) if masked else slice(None)
    head = pair.student.heads[0]
    assert isinstance(head, MaskedLMHead)
    weight, bias = head.decoder_names
    found, dfeatures, _, _ = pair.student.backend.linear_cross_entropy(
        features[rows],
        *pair.student.params.linear(weight, bias),
        labels=labels[rows] if labels is not None and "hard" in terms else None,
        label_scale=scales.get("hard", 0.0),
        teacher=_teacher_words(inputs, rows) if "soft" in terms else None,
        soft_scale=scales.get("soft", 0.0),
        temperature=pair.temperature,
        dweight=inputs.grads[weight],
        dbias=inputs.grads[bias],
    )
    if masked:
        some, dfeatures = dfeatures, np.zeros_like(features)
        dfeatures[rows] = some
    gradients.add("features", dfeatures)
    sums = {"hard": found.labels, "soft": found.soft}
    return {name: value for name, value in sums.items() if name in terms}


def _teacher_words(inputs: TermInputs, rows: npt.NDArray[np.intp] | slice) -> LinearHead | TopKLogits:
    """The teacher's scores over words: stored ones, or the operands that give them."""
    if "top_k" in inputs.teacher:
        words, scores = inputs.teacher["top_k"]
        return TopKLogits(words[rows], scores[rows], inputs.pair.student.config.vocab_size)
    teacher = inputs.pair.teacher
    assert teacher is not None
    assert isinstance(teacher.heads[0], MaskedLMHead)
    names = teacher.heads[0].decoder_names
    return LinearHead(inputs.teacher["features"][rows], *teacher.params.linear(*names))


def label_order(pair: Pair) -> npt.NDArray[np.intp] | None:
    """Indices of the student's labels among the teacher's; None if they are in the same order.

    Raises
    ------
    ConfigError
        Another number of labels, or labels of other names. LABEL_0, LABEL_1, ..., which a config has that was
        not told any, are no names.
    """
    student, teacher = pair.student, pair.teacher
    if teacher is None:
        return None
    one, other = student.heads[0], teacher.heads[0] if teacher.heads else Head()
    ours, theirs = one.classes(), other.classes()
    if not (ours and theirs) or one.by_token != other.by_token:
        return None
    if len(ours) != len(theirs):
        raise ConfigError(
            f"the teacher has {len(theirs)} labels ({', '.join(theirs[:8])}), the student {len(ours)} "
            f"({', '.join(ours[:8])}): give the student's config the teacher's id2label"
        )
    unnamed = [f"LABEL_{i}" for i in range(len(ours))]
    if ours == theirs or len(ours) == 1 or unnamed in (ours, theirs):
        return None
    if sorted(ours) != sorted(theirs):
        raise ConfigError(
            f"the teacher's labels are {', '.join(theirs[:8])}, the student's {', '.join(ours[:8])}: "
            "give the student's config the teacher's id2label"
        )
    return np.array([theirs.index(label) for label in ours])
