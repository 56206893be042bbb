"""Words of running text, split as in files of words.

In such files, as CoNLL's, a mark of punctuation is a word of its own, and so is 's; the full stop of an
abbreviation is part of its word. A text that is made of such words, with a space between them, gives the same
words. A full stop or a comma that stands alone is its mark.
"""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from minidistil.text.sentences import ABBREVIATIONS, CLOSING, NUMBERED, OPENING, TITLES

CHUNK = re.compile(r"\S+")
APART = frozenset(".,")
AFTER = CLOSING + ".,;:!?…"
CLITICS = ("'s", "’s", "'S", "’S")
NUMBER = re.compile(r"\.\s+\d")


def whitespace_words(text: str) -> npt.NDArray[np.int64]:
    """Characters of each word of a text, from and up to, [W, 2].

    Words are what stands between white space. Of running text punctuation at the ends of a word is apart, but
    for the full stop of abbreviations: of a listed one ("Inc."), of a letter ("J."), or after another stop
    ("U.S.").
    """
    chunks = [match.span() for match in CHUNK.finditer(text)]
    if not any(text[begin:end] in APART for begin, end in chunks):
        chunks = [part for begin, end in chunks for part in _parts(text, begin, end)]
    return np.array(chunks, np.int64).reshape(-1, 2)


def _parts(text: str, begin: int, end: int) -> list[tuple[int, int]]:
    """A word, and the punctuation before and after it."""
    chunk = text[begin:end]
    if not any(map(str.isalnum, chunk)):
        return [(begin, end)]
    start = end - len(chunk.lstrip(OPENING))
    marks = begin + len(chunk.rstrip(AFTER))
    stop = marks - 2 if text.endswith(CLITICS, start, marks) and marks - 2 > start else marks
    if stop == marks and _keeps_stop(text, start, stop):
        stop = marks = stop + 1
    edges = sorted({begin, start, stop, marks, end})
    return list(pairwise(edges))


def _keeps_stop(text: str, start: int, stop: int) -> bool:
    """True if a full stop after a word is part of it."""
    word = text[start:stop]
    if text[stop : stop + 1] != "." or not word:
        return False
    listed = word.lower()
    return (
        "." in word
        or (len(word) == 1 and word.isalpha())
        or listed in TITLES | ABBREVIATIONS
        or (listed in NUMBERED and NUMBER.match(text, stop) is not None)
    )
