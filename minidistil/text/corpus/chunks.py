"""Documents into training sequences, as DistilBERT's data was made: chunks of at most 512 tokens.

Each chunk of a document gets its own [CLS] and [SEP]; what is too short, or mostly unknown words, is dropped
(lm_seqs_dataset.py of DistilBERT's authors, whose limits are the defaults here). One thing is tidier than
theirs: they cut a long document with its [CLS] still on, so that the first chunk is a token shorter than
the others, and the last may hold nothing but [CLS] [SEP].

Nothing is copied. A sequence is two numbers, where its tokens begin in the corpus and how many they are.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Int64
from minidistil.batch import Batch
from minidistil.errors import ConfigError
from minidistil.text.corpus.corpus import Corpus
from minidistil.text.tokenizer import Tokenizer

MAX_LENGTH = 512
SHORTEST = 12  # tokens, [CLS] and [SEP] among them: sequences of 11 and fewer are dropped
UNKNOWN = 0.5  # sequences of which this share or more is [UNK] are dropped
DOCUMENTS = 1 << 16  # looked at together
CHUNKS = 1 << 12


@dataclass(frozen=True, eq=False)
class Sequences:
    """N sequences: [CLS], a stretch of a corpus, [SEP].

    Attributes
    ----------
    corpus : Corpus
    starts : int64 [N]
        Begin of each sequence in `corpus.tokens`.
    sizes : int32 [N]
        Tokens of each stretch.
    cls, sep : int
        Ids of [CLS] and [SEP].
    """

    corpus: Corpus
    starts: Int64
    sizes: npt.NDArray[np.int32]
    cls: int
    sep: int

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """int32 [N]: tokens of each sequence, [CLS] and [SEP] among them."""
        return self.sizes + np.int32(2)

    @property
    def example_ids(self) -> Int64:
        """int64 [N]: stable id of each sequence, its first token's index in the corpus."""
        return self.starts

    @property
    def num_tokens(self) -> int:
        return int(self.sizes.sum(dtype=np.int64)) + 2 * len(self)

    def batch(self, indices: npt.ArrayLike) -> Batch:
        """The sequences at `indices` (integers, or a mask), packed, in a time that does not grow with N."""
        rows = np.asarray(indices)
        rows = rows if rows.size else np.zeros(0, np.int64)
        starts, lengths = self.starts[rows], self.sizes[rows] + np.int32(2)
        cu = np.zeros(len(starts) + 1, np.int32)
        np.cumsum(lengths, out=cu[1:])
        ids = np.empty(cu[-1], np.int32)
        ids[cu[:-1]], ids[cu[1:] - 1] = self.cls, self.sep
        tokens = self.corpus.tokens
        for start, first, stop in zip(starts.tolist(), cu.tolist(), cu[1:].tolist(), strict=False):
            ids[first + 1 : stop - 1] = tokens[start : start + stop - first - 2]
        self.corpus.release()
        return Batch(
            input_ids=ids,
            cu_seqlens=cu,
            token_type_ids=np.zeros_like(ids),
            example_ids=starts,
            columns=np.arange(len(ids), dtype=np.int32) - np.repeat(cu[:-1], lengths),
            width=int(lengths.max(initial=0)),
        )

    def subset(self, indices: npt.ArrayLike) -> Self:
        """The sequences at `indices` (integers, or a mask), in that order."""
        rows = np.asarray(indices)
        return replace(self, starts=self.starts[rows], sizes=self.sizes[rows])

    def content_hash(self) -> str:
        """SHA-256 over the corpus's hash and which stretches of it these are."""
        digest = hashlib.sha256(json.dumps([self.corpus.content_hash(), self.cls, self.sep]).encode())
        digest.update(self.starts.astype("<i8").data)
        digest.update(self.sizes.astype("<i4").data)
        return digest.hexdigest()


class Split(NamedTuple):
    """Sequences for training, and others held out."""

    train: Sequences
    held_out: Sequences


def chunk(
    corpus: Corpus,
    tokenizer: Tokenizer,
    *,
    max_length: int = MAX_LENGTH,
    shortest: int = SHORTEST,
    unknown: float = UNKNOWN,
    held_out: float = 0.0,
) -> Split:
    """Cut the documents of a corpus into sequences, and keep a share of the documents out.

    A document is kept out if a hash of its tokens is below the share. So it stays on its side when the
    corpus grows or its files are reordered, a larger share keeps out what a smaller one did, and of two
    equal documents never just one is learned from.

    Parameters
    ----------
    corpus : Corpus
    tokenizer : Tokenizer
        The one that the corpus was encoded with.
    max_length : int
        Most tokens of a sequence, [CLS] and [SEP] among them.
    shortest : int
        Fewest tokens of a sequence.
    unknown : float
        Sequences of which this share or more is [UNK], counted over all their tokens, are dropped. Above 1
        keeps everything.
    held_out : float
        Share of the documents to keep out, in [0, 1].

    Returns
    -------
    Split
        Sequences in the order of the corpus. Either part may be empty.

    Raises
    ------
    ConfigError
        Another tokenizer, or limits that cannot be.
    """
    if max_length < 3:
        raise ConfigError(f"max_length is {max_length!r}: expected 3 or more")
    if shortest > max_length:
        raise ConfigError(f"shortest is {shortest}, more than max_length, which is {max_length}")
    if not 0 <= held_out <= 1:
        raise ConfigError(f"held_out is {held_out!r}: expected a share in [0, 1]")
    if corpus.meta["plan"]["tokenizer"] != tokenizer.content_hash():
        raise ConfigError(f"{corpus.directory} was encoded with another tokenizer")
    unk = tokenizer.token_to_id(tokenizer.special_tokens["unk_token"])
    parts: list[tuple[Int64, npt.NDArray[np.int32], npt.NDArray[np.bool_]]] = []
    for first in range(0, len(corpus), DOCUMENTS):
        offsets = np.asarray(corpus.offsets[first : first + DOCUMENTS + 1])
        starts, sizes, documents = _cut(offsets, max_length - 2)
        keep = sizes + 2 >= shortest
        if unk is not None:
            keep &= _count(corpus, starts, sizes, unk) / (sizes + 2) < unknown
        out = _is_held_out(corpus, offsets, held_out)[documents]
        parts.append((starts[keep], sizes[keep], out[keep]))
        corpus.release()
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    every = Sequences(corpus, columns[0], columns[1], tokenizer.cls_token_id, tokenizer.sep_token_id)
    return Split(every.subset(~columns[2]), every.subset(columns[2]))


def _cut(offsets: Int64, size: int) -> tuple[Int64, npt.NDArray[np.int32], Int64]:
    """Stretches of at most `size` tokens: where they start, how long they are, whose they are.

    Parameters
    ----------
    offsets : [n + 1]
        Documents, end to end.

    Returns
    -------
    starts, sizes, documents : [c]
        They adjoin: start + size is the next one's start.
    """
    chunks = -(-np.diff(offsets) // size)  # of each document
    documents = np.repeat(np.arange(len(chunks)), chunks)
    number = np.arange(len(documents)) - np.repeat(np.cumsum(chunks) - chunks, chunks)  # within its document
    starts = offsets[:-1][documents] + number * size
    sizes = np.minimum(offsets[1:][documents] - starts, size).astype(np.int32)
    return starts, sizes, documents


def _count(corpus: Corpus, starts: Int64, sizes: npt.NDArray[np.int32], token: int) -> Int64:
    """Count a token in each of some adjoining stretches, [c]."""
    counts = np.zeros(len(starts), np.int64)
    for i in range(0, len(starts), CHUNKS):
        begin, last = starts[i], min(i + CHUNKS, len(starts)) - 1
        found = corpus.tokens[begin : starts[last] + sizes[last]] == token
        counts[i : last + 1] = np.add.reduceat(found, starts[i : last + 1] - begin, dtype=np.int64)
    return counts


def _is_held_out(corpus: Corpus, offsets: Int64, share: float) -> npt.NDArray[np.bool_]:
    """bool [n]: a hash of the document, as a fraction of the largest there is, is below the share."""
    if not share:
        return np.zeros(len(offsets) - 1, np.bool_)
    hashes = b"".join(_hashes(corpus, offsets))
    return np.frombuffer(hashes, "<u8") / 2.0**64 < share


def _hashes(corpus: Corpus, offsets: Int64) -> Iterator[bytes]:
    edges = offsets.tolist()
    for start, stop in itertools.pairwise(edges):
        yield hashlib.blake2b(corpus.tokens[start:stop].astype("<u4").data, digest_size=8).digest()
