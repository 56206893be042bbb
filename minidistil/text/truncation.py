"""Tokenised texts that are longer than they may be, cut.

The library `tokenizers` can cut while it encodes, but how is a state of its object, which several threads,
and children of a fork, may use at once. Cutting afterwards needs no state. Of a pair the longer text is cut
first ("longest_first" of that library, whose rule for halves this is).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Side = Literal["left", "right"]


class CutEncoding:
    """A tokenizers.Encoding with some tokens left out; it has of one what a reader of tokens needs.

    Parameters
    ----------
    whole : tokenizers.Encoding
    kept : int64 [n]
        Which of its tokens stay, in their order.
    """

    def __init__(self, whole: Any, kept: npt.NDArray[np.int64]) -> None:
        self._whole, self._kept = whole, kept

    def __len__(self) -> int:
        return len(self._kept)

    def _of(self, values: list[Any]) -> list[Any]:
        return [values[i] for i in self._kept.tolist()]

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


def cut(encoding: Any, max_length: int, side: Side) -> CutEncoding:
    """An encoding of a text or a pair, cut to `max_length` tokens; special tokens stay.

    Parameters
    ----------
    encoding : tokenizers.Encoding
        Of more tokens than that, fewer than that of them special.
    max_length : int
    side : {"left", "right"}
        At which end of a text tokens are left out.
    """
    owners = np.array([-1 if owner is None else owner for owner in encoding.sequence_ids], np.int64)
    places = [np.flatnonzero(owners == owner) for owner in range(1 + int(owners.max(initial=0)))]
    room = max_length - int((owners < 0).sum())
    kept = [np.flatnonzero(owners < 0)]
    for place, n in zip(places, shares([len(place) for place in places], room), strict=True):
        kept.append(place[:n] if side == "right" else place[len(place) - n :])
    return CutEncoding(encoding, np.sort(np.concatenate(kept)))


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
