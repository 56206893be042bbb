"""Fused linear cross-entropy: losses over the vocabulary, from the input of the last layer.

A row of logits has as many numbers as there are words: for BERT forty times the width of the vector it is
computed from. A kernel takes tokens in chunks, projects, takes the losses and their gradient, and projects
back, so that the whole [T, V] never exists; here is what it computes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minidistil.arrays import Array, IntArray
from minidistil.errors import InputError
from minidistil.losses.base import integer_labels
from minidistil.losses.cross_entropy import IGNORE_INDEX, cross_entropy
from minidistil.losses.soft_labels import soft_label_kl
from minidistil.ops.linear import linear_backward, linear_forward


class VocabularySums(NamedTuple):
    """Sums over tokens: cross-entropy against labels, KL divergence from the teacher. 0 if not asked for."""

    labels: float
    soft: float


class LinearHead(NamedTuple):
    """Operands of logits: features W^T + b."""

    features: Any  # [T, H]
    weight: Any  # [V, H]
    bias: Any  # [V]

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens and words."""
        return len(self.features), len(self.weight)


class TopKLogits(NamedTuple):
    """The likeliest words of each token and their logits; the rest are taken to be impossible.

    The soft labels are then a softmax over K words: what the others had is shared out among these.
    """

    words: Any  # int [T, K]
    logits: Any  # [T, K]
    size: int  # V

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens and words."""
        return len(self.words), self.size

    def fill(self, out: Array, part: slice = slice(None)) -> None:
        """Write the logits [C, V] of some tokens, -inf where nothing is kept."""
        out.fill(-np.inf)
        np.put_along_axis(out, self.words[part], self.logits[part], 1)


def linear_cross_entropy(
    features: Array,
    weight: Array,
    bias: Array,
    *,
    labels: IntArray | None = None,
    label_scale: float = 1.0,
    teacher: LinearHead | TopKLogits | None = None,
    soft_scale: float = 1.0,
    temperature: float = 2.0,
    dweight: Array | None = None,
    dbias: Array | None = None,
) -> tuple[VocabularySums, Array, Array, Array]:
    """Cross-entropy and soft labels of logits = features W^T + b, with all gradients.

    Parameters
    ----------
    features : [T, H]
    weight : [V, H]
    bias : [V]
    labels : int [T], optional
        The right word of each token, or -100. Without a teacher nothing is computed for tokens without label.
    teacher : LinearHead or TopKLogits, optional
        Its logits are the soft labels, for every token. Its width may be another; its V may not.
    label_scale, soft_scale : float
        The gradients are those of label_scale * (sum over labels) + soft_scale * (sum over soft labels).
    temperature : float
        T of the soft labels.
    dweight, dbias : optional
        Gradients are added to those given.

    Returns
    -------
    sums : VocabularySums
    dfeatures : [T, H]
    dweight : [V, H], dbias : [V]

    Raises
    ------
    InputError
        Vocabularies of different size, or labels outside of it.

    Notes
    -----
    The gradients by the logits are those of `minidistil.losses.cross_entropy` and
    `minidistil.losses.soft_label_kl`; the rest is the linear layer's.
    """
    rows = rows_with_loss(len(features), len(weight), labels, teacher)
    chosen = features[rows]
    logits, cache = linear_forward(chosen, weight, bias)  # [T, H] -> [T, V]
    dlogits = np.zeros_like(logits)
    hard = soft = 0.0
    if labels is not None:
        loss = cross_entropy(logits, labels[rows])
        hard, dlogits = loss.sum, dlogits + label_scale * loss.grad
    if teacher is not None:
        if isinstance(teacher, TopKLogits):
            teacher_logits = np.empty_like(logits)
            teacher.fill(teacher_logits)
        else:
            teacher_logits = linear_forward(*teacher)[0]
        loss = soft_label_kl(logits, teacher_logits, temperature=temperature)
        soft, dlogits = loss.sum, dlogits + soft_scale * loss.grad
    dchosen, dweight, dbias = linear_backward(dlogits, cache, dweight, dbias)
    dfeatures = np.zeros_like(features)
    dfeatures[rows] = dchosen
    return VocabularySums(hard, soft), dfeatures, dweight, dbias


def rows_with_loss(
    tokens: int,
    words: int,
    labels: IntArray | None,
    teacher: LinearHead | TopKLogits | None,
) -> Any:
    """Index of the tokens that need logits: with a teacher all, else those with a label. Checks its input."""
    if labels is not None:
        labels = integer_labels(labels, tokens)
        bad = np.flatnonzero((labels != IGNORE_INDEX) & ((labels < 0) | (labels >= words)))
        if len(bad):
            raise InputError(
                f"label {labels[bad[0]]} at index {bad[0]}: expected one from 0 to {words - 1} or "
                f"{IGNORE_INDEX} for none"
            )
    if teacher is not None:
        if teacher.shape != (tokens, words):
            raise InputError(
                f"the teacher has {teacher.shape[0]} tokens and {teacher.shape[1]} words, the student "
                f"{tokens} and {words}: they must share their tokenizer and their batch"
            )
        return slice(None)
    return slice(0) if labels is None else np.flatnonzero(labels != IGNORE_INDEX)
