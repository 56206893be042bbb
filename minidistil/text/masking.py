"""Masking for masked language modelling: the tokens of a batch to be predicted, and their replacements.

DistilBERT's way (distiller.py of its authors): of all T tokens of a batch, ceil(0.15 T) are drawn without
replacement, a token that occurs c times in the corpus with weight max(c, 1)^-0.7, special tokens never.
Rare words are thus asked for more often than their share, and the draw is over the batch, not over each
sequence. Of those drawn, 80 % become [MASK], 10 % stay, 10 % become any token of the vocabulary. BERT's
own form (Devlin et al. 2018, section 3.1) weighs all tokens alike: smoothing 0.

Whole words (BERT's later models, create_pretraining_data.py of its authors, 2019): a word and the pieces that
go on from it are drawn together or not at all, by the marks of the vocabulary (`minidistil.text.word_marks`).
Words ring as tokens do, each with the weight of its rarest piece; they are taken in that order as long as
they fit, so that no more than ceil(0.15 T) tokens are drawn, and what happens to a token of a drawn word is
still decided for each by itself.

How to draw k of T without replacement, all at once
---------------------------------------------------
Efraimidis and Spirakis (2006, "Weighted random sampling with a reservoir") give token i the key
u_i^(1/w_i), u_i uniform on (0, 1), and take the k largest keys. The logarithm turns this into the k smallest
of e_i = -log(u_i) / w_i, and that shows why it is right: e_i is exponential with rate w_i, the time at which
clock i rings. The first clock to ring is i with probability w_i / sum w. Exponential clocks have no memory,
so among those that have not rung the next is i with probability w_i over what is left of the sum: which is
drawing one after the other.

The u_i come from a counter, (seed, epoch, example, position): a batch has the same masks whenever it is made
in the same epoch, and others in the next, without anything to store.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Float64, Int64
from minidistil.batch import Batch
from minidistil.errors import ConfigError, DataError
from minidistil.losses import IGNORE_INDEX
from minidistil.ops.philox import derive_key, philox
from minidistil.text.corpus.chunks import Sequences
from minidistil.text.corpus.corpus import DAMAGED
from minidistil.text.tokenizer import Tokenizer
from minidistil.text.word_marks import WordBorders

PURPOSE = 0x3A5C  # sets these random numbers apart from dropout's and shuffling's under the same seed
EPOCHS, FIXED = 0, 1


@dataclass(frozen=True)
class Masking:
    """Settings of masking.

    Attributes
    ----------
    share : float in (0, 1]
        Share of tokens that are drawn: of all tokens of a batch, special ones among them; rounded up.
    masked : float in [0, 1]
        Share of those drawn that become [MASK].
    kept : float in [0, 1]
        Share of those drawn that stay, with `masked` 1 at most. The rest become random tokens.
    smoothing : float >= 0
        A token's weight is max(count, 1)^-smoothing; 0 weighs all alike.
    over : {"batch", "sequence"}
        Unit of which the share is taken. Over the batch, as published, longer or rarer sequences get more of
        the masks, and the choice depends on the rest of the batch. Over each sequence it does not: 4 batches
        of 8 then have the masks of 1 batch of 32.
    fixed : bool
        The same masks in every epoch, over each sequence by itself, as BERT's own data had them ("static" in
        Liu et al. 2019, arXiv:1907.11692, section 4.1, who find new ones a little better). What a teacher
        says is then always the same, and can be kept.
    whole_words : bool
        Whether the pieces of a word are drawn together, so that none can be guessed from the others.
    """

    share: float = 0.15
    masked: float = 0.8
    kept: float = 0.1
    smoothing: float = 0.7
    over: Literal["batch", "sequence"] = "batch"
    fixed: bool = False
    whole_words: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigError(f"share is {self.share!r}: expected a share of the tokens in (0, 1]")
        if min(self.masked, self.kept) < 0 or self.masked + self.kept > 1 + 1e-9:
            raise ConfigError(
                f"masked is {self.masked!r} and kept is {self.kept!r}: expected shares of 1 at most together"
            )
        if self.over not in ("batch", "sequence"):
            raise ConfigError(f"over is {self.over!r}: expected 'batch' or 'sequence'")
        if not 0 <= self.smoothing < math.inf:
            raise ConfigError(f"smoothing is {self.smoothing!r}: expected a number >= 0")

    def targets(self, tokens: int) -> int:
        """Number of tokens that are drawn: ceil(share * tokens)."""
        return math.ceil(round(self.share * tokens, 6))  # 0.07 * 100 is 7.000000000000001, not 8


@dataclass(frozen=True, eq=False)
class MaskedDataset:
    """Sequences with masked batches: `labels` [T] among the targets, -100 for tokens not to be predicted.

    The trainer calls `for_epoch`, so that every epoch has its own masks.

    Attributes
    ----------
    sequences : Sequences
    masking : Masking
    weights : float64 [V]
        Of each id; 0 where it is never drawn.
    mask_id : int
    seed : int
    epoch : int or None
        None: masks that never change. They are drawn for each sequence by itself, ceil(share * length), so
        that they do not depend on what else is in the batch.
    borders : WordBorders, optional
        Of whole words.
    """

    sequences: Sequences
    masking: Masking
    weights: Float64
    mask_id: int
    seed: int = 0
    epoch: int | None = 0
    borders: WordBorders | None = None

    @classmethod
    def create(
        cls, sequences: Sequences, tokenizer: Tokenizer, masking: Masking | None = None, *, seed: int = 0
    ) -> Self:
        """Masks over sequences, weighted by how often tokens occur in their whole corpus.

        Raises
        ------
        ConfigError
            The tokenizer has no mask token.
        """
        masking = masking or Masking()
        weights = np.maximum(sequences.corpus.counts, 1).astype(np.float64) ** -masking.smoothing
        weights[list(tokenizer.special_ids)] = 0
        epoch = None if masking.fixed else 0
        borders = None
        if masking.whole_words:
            borders = WordBorders.of(tokenizer.marks, map(tokenizer.id_to_token, range(len(weights))))
        return cls(sequences, masking, weights, tokenizer.mask_token_id, seed, epoch, borders)

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """int32 [N]: tokens of each sequence."""
        return self.sequences.lengths

    @property
    def example_ids(self) -> Int64:
        """int64 [N]: stable id of each sequence."""
        return self.sequences.example_ids

    def __len__(self) -> int:
        return len(self.sequences)

    def for_epoch(self, epoch: int) -> Self:
        """The same sequences with the masks of an epoch; with fixed masks, those."""
        return self if self.epoch is None else replace(self, epoch=epoch)

    def fixed(self) -> Self:
        """The same sequences with masks that never change, for the loss of held-out text."""
        return replace(self, epoch=None)

    def batch(self, indices: npt.ArrayLike) -> Batch:
        """The sequences at `indices`, packed and masked.

        A function of seed, epoch and indices, and in another order of indices the same but for the order.

        Raises
        ------
        DataError
            The corpus is damaged.
        """
        batch = self.sequences.batch(indices)
        ids = batch.input_ids
        if len(ids) and not 0 <= ids.min() <= ids.max() < len(self.weights):
            corpus = self.sequences.corpus.directory
            raise DataError(f"its tokens are not those of the vocabulary: {DAMAGED}", path=corpus)
        who = batch.example_ids[batch.sequence_ids]
        purpose = (FIXED,) if self.epoch is None else (EPOCHS, self.epoch)
        key = derive_key(self.seed, PURPOSE, *purpose)
        high, low, action, word = philox(batch.token_index, who, who >> 32, 0, key)
        uniform = ((high >> 5) * 2.0**26 + (low >> 6) + 0.5) * 2.0**-53  # 53 bits, never 0 or 1
        weights = self.weights[batch.input_ids]
        by_row = self.epoch is None or self.masking.over == "sequence"
        targets = [self.masking.targets(int(n)) for n in (batch.lengths if by_row else [batch.num_tokens])]
        if self.borders is not None:
            begins = self.borders.first_pieces(batch.input_ids)
            begins[1:] |= weights[:-1] == 0  # a piece behind [CLS], of a word that the sequence begins within
            rows = batch.sequence_ids if by_row else np.zeros(batch.num_tokens, np.int64)
            chosen = draw_words(weights, uniform, begins, rows, targets)
        elif by_row:
            chosen = draw_by_row(weights, uniform, batch.sequence_ids, targets)
        else:
            chosen = draw(weights, uniform, targets[0])
        labels = np.full(batch.num_tokens, IGNORE_INDEX, np.int64)
        labels[chosen] = batch.input_ids[chosen]
        fate = action[chosen] * 2.0**-32
        anything = (word[chosen].astype(np.uint64) * np.uint64(len(self.weights))) >> np.uint64(32)
        m = self.masking
        ids = batch.input_ids.copy()
        ids[chosen] = np.where(
            fate < m.masked, self.mask_id, np.where(fate < m.masked + m.kept, labels[chosen], anything)
        )
        return replace(batch, input_ids=ids, targets={"labels": labels})

    def content_hash(self) -> str:
        """SHA-256 of sequences, masking and seed; not of the epoch."""
        about = {
            "sequences": self.sequences.content_hash(),
            "masking": asdict(self.masking),
            "mask": self.mask_id,
            "never": np.flatnonzero(self.weights == 0).tolist(),
            "seed": self.seed,
            "fixed": self.epoch is None,
        }
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def draw(weights: Float64, uniform: Float64, k: int) -> Int64:
    """Draw k of T without replacement, by weight; all that have weight, if they are fewer.

    Parameters
    ----------
    weights : float64 [T]
        At least 0.
    uniform : float64 [T]
        Independent random numbers in (0, 1).

    Returns
    -------
    int64 [k]
        Ascending.
    """
    k = min(k, int(np.count_nonzero(weights)))
    if k == 0:
        return np.zeros(0, np.int64)
    return np.sort(np.argpartition(_rings(weights, uniform), k - 1)[:k])


def draw_by_row(
    weights: Float64, uniform: Float64, rows: npt.NDArray[np.integer[Any]], k: npt.ArrayLike
) -> Int64:
    """As `draw`, k[b] from each row b by itself.

    Parameters
    ----------
    rows : int64 [T]
        Row of each of the T; ascending, each row at least once.
    k : int [B]
    """
    order = np.lexsort((_rings(weights, uniform), rows))  # row by row, those that ring first in front
    firsts = np.searchsorted(rows, np.arange(len(np.asarray(k))))
    rank = np.arange(len(rows)) - firsts[rows]
    return np.sort(order[(rank < np.asarray(k)[rows]) & (weights[order] > 0)])


def draw_words(
    weights: Float64,
    uniform: Float64,
    begins: npt.NDArray[np.bool_],
    rows: npt.NDArray[np.integer[Any]],
    k: Sequence[int],
) -> Int64:
    """Draw whole words without replacement, at most k[b] tokens of each row b.

    Parameters
    ----------
    weights, uniform
        As for `draw`. A word has the largest weight of its tokens and the random number of its first, and is
        not drawn if one of its tokens has none.
    begins : bool [T]
        True where a word begins.
    rows : int64 [T]
        Row of each token; ascending.
    k : sequence of int

    Returns
    -------
    int64
        Indices of the tokens, ascending.
    """
    begins = np.append(True, begins[1:] | (rows[1:] != rows[:-1])) if len(begins) else begins
    firsts = np.flatnonzero(begins)
    if not len(firsts):
        return firsts
    sizes = np.diff(np.append(firsts, len(begins)))
    whole = np.where(np.minimum.reduceat(weights, firsts) > 0, np.maximum.reduceat(weights, firsts), 0)
    rings = _rings(whole, uniform[firsts])
    order = np.lexsort((rings, rows[firsts]))
    order = order[np.isfinite(rings[order])]
    left, drawn = list(k), np.zeros(len(firsts), bool)
    for word, size, row in zip(
        order.tolist(), sizes[order].tolist(), rows[firsts][order].tolist(), strict=True
    ):
        if size <= left[row]:
            left[row] -= size
            drawn[word] = True
    return np.flatnonzero(np.repeat(drawn, sizes))


def _rings(weights: Float64, uniform: Float64) -> Float64:
    """Time at which each clock rings, [T]: never without a weight."""
    rings = np.full(len(weights), np.inf)
    np.divide(-np.log(uniform), weights, out=rings, where=weights > 0)
    return rings
