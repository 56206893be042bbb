"""Marks in tokens that say where words begin: "##" of WordPiece, the space of byte-level BPE, "▁" of Unigram.

WordPiece marks the pieces that go on with a word; its texts are split at punctuation before. The others mark
what stands behind a space, and so `(film)` would be one word. Here words are alike for all: a piece begins
one if it is marked so, or if it is punctuation, a symbol or an ideograph, and what follows such a piece
begins one too. (BERT puts spaces around all of these.) Spaces alone, and parts of a character's bytes, belong
to what is next to them.

fairseq's words, for the whole-word masking of RoBERTa, begin at spaces alone (`is_beginning_of_word`), so
that a comma is asked for together with the word before it.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from tokenizers import decoders

Bools = npt.NDArray[np.bool_]

HALF = "\ufffd"  # for bytes that are no character
IDEOGRAPHS = (  # blocks of Unicode around whose characters BERT puts spaces
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)  # fmt: skip


class Piece(NamedTuple):
    """A token without its mark.

    Attributes
    ----------
    text : str
        Its characters; `HALF` for bytes that are none.
    begins : bool
        Whether its mark, or the lack of one, says that a word begins.
    """

    text: str
    begins: bool


@dataclass(frozen=True)
class WordMarks:
    """The marks of a vocabulary.

    Attributes
    ----------
    kind : {"inside", "space", "bytes", "none"}
        What is marked: pieces within a word, those behind a space, the same in byte-level BPE, nothing.
    mark : str
        "##", "▁", "Ġ" or "".
    """

    kind: Literal["inside", "space", "bytes", "none"]
    mark: str

    @classmethod
    def of(cls, rust: Any) -> WordMarks:
        """Marks of a tokenizers.Tokenizer: by its pre-tokenizer, else by its model."""
        before = "" if rust.pre_tokenizer is None else rust.pre_tokenizer.__getstate__().decode()
        kinds = set(_types(json.loads(before))) if before else set()
        model = type(rust.model).__name__
        if "ByteLevel" in kinds:
            return cls("bytes", "Ġ")
        if "Metaspace" in kinds or model == "Unigram":
            return cls("space", "▁")
        if inside := getattr(rust.model, "continuing_subword_prefix", None):
            return cls("inside", inside)
        return cls("none", "")

    @property
    def at_spaces(self) -> bool:
        """True if tokens carry the space before them."""
        return self.kind in ("bytes", "space")

    def read(self, token: str) -> Piece:
        """A token of the vocabulary without its mark."""
        if self.kind == "inside":
            goes_on = token.startswith(self.mark)
            return Piece(token.removeprefix(self.mark) if goes_on else token, not goes_on)
        if not self.at_spaces:
            return Piece(token, True)
        begins = token.startswith(self.mark)
        text = token.removeprefix(self.mark)
        return Piece(decoders.ByteLevel().decode([text]) if self.kind == "bytes" else text, begins)

    def shown(self, token: str) -> str:
        """A token for people: bytes of byte-level BPE as the characters that they are."""
        if self.kind != "bytes":
            return token
        text, begins = self.read(token)
        return token if HALF in text else self.mark * begins + text


class WordBorders(NamedTuple):
    """Borders of words, by ids.

    Attributes
    ----------
    begins : bool [V]
        Tokens that begin a word, whatever stands before.
    ends : bool [V]
        Tokens behind which a word begins.
    bare : bool [V]
        Nothing but spaces, whose word goes on.
    """

    begins: Bools
    ends: Bools
    bare: Bools

    @classmethod
    def of(cls, marks: WordMarks, tokens: Iterable[str | None]) -> WordBorders:
        """Borders of the tokens of a vocabulary, in the order of their ids."""
        found = np.array([_borders(marks, token or "") for token in tokens], np.bool_).reshape(-1, 3)
        return cls(*found.T)

    def first_pieces(self, ids: npt.NDArray[np.integer[Any]]) -> Bools:
        """True for the tokens that begin a word, [T]; the first of all does."""
        first: Bools = self.begins[ids]
        first[:1] = True
        first[1:] |= self.ends[ids[:-1]]
        first[1:] &= ~self.bare[ids[:-1]]
        return first


def _borders(marks: WordMarks, token: str) -> tuple[bool, bool, bool]:
    """True if a token begins a word, if it ends one, and if it is nothing but spaces."""
    text, begins = marks.read(token)
    if not marks.at_spaces:
        return begins, False, False
    if not text.strip():
        return begins or bool(text), False, begins or bool(text)
    return begins or not in_word(text[0]), not in_word(text[-1]), False


def in_word(character: str) -> bool:
    """True of letters, digits and combining marks, and of parts of a character; not of ideographs."""
    if character == HALF or unicodedata.category(character)[0] == "M":
        return True
    return character.isalnum() and not any(a <= ord(character) <= b for a, b in IDEOGRAPHS)


def _types(part: Any) -> Iterator[str]:
    """Types of a description's parts."""
    if isinstance(part, dict):
        yield str(part.get("type"))
        for value in part.values():
            yield from _types(value)
    elif isinstance(part, list):
        for value in part:
            yield from _types(value)
