"""Encodings of texts, and the special tokens around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Int32
from minidistil.text.tokenizer_files import library_errors


@dataclass(frozen=True)
class Encodings:
    """Tokenised texts, each of its own length.

    Attributes
    ----------
    input_ids, token_type_ids : list of int32 [length]
    raw : list of tokenizers.Encoding, or of CutEncoding where tokens were lost
        For what else the Rust library knows: `offsets`, `word_ids`, `sequence_ids`, `tokens`.
    truncated : int
        How many texts lost tokens.
    """

    input_ids: list[Int32]
    token_type_ids: list[Int32]
    raw: list[Any]
    truncated: int

    def __len__(self) -> int:
        return len(self.input_ids)


class TokenSpans(NamedTuple):
    """Tokens of N texts laid end to end, and where each stands in its text.

    Attributes
    ----------
    ids : int32 [T]
    lengths : int64 [N]
        Tokens of each text.
    spans : int64 [T, 2]
        Token t is made of the characters `text[spans[t, 0]:spans[t, 1]]`.
    word_ids : int64 [T]
        Which word of its text, counted from 0, a token is a piece of. Words are what the pre-tokenizer made.
    """

    ids: Int32
    lengths: npt.NDArray[np.int64]
    spans: npt.NDArray[np.int64]
    word_ids: npt.NDArray[np.int64]


class Frame(NamedTuple):
    """Special tokens that a tokenizer puts around a text, or around two.

    Attributes
    ----------
    ids : tuple of int
        Its special tokens, [CLS] and [SEP] of BERT, in their order.
    owners, types : tuple of int
        What stands there, in order, [CLS], the text, [SEP], ...: the number of a text, or -1 for a special
        token; and its token type.
    begins : bool
        Whether a special token is the first of all.
    """

    ids: tuple[int, ...]
    owners: tuple[int, ...]
    types: tuple[int, ...]
    begins: bool


def frame_of(rust: Any, pair: bool, token_type_ids: bool) -> Frame:
    """Frame that a tokenizer of the Rust library puts around a letter, or around two."""
    for text in _some_texts(rust):
        with library_errors("the tokenizer cannot encode"):
            try:
                found = rust.encode(text, text if pair else None)
            except Exception:  # a pipeline that has no token for it, and none for the unknown
                continue
        owners = [-1 if owner is None else owner for owner in found.sequence_ids]
        if 0 in owners and (1 in owners or not pair):
            firsts = [i for i, owner in enumerate(owners) if i == 0 or owner < 0 or owner != owners[i - 1]]
            return Frame(
                ids=tuple(i for i, owner in zip(found.ids, owners, strict=True) if owner < 0),
                owners=tuple(owners[i] for i in firsts),
                types=tuple(found.type_ids[i] if token_type_ids else 0 for i in firsts),
                begins=owners[0] == -1,
            )
    return Frame((), (), (), False)


def _some_texts(rust: Any) -> Iterator[str]:
    """A letter, and words of the vocabulary in case that it has none for letters."""
    yield "a"
    yield from islice(rust.get_vocab(with_added_tokens=False), 100)


def without_spaces(
    texts: Sequence[str], spans: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Spans that begin after the space before a word, which some tokenizers count as part of it.

    A token that is nothing but that space stands at the character after it.
    """
    starts, token = spans[:, 0].tolist(), 0
    for text, n in zip(texts, lengths.tolist(), strict=True):
        for start in starts[token : token + n]:
            if text[start : start + 1].isspace():
                start += len(text[start:]) - len(text[start:].lstrip())
                spans[token] = start, max(spans[token, 1], min(start + 1, len(text)))
            token += 1
    return spans
