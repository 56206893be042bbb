"""Encodings of texts, the special tokens around them, and their truncation.

The library `tokenizers` can cut while it encodes, but the setting is a state of its object, which several
threads, and children of a fork, may use at once. Cutting afterwards needs no state. Of a pair the longer text
is cut first ("longest_first" of that library, whose rule for halves this is).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Int32
from minidistil.errors import ConfigError, InputError, MinidistilError, UsageError

Side = Literal["left", "right"]
Strategy = Literal["longest_first", "only_first", "only_second"]


@dataclass(frozen=True)
class Encodings:
    """Tokenised texts, each of its own length.

    Attributes
    ----------
    input_ids, token_type_ids : list of int32 [length]
    raw : list of tokenizers.Encoding, or of CutEncoding where tokens were lost
        For what else the Rust library knows: `offsets`, `word_ids`, `sequence_ids`, `tokens`.
    truncated : int
        Number of texts that lost tokens.
    """

    input_ids: list[Int32]
    token_type_ids: list[Int32]
    raw: list[Any]
    truncated: int

    def __repr__(self) -> str:
        tokens = sum(map(len, self.input_ids))
        return f"Encodings({len(self):,} texts, {tokens:,} tokens, {self.truncated:,} texts cut)"

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
        Word of each token, counted from 0 in its text. Words are those of the pre-tokenizer; of byte-level
        BPE and Unigram, whose pre-tokenizers have others than BERT's, those of `minidistil.text.word_marks`.
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
        The template, [CLS], the text, [SEP], ...: the number of a text, or -1 for a special
        token; and its token type.
    begins : bool
        True if a special token is the first of all.
    """

    ids: tuple[int, ...]
    owners: tuple[int, ...]
    types: tuple[int, ...]
    begins: bool

    def check(self) -> None:
        """Raise a ConfigError unless a special token is the first."""
        if not self.begins:
            raise ConfigError(
                "the tokenizer puts no [CLS] before a text, which a model of this kind reads first: its "
                "tokenizer.json lacks a post_processor (or names one of another kind of model)"
            )


@contextmanager
def library_errors(what: object) -> Iterator[None]:
    """Raise a ConfigError about `what` in place of any error of the Rust library.

    It raises Exception, and where it panics, as of a regular expression that it gives up on, a
    PanicException, which is none.
    """
    try:
        yield
    except MinidistilError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ConfigError(f"{what}: {error}") from error


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

    A token that is nothing but that space stands at the character after it, at the end of a text before it.
    So no token is without characters.
    """
    starts, token = spans[:, 0].tolist(), 0
    for text, n in zip(texts, lengths.tolist(), strict=True):
        for start in starts[token : token + n]:
            if text[start : start + 1].isspace():
                start += len(text[start:]) - len(text[start:].lstrip())
                spans[token] = start, max(spans[token, 1], min(start + 1, len(text)))
            token += 1
    empty = spans[:, 1] <= spans[:, 0]
    if empty.any():
        last = np.repeat([max(len(text.rstrip()) - 1, 0) for text in texts], lengths)[empty]
        spans[empty, 0] = np.minimum(spans[empty, 0], last)
        spans[empty, 1] = spans[empty, 0] + 1
    return spans


class CutEncoding:
    """A tokenizers.Encoding with some tokens left out; it has of one what a reader of tokens needs.

    Parameters
    ----------
    whole : tokenizers.Encoding
    kept : list of slice
        Indices of the tokens that stay, in order.
    """

    def __init__(self, whole: Any, kept: Sequence[slice]) -> None:
        self._whole, self.kept = whole, kept

    def __len__(self) -> int:
        return sum(part.stop - part.start for part in self.kept)

    def _of(self, values: list[Any]) -> list[Any]:
        return [value for part in self.kept for value in values[part]]

    @property
    def ids(self) -> list[int]:
        return self._of(self._whole.ids)

    @property
    def type_ids(self) -> list[int]:
        return self._of(self._whole.type_ids)

    @property
    def tokens(self) -> list[str]:
        return self._of(self._whole.tokens)

    @property
    def offsets(self) -> list[tuple[int, int]]:
        return self._of(self._whole.offsets)

    @property
    def word_ids(self) -> list[int | None]:
        return self._of(self._whole.word_ids)

    @property
    def sequence_ids(self) -> list[int | None]:
        return self._of(self._whole.sequence_ids)

    @property
    def special_tokens_mask(self) -> list[int]:
        return self._of(self._whole.special_tokens_mask)

    @property
    def attention_mask(self) -> list[int]:
        return [1] * len(self)


def cut(
    encoding: Any, max_length: int, side: Side, owners: Sequence[int], strategy: Strategy = "longest_first"
) -> CutEncoding:
    """An encoding of a text or a pair, cut to `max_length` tokens; special tokens stay.

    Parameters
    ----------
    encoding : tokenizers.Encoding
        Of more tokens than that, at most that many of them special.
    max_length : int
    side : {"left", "right"}
        At which end of a text tokens are left out.
    owners : sequence of int
        Source of each token, in order: -1 for a special token, else the number of a text.
    strategy : {"longest_first", "only_first", "only_second"}
        The text that is cut: of a pair the longer one first, or one alone.

    Raises
    ------
    UsageError, InputError
        See `rooms`.
    """
    lengths = text_lengths(encoding, owners)
    kept = rooms(lengths, max_length - owners.count(-1), strategy)
    ranges = [(0, r) if side == "right" else (n - r, n) for n, r in zip(lengths, kept, strict=True)]
    return _part(encoding, owners, lengths, ranges)


def cut_into_windows(
    encoding: Any, max_length: int, side: Side, owners: Sequence[int], strategy: Strategy, stride: int
) -> list[CutEncoding]:
    """The encoding that `cut` gives, then windows of the rest, each overlapping the one before by `stride`.

    Special tokens are around each. Where both texts of a pair are cut, each part of one is combined with each
    of the other, in the order of the library.
    """
    lengths = text_lengths(encoding, owners)
    kept = rooms(lengths, max_length - owners.count(-1), strategy)
    first, *second = (_windows(n, r, side, stride) for n, r in zip(lengths, kept, strict=True))
    ranges = [[a] for a in first]
    if second:
        rest = second[0][1:]
        ranges = [[first[0], second[0][0]], *([a, b] for a in first[1:] for b in second[0])]
        ranges += [[first[0], b] for b in rest]
    return [_part(encoding, owners, lengths, part) for part in ranges]


def text_lengths(encoding: Any, owners: Sequence[int]) -> list[int]:
    """Number of tokens of each text of an encoding, special tokens left out."""
    lengths = [len(encoding) - owners.count(-1)]
    if 1 in owners:
        first = encoding.sequence_ids.count(0)
        lengths = [first, lengths[0] - first]
    return lengths


def _part(
    encoding: Any, owners: Sequence[int], lengths: Sequence[int], ranges: Sequence[tuple[int, int]]
) -> CutEncoding:
    """The special tokens of an encoding, and of each text those tokens that a range has, from and up to."""
    kept, place = [], 0
    for owner in owners:
        n, (start, stop) = (1, (0, 1)) if owner < 0 else (lengths[owner], ranges[owner])
        kept.append(slice(place + start, place + stop))
        place += n
    return CutEncoding(encoding, kept)


def _windows(length: int, room: int, side: Side, stride: int) -> list[tuple[int, int]]:
    """Ranges of `room` tokens that cover a text from one of its ends to the other."""
    if length <= room:
        return [(0, length)]
    if stride >= room:
        raise UsageError(f"a window has room for {room} tokens of a text, which must be more than the stride")
    starts = range(0, max(length - stride, 1), room - stride)
    ranges = [(start, min(start + room, length)) for start in starts]
    return ranges if side == "right" else [(length - stop, length - start) for start, stop in ranges]


def rooms(lengths: list[int], room: int, strategy: Strategy) -> list[int]:
    """Tokens of each of one or two texts that stay.

    Raises
    ------
    UsageError
        A second text is to be cut, and there is none.
    InputError
        One text alone is to be cut, and it has too few tokens for that.
    """
    if strategy == "longest_first":
        return shares(lengths, room)
    which = 0 if strategy == "only_first" else 1
    if which == len(lengths):
        raise UsageError('truncation="only_second" cuts the second of two texts, and there is one')
    stays = lengths[which] - (sum(lengths) - room)
    if stays <= 0:
        raise InputError(
            f"the {('first', 'second')[which]} text has {lengths[which]} tokens, too few to cut "
            f"{sum(lengths) - room} from it alone; allow truncation of both (longest_first), or a longer "
            "max_length"
        )
    return [stays if i == which else n for i, n in enumerate(lengths)]


def shares(lengths: list[int], room: int) -> list[int]:
    """Tokens of each of one or two texts that there is room for; the longer gives first."""
    if len(lengths) == 1:
        return [min(lengths[0], room)]
    short, long = sorted(lengths)
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short = room // 2
        long = short + room % 2
    return [short, long] if lengths[0] <= lengths[1] else [long, short]
