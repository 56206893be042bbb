"""Truncation of tokenised texts.

The library `tokenizers` can cut while it encodes, but the setting is a state of its object, which several
threads, and children of a fork, may use at once. Cutting afterwards needs no state. Of a pair the longer text
is cut first ("longest_first" of that library, whose rule for halves this is).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

Side = Literal["left", "right"]


class CutEncoding:
    """A tokenizers.Encoding with some tokens left out; it has of one what a reader of tokens needs.

    Parameters
    ----------
    whole : tokenizers.Encoding
    kept : list of slice
        Which of its tokens stay, in their order.
    """

    def __init__(self, whole: Any, kept: Sequence[slice]) -> None:
        self._whole, self._kept = whole, kept

    def __len__(self) -> int:
        return sum(part.stop - part.start for part in self._kept)

    def _of(self, values: list[Any]) -> list[Any]:
        return [value for part in self._kept for value in values[part]]

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


def cut(encoding: Any, max_length: int, side: Side, owners: Sequence[int]) -> CutEncoding:
    """An encoding of a text or a pair, cut to `max_length` tokens; special tokens stay.

    Parameters
    ----------
    encoding : tokenizers.Encoding
        Of more tokens than that, fewer than that of them special.
    max_length : int
    side : {"left", "right"}
        At which end of a text tokens are left out.
    owners : sequence of int
        What stands in it, in order: -1 for a special token, else the number of a text.
    """
    special = owners.count(-1)
    lengths = [len(encoding) - special]
    if 1 in owners:
        first = encoding.sequence_ids.count(0)
        lengths = [first, lengths[0] - first]
    room = shares(lengths, max_length - special)
    kept, place = [], 0
    for owner in owners:
        n, stays = (1, 1) if owner < 0 else (lengths[owner], room[owner])
        start = place if side == "right" else place + n - stays
        kept.append(slice(start, start + stays))
        place += n
    return CutEncoding(encoding, kept)


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
