"""Word alignment: link the words of a sentence with those of its translation by their vectors.

SimAlign (Jalili Sabet, Dufter, Yvon and Schütze 2020, "SimAlign: High Quality Word Alignments without
Parallel Training Data using Static and Contextualized Embeddings", arXiv:2004.08728), at the level of words:
the similarity of two words is the cosine of their vectors, scaled to 0 to 1, and the matrix of similarities
gives the links.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_choice
from minidistil.arrays import Array, Float64, Int64
from minidistil.batch import Batch
from minidistil.embeddings.similarity import directions
from minidistil.errors import InputError, UsageError
from minidistil.model.model import Model
from minidistil.progress import Progress
from minidistil.text.batching import TOKENS_AT_ONCE, sorted_batches
from minidistil.text.lengths import sequence_length
from minidistil.text.tokenizer import Tokenizer

Method = Literal["argmax", "itermax", "match"]

# The paper's for itermax: the factor of a similarity of which one word has a link already, and the rounds.
DISCOUNT, ITERATIONS = 0.9, 2
# The paper's multilingual encoders, BERT and XLM-R of 12 layers, align best at layer 8.
DEPTH = 8 / 12


class Span(NamedTuple):
    """Position of a word: `text[start:end]`."""

    start: int
    end: int


class Link(NamedTuple):
    """Link between two words.

    Attributes
    ----------
    source, target : int
        Numbers of the words in their sentences, from 0.
    similarity : float
        From 0 to 1: (1 + cos) / 2.
    """

    source: int
    target: int
    similarity: float


class Alignment(NamedTuple):
    """Words of two sentences, and the links between them by source word, then by target word."""

    source: list[Span]
    target: list[Span]
    links: list[Link]


def align_words(
    model: Model,
    tokenizer: Tokenizer,
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    method: Method = "itermax",
    layer: int | None = None,
    progress: Progress | None = None,
) -> list[Alignment]:
    """Align the words of sentences with those of their translations.

    Words are the tokenizer's, split at spaces; a punctuation mark or a Chinese character is a word. A word's
    vector is the mean of those of its tokens.

    Parameters
    ----------
    model : Model
        An encoder that knows both languages.
    tokenizer : Tokenizer
    sources, targets : sequences of str
        `targets[i]` translates `sources[i]`.
    method : {"argmax", "itermax", "match"}
        See `links`.
    layer : int, optional
        Layer of the vectors: 0 is the embeddings, i the output of layer i. Default: two thirds of the layers.
    progress : Progress, optional
        Counts pairs.

    Returns
    -------
    list of Alignment
        In the order of the pairs, which do not depend on each other. Words are positions in the original
        texts.

    Raises
    ------
    InputError
        Something that is not text, unequal numbers of texts, or a sentence with more tokens than the model
        has positions.
    UsageError
        An unknown method or layer.
    """
    depth = model.config.depth
    layer = round(DEPTH * depth) if layer is None else layer
    if not 0 <= layer <= depth:
        raise UsageError(f"layer is {layer}: expected 0 to {depth}")
    check_choice("method", method, get_args(Method))
    if len(sources) != len(targets):
        raise InputError(f"{len(sources)} sentences but {len(targets)} translations")
    length = sequence_length(tokenizer, model.config)
    sides = [tokenizer.encode(texts, max_length=length, truncation="error") for texts in (sources, targets)]
    lengths = np.array([[len(ids) for ids in side.input_ids] for side in sides], np.int64).sum(0)
    alignments: dict[int, Alignment] = {}
    for rows in sorted_batches(lengths, TOKENS_AT_ONCE):
        both = [(side.input_ids[row], side.token_type_ids[row]) for side in sides for row in rows]
        batch = Batch.from_sequences(*zip(*both, strict=True))
        outputs, _ = model.forward(batch, hidden_states=True, logits=False, keep_cache=False)
        states = np.split(outputs["hidden_states"][layer], batch.cu_seqlens[1:-1])
        for row, a, b in zip(rows.tolist(), states[: len(rows)], states[len(rows) :], strict=True):
            words = [side.raw[row] for side in sides]
            similarity = word_similarities(_word_vectors(a, words[0]), _word_vectors(b, words[1]))
            alignments[row] = Alignment(
                spans(sources[row], words[0]),
                spans(targets[row], words[1]),
                [Link(i, j, float(similarity[i, j])) for i, j in links(similarity, method).tolist()],
            )
        if progress is not None:
            progress.update(len(rows))
    return [alignments[row] for row in range(len(sources))]


def word_similarities(source: Array, target: Array) -> Float64:
    """Similarities (1 + cos) / 2 [S, T] of words [S, H] and [T, H], from 0 to 1."""
    cosines = directions(source) @ directions(target).T
    return np.clip((1 + cosines) / 2, 0, 1)


def links(similarity: npt.ArrayLike, method: Method = "itermax") -> Int64:
    """Extract links [n, 2] from similarities, sorted by source word, then by target word.

    Parameters
    ----------
    similarity : float [S, T]
        At least 0.
    method : {"argmax", "itermax", "match"}
        The three methods of the paper.

        argmax: i and j are linked if each is the other's most similar word, of equal ones the first; a word
        without any similarity has no link. The most precise, with the fewest links.

        itermax: argmax twice. In the second round a similarity is multiplied by 0.9 if one of its words has a
        link, and by 0 if both have, so that more words find a link.

        match: the one-to-one links with the largest sum of similarities. Every word of the shorter sentence
        has a link.

    Raises
    ------
    InputError
        Another shape, a NaN, or similarities below 0.
    UsageError
        An unknown method.
    """
    check_choice("method", method, get_args(Method))
    s = np.asarray(similarity, np.float64)
    if s.ndim != 2 or not (s >= 0).all() or not np.isfinite(s).all():
        raise InputError(f"similarities must be a matrix of numbers >= 0, not such of shape {list(s.shape)}")
    if not s.size:
        return np.zeros((0, 2), np.int64)
    if method == "match":
        wide = s.shape[0] <= s.shape[1]
        return maximum_weight_matching(s) if wide else _sorted(maximum_weight_matching(s.T)[:, ::-1])
    linked = _mutual(s)
    for _ in range(1, ITERATIONS if method == "itermax" else 1):
        busy = linked.any(1, keepdims=True).astype(np.int64) + linked.any(0, keepdims=True)
        linked |= _mutual(s * np.array([1, DISCOUNT, 0])[busy])
    return np.argwhere(linked).astype(np.int64)


def maximum_weight_matching(weights: Float64) -> Int64:
    """One-to-one links [S, 2] with the largest sum of weights [S, T], S <= T.

    The Hungarian method (Kuhn 1955, "The Hungarian Method for the Assignment Problem") in the form that adds
    one row after the other along a shortest augmenting path (Jonker and Volgenant 1987, "A Shortest
    Augmenting Path Algorithm for Dense and Sparse Linear Assignment Problems"): S^2 T steps at most.
    """
    n, m = weights.shape
    cost = weights.max(initial=0) - weights
    # Dual prices with cost - row - column >= 0 everywhere and = 0 on links, which proves the optimum.
    # Column m is the start of a path: the row that is being added sits there.
    row_price, column_price = np.zeros(n), np.zeros(m + 1)
    owner = np.full(m + 1, -1)  # the row that each column is linked to
    for row in range(n):
        owner[m], column = row, m
        distance, previous = np.full(m, np.inf), np.full(m, m)
        done = np.zeros(m + 1, np.bool_)
        while owner[column] >= 0:
            done[column] = True
            i = owner[column]
            reduced = cost[i] - row_price[i] - column_price[:m]
            shorter = ~done[:m] & (reduced < distance)
            distance[shorter], previous[shorter] = reduced[shorter], column
            column = int(np.where(done[:m], np.inf, distance).argmin())
            step = distance[column]
            row_price[owner[done]] += step
            column_price[done] -= step
            distance[~done[:m]] -= step
        while column != m:  # shift columns along the path
            owner[column] = owner[previous[column]]
            column = int(previous[column])
    columns = np.flatnonzero(owner[:m] >= 0)
    return _sorted(np.stack([owner[columns], columns], axis=1))


def spans(text: str, encoding: Any) -> list[Span]:
    """Positions of the words of an encoded text.

    Combining marks after the last letter, which a tokenizer may have dropped, belong to the word.

    Parameters
    ----------
    text : str
    encoding : tokenizers.Encoding
        Of this text.
    """
    by_number: dict[int, Span] = {}
    for word, (start, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
        if word is not None:
            begin = by_number[word].start if word in by_number else start
            by_number[word] = Span(begin, end)
    words = list(by_number.values())
    limits = [*(word.start for word in words[1:]), len(text)]
    return [
        Span(start, _with_marks(text, end, limit)) for (start, end), limit in zip(words, limits, strict=False)
    ]


def _with_marks(text: str, end: int, limit: int) -> int:
    while end < limit and unicodedata.category(text[end])[0] == "M":
        end += 1
    return end


def _word_vectors(states: Array, encoding: Any) -> Array:
    """Sums [W, H] of the vectors [T, H] of each word's tokens, whose cosines are those of means."""
    tokens = np.array([t for t, word in enumerate(encoding.word_ids) if word is not None], np.int64)
    words = np.array([word for word in encoding.word_ids if word is not None], np.int64)
    if not len(tokens):
        return states[:0]
    return np.asarray(np.add.reduceat(states[tokens], np.flatnonzero(np.diff(words, prepend=-1))))


def _mutual(s: Float64) -> npt.NDArray[np.bool_]:
    """Mask [S, T] of the positive entries that are the largest of both their row and their column."""
    rows, columns = s.argmax(1)[:, None], s.argmax(0)
    both = (rows == np.arange(s.shape[1])) & (columns == np.arange(s.shape[0])[:, None])
    return np.asarray(both & (s > 0), np.bool_)


def _sorted(pairs: npt.NDArray[Any]) -> Int64:
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].astype(np.int64)
