"""Word replacement: copies of tokenised texts in which some words are replaced by others.

A student that learns a teacher's answers on them meets more texts than the training file has. The labels do
not go with them: another word may make the answer another one.

This is the data augmentation of TinyBERT (Jiao et al. 2019, arXiv:1909.10351, section 3.2 and algorithm 1).
Each word of a copy is replaced with probability p by one of K candidates, drawn alike; N copies are made. The
paper takes p = 0.4, K = 15, N = 20. Candidates are there the likeliest words in the place by a masked LM for
words of one piece, and the nearest words by GloVe for those of several. Here

- tokens are replaced, not texts: a word of one piece by another one. Lengths, token types, windows and first
  pieces of words stay as they are, and so it goes with every kind of task. Words of several pieces stay.
- words are made of letters. Numbers and punctuation stay, and a word never becomes one of these.
- a word is not a candidate for itself.
- candidates are the nearest words in a model's own word table (`nearest_words`), or a masked LM's for all
  replaced words of a copy at once (`minidistil.distill.masked_candidates`).

Random numbers are from a counter, (seed, copy, example, position): always the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil import ops as textbook
from minidistil.arrays import Array, Int32, Int64
from minidistil.errors import DataError
from minidistil.ops.philox import derive_key, philox
from minidistil.text.dataset import Dataset
from minidistil.text.vocabulary import Vocabulary
from minidistil.text.word_marks import WordBorders

PURPOSE = 0x2E91A  # sets these random numbers apart from those of other purposes under the same seed
ROWS_AT_ONCE = 256  # whose scores of all words exist at a time

Bools = npt.NDArray[np.bool_]
Candidates = Callable[[Dataset, Int64], Int32]
"""Candidates [M, K] for the tokens at [M] indices of a dataset's tokens."""


def word_ids(vocabulary: Vocabulary, rows: int) -> Bools:
    """bool [V]: ids of whole words, made of letters alone; `rows` is V, the length of a word table.

    Where tokens carry the space before them, those that have none are no words.
    """
    pieces = (vocabulary.marks.read(vocabulary.id_to_token(i) or "") for i in range(rows))
    words = np.array([piece.begins and piece.text.isalpha() for piece in pieces], np.bool_)
    words[[i for i in vocabulary.all_special_ids if i < rows]] = False
    return words


def word_tokens(data: Dataset, words: Bools, vocabulary: Vocabulary) -> Bools:
    """bool [T]: tokens that are a word by themselves, not the first piece of one."""
    borders = WordBorders.of(vocabulary.marks, map(vocabulary.id_to_token, range(len(words))))
    alone = words[data.input_ids]
    alone[:-1] &= borders.first_pieces(data.input_ids)[1:]  # a sequence does not begin within a word
    return alone


def best_words(scores: Array, words: Bools, own: npt.NDArray[np.integer[Any]], k: int) -> Int32:
    """The k words with the highest scores in each row, the highest first, without the row's own word.

    Parameters
    ----------
    scores : float [M, V]
    words : bool [V]
        Those that may be chosen.
    own : int [M]
    k : int
        Where there are fewer other words than that, all.

    Returns
    -------
    int32 [M, K]
    """
    allowed = np.where(words, scores, -np.inf)
    allowed[np.arange(len(own)), own] = -np.inf
    k = min(k, int(words.sum()) - 1)
    best = np.argpartition(-allowed, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(allowed, best, 1), axis=1, kind="stable")
    return np.take_along_axis(best, order, 1).astype(np.int32)


def nearest_words(
    table: Array, words: Bools, ids: npt.NDArray[np.integer[Any]], k: int, *, ops: ModuleType = textbook
) -> Int32:
    """The k nearest words of some words, by the cosine of their vectors; see `best_words`.

    Parameters
    ----------
    table : float [V, H]
        Vectors of words.
    words : bool [V]
    ids : int [M]
    k : int
    ops : module
        Backend of the products.

    Returns
    -------
    int32 [M, K]
    """
    lengths = np.sqrt(np.einsum("vh,vh->v", table, table))
    unit = table / np.maximum(lengths, np.finfo(table.dtype).tiny)[:, None]
    bias = np.zeros(len(unit), unit.dtype)
    found = [np.zeros((0, min(k, int(words.sum()) - 1)), np.int32)]
    for begin in range(0, len(ids), ROWS_AT_ONCE):
        some = ids[begin : begin + ROWS_AT_ONCE]
        cosines, _ = ops.linear_forward(unit[some], unit, bias)
        found.append(best_words(cosines, words, some, k))
    return np.concatenate(found)


def table_candidates(
    table: Array, words: Bools, data: Dataset, k: int, *, ops: ModuleType = textbook
) -> Candidates:
    """Candidates by the vectors of words: `nearest_words` of those that occur in `data`, computed once."""
    occurring = np.unique(data.input_ids)
    occurring = occurring[words[occurring]]
    nearest = nearest_words(table, words, occurring, k, ops=ops)

    def candidates(data: Dataset, at: Int64) -> Int32:
        found: Int32 = nearest[np.searchsorted(occurring, data.input_ids[at])]
        return found

    return candidates


def replaced_copies(
    data: Dataset,
    alone: Bools,
    candidates: Candidates,
    *,
    copies: int,
    share: float,
    seed: int,
    examples: Int64 | None = None,
) -> Dataset:
    """Copies of a dataset with replaced words, end to end, without labels.

    Of its targets the flags of tokens stay, such as which are first pieces of words.

    Parameters
    ----------
    data : Dataset
    alone : bool [T]
        Tokens that may be replaced, see `word_tokens`.
    candidates : callable
    copies : int
        N, of each example.
    share : float in (0, 1]
        Probability that a token is replaced.
    seed : int
    examples : int64 [B], optional
        Numbers of the examples that the sequences are of, by which random numbers are drawn; their ids by
        default. In sequences of one number the same positions are replaced.

    Returns
    -------
    Dataset
        Of N B sequences, numbered from 0: all of the first copy, all of the second, ...

    Raises
    ------
    DataError
        No token may be replaced.
    """
    if not alone.any():
        raise DataError("no word of the examples can be replaced: none is a single token of letters alone")
    who = np.repeat(data.example_ids if examples is None else examples, data.lengths)
    position = np.arange(data.num_tokens) - np.repeat(data.offsets[:-1], data.lengths)
    rows = []
    for copy in range(copies):
        chance, rank, _, _ = philox(position, who, who >> 32, 0, derive_key(seed, PURPOSE, copy))
        at = np.flatnonzero(alone & (chance * 2.0**-32 < share))
        found = candidates(data, at)
        drawn = (rank[at].astype(np.uint64) * np.uint64(found.shape[1])) >> np.uint64(32)
        ids = data.input_ids.copy()
        ids[at] = found[np.arange(len(at)), drawn.astype(np.int64)]
        rows.append(ids)
    ends = data.offsets[1:] + np.arange(copies)[:, None] * data.num_tokens
    return replace(
        data,
        input_ids=np.concatenate(rows),
        token_type_ids=np.tile(data.token_type_ids, copies),
        offsets=np.append(0, ends.ravel()),
        example_ids=np.arange(copies * len(data)),
        targets={},
        token_targets={
            name: np.tile(values, copies)
            for name, values in data.token_targets.items()
            if values.dtype == bool
        },
    )
