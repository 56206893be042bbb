"""Similarity of the layers of two models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array
from minidistil.batch import Batch
from minidistil.distill.vocabulary import check_same_ids
from minidistil.errors import InputError
from minidistil.model import load_to_answer
from minidistil.model.model import Model
from minidistil.text.lengths import sequence_length
from minidistil.text.tokenizer import Tokenizer
from minidistil.weights.hub import resolve

SENTENCES = [
    "The film is a warm and funny portrait of a family that never quite grows up.",
    "Two trains left the station at noon, and only one of them arrived.",
    "She opened the window, looked at the grey sea, and said nothing.",
    "Prices rose by four percent last year, more than anyone had expected.",
    "It is a long, dull, clumsy story with an ending that comes too late.",
    "The committee will meet again on Thursday to decide about the bridge.",
]


def linear_cka(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Linear centred kernel alignment of two representations of the same N tokens.

    Parameters
    ----------
    x : float [N, H]
    y : float [N, K]

    Returns
    -------
    float
        From 0 to 1; 1 if one is the other turned, scaled and shifted. 0 if either does not vary.

    Raises
    ------
    InputError
        Other shapes.

    Notes
    -----
    With centred columns,

        CKA = |Y^T X|_F^2 / (|X^T X|_F |Y^T Y|_F)

    (Kornblith, Norouzi, Lee and Hinton 2019, "Similarity of Neural Network Representations Revisited",
    arXiv:1905.00414, section 3). Widths may differ, and no neuron needs a partner of its own.
    """
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b):
        raise InputError(f"expected two matrices with as many rows, not {list(a.shape)} and {list(b.shape)}")
    a, b = a - a.mean(0), b - b.mean(0)
    own = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return float(np.linalg.norm(b.T @ a) ** 2 / own) if own > 0 else 0.0


def mean_cosine(x: Array, y: Array) -> float:
    """Mean over rows of the cosine between x [N, H] and y [N, H]."""
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return float(np.mean((x * y).sum(1) / np.maximum(lengths, 1e-12)))


def layer_similarity(
    student: Model, teacher: Model, batches: Sequence[Batch]
) -> dict[str, list[list[float]] | None]:
    """Every hidden state of the student beside every one of the teacher, over all tokens of some batches.

    Returns
    -------
    dict
        "cka" and "cosine": L_s + 1 rows of L_t + 1 numbers, the embeddings first. "cosine" is None between
        unequal widths.
    """
    ours, theirs = (
        [
            np.concatenate(states)
            for states in zip(
                *(
                    m.forward(b, hidden_states=True, logits=False, keep_cache=False)[0]["hidden_states"]
                    for b in batches
                ),
                strict=True,
            )
        ]
        for m in (student, teacher)
    )
    same = student.config.hidden_size == teacher.config.hidden_size
    return {
        "cka": [[linear_cka(s, t) for t in theirs] for s in ours],
        "cosine": [[mean_cosine(s, t) for t in theirs] for s in ours] if same else None,
    }


def compare_layers(
    student: str, teacher: str, texts: Sequence[str] | None = None
) -> dict[str, list[list[float]] | None]:
    """`layer_similarity` of two models that share a vocabulary, given as directories or ids.

    Raises
    ------
    InputError
        The vocabularies differ.
    """
    ours, theirs = load_to_answer(student, "Model"), load_to_answer(teacher, "Model")
    tokenizer, texts = Tokenizer.from_pretrained(resolve(teacher)), texts or SENTENCES
    own = Tokenizer.from_pretrained(resolve(student))
    check_same_ids(own, tokenizer, texts, names=(student, teacher))
    limit = min(sequence_length(tokenizer, model.config) for model in (ours, theirs))
    batch = Batch.from_sequences([e.ids for e in tokenizer.iter_encode(texts, max_length=limit)])
    return layer_similarity(ours, theirs, [batch])
