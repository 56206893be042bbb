"""Reader of sentencepiece models: pieces and settings of a protobuf file.

The file is a ModelProto (sentencepiece_model.proto of github.com/google/sentencepiece; Kudo and Richardson
2018, arXiv:1808.06226). Read are the pieces, and what decides how a text is cut: the algorithm, the map of
characters that normalises, and switches. Settings that no model of these families has are refused.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from minidistil.errors import ConfigError
from minidistil.files import read_small
from minidistil.text.added_tokens import MOST_IDS

# Numbers of fields. Of the file:
PIECES, TRAINER, NORMALIZER = 1, 2, 3
# of a piece:
PIECE, SCORE, TYPE = 1, 2, 3
# of the normalizer:
CHARACTERS, DUMMY_PREFIX = 2, 3
# Types of pieces.
NORMAL, UNKNOWN, USER_DEFINED = 1, 2, 4
# Switches as numbers: (message, field, name, default, the value that is read).
SWITCHES = (
    (TRAINER, 3, "model_type", 1, 1),  # 1 is Unigram, 2 is BPE
    (TRAINER, 22, "split_by_whitespace", 1, 1),
    (TRAINER, 24, "treat_whitespace_as_suffix", 0, 0),
    (TRAINER, 35, "byte_fallback", 0, 0),
    (NORMALIZER, 4, "remove_extra_whitespaces", 1, 1),
    (NORMALIZER, 5, "escape_whitespaces", 1, 1),
)

Value = int | bytes


@dataclass(frozen=True)
class SentencePieceModel:
    """A Unigram model.

    Attributes
    ----------
    pieces : list of (str, float)
        With their scores, which are logarithms of probabilities.
    unknown : int
        Index of the piece for what the others do not cover.
    user_defined : list of str
        Pieces that are never cut.
    characters : bytes
        Compiled map of characters, b"" for none.
    dummy_prefix : bool
        Whether a text begins as if a space stood before it.
    """

    pieces: list[tuple[str, float]]
    unknown: int
    user_defined: list[str]
    characters: bytes
    dummy_prefix: bool


def read_sentencepiece(path: Path) -> SentencePieceModel:
    """Read a sentencepiece model.

    Raises
    ------
    ConfigError
        No such file, a damaged one, or a model that cuts texts in another way than Unigram over words.
    """
    messages: dict[int, dict[int, Value]] = {TRAINER: {}, NORMALIZER: {}}
    pieces: list[tuple[str, float]] = []
    types: list[int] = []
    try:
        for number, value in _fields(read_small(path)):
            if number == PIECES and len(pieces) < MOST_IDS:
                found = dict(_fields(_bytes(value)))
                (score,) = struct.unpack("<f", _bytes(found.get(SCORE, b"\0\0\0\0")))
                pieces.append((_bytes(found.get(PIECE, b"")).decode(), score))
                types.append(_integer(found.get(TYPE, NORMAL)))
            elif number in messages:
                messages[number] |= dict(_fields(_bytes(value)))
        for message, number, name, default, wanted in SWITCHES:
            if (given := _integer(messages[message].get(number, default))) != wanted:
                raise ConfigError(
                    f"{path}: {name} is {given}, and only {wanted} can be read. {how_to_convert(path)}"
                )
        characters = _bytes(messages[NORMALIZER].get(CHARACTERS, b""))
        dummy_prefix = bool(_integer(messages[NORMALIZER].get(DUMMY_PREFIX, 1)))
    except (ValueError, TypeError, struct.error) as error:
        raise ConfigError(f"{path} is no sentencepiece model, or a damaged one: {error}") from error
    if types.count(UNKNOWN) != 1:
        raise ConfigError(
            f"{path} is no sentencepiece model, or a damaged one: of its {len(pieces)} pieces "
            f"{types.count(UNKNOWN)} are for the unknown; expected 1"
        )
    if len({piece for piece, _ in pieces}) < len(pieces) or not all(
        math.isfinite(score) for _, score in pieces
    ):
        raise ConfigError(f"{path} is damaged: a piece occurs twice, or has a score that is no number")
    user_defined = [piece for (piece, _), kind in zip(pieces, types, strict=True) if kind == USER_DEFINED]
    return SentencePieceModel(pieces, types.index(UNKNOWN), user_defined, characters, dummy_prefix)


def how_to_convert(path: Path) -> str:
    """Advice for a file that is not read."""
    return (
        "transformers, with the packages sentencepiece and protobuf, writes a tokenizer.json beside it, "
        "which is read in its place: "
        f'AutoTokenizer.from_pretrained("{path.parent}").save_pretrained("{path.parent}")'
    )


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """Numbers and values of a protobuf message's fields; of a floating-point number its bytes."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, place = _varint(data, place)
            yield number, value
            continue
        if wire == 2:
            size, place = _varint(data, place)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"byte {place} begins a field of the unknown type {wire}")
        if place + size > len(data):
            raise ValueError(f"a field ends {place + size - len(data)} bytes behind the end")
        yield number, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """An integer in groups of 7 bits, the lowest first, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            break
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("an integer has no end")


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"the integer {value} stands in the place of bytes")
    return value


def _integer(value: Value) -> int:
    if not isinstance(value, int):
        raise TypeError("bytes stand in the place of an integer")
    return value
