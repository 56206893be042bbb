"""Sentences of a text, split by rules.

Most ends of sentences are plain. The hard case is the full stop, which also ends abbreviations, initials
and ordinals, even before a capital letter. The cases are those of Grefenstette and
Tapanainen 1994 ("What is a word, what is a sentence?") and of Kiss and Strunk 2006 ("Unsupervised
multilingual sentence boundary detection"), who learn abbreviations from the text; here short lists do, so
that a sentence does not depend on what stands far from it. The stops of other scripts are those of Unicode's
property Sentence_Terminal (UAX #29) that are common today.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple


class Sentence(NamedTuple):
    """A part of a text: `text` is `whole[start:end]`."""

    text: str
    start: int
    end: int


# They end a sentence and do nothing else, so no white space need follow.
CLEAR = "。！？｡؟۔।॥።။។։"
STOPS = ".!?…‼⁇⁈⁉．\u037e" + CLEAR
CLOSING = "\"'”’»›)]}」』】〉》）］｝＂＇"
OPENING = "\"'“‘„‚«‹([{¿¡「『【〈《（［｛-–—"
GOES_ON = ",;:、，；：" + CLOSING + STOPS  # what cannot begin a sentence
EMOJI = "\U0001f000-\U0001faff\u2600-\u27bf\u200d\ufe0f"
INVISIBLE = "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"

# A stop or several, and what belongs to it: quotes and brackets that close, « after a narrow space too, the
# number of a footnote, faces. Nothing is tried twice (`++`), so time is linear.
END = re.compile(
    rf"(?P<stops>[{re.escape(STOPS)}]++)"
    rf"(?P<closed>(?:[{re.escape(CLOSING)}]|\[\d{{1,3}}\]|[\u00a0\u202f][»›])*+)"
    rf"(?:[ \t]?(?:[{EMOJI}]++|[:;=][-']?[()DPpOo/|*]+(?!\S)))*+"
)
SPACE = re.compile(r"\s*+")
NEXT = re.compile(rf"\s*+[{re.escape(OPENING)}\s]*+")
WORD = re.compile(r"[^\W\d_]++")
VISIBLE = re.compile(rf"[^\s{INVISIBLE}]")
BEFORE = re.compile(r"[^\s([{–—-]*$")
DOTTED = re.compile(r"(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,2}")  # U.S, e.g, Ph.D, z.B
LONGEST_ABBREVIATION = 16
SPACELESS = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")  # kana and Han


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


# A name follows, whatever it looks like.
TITLES = _listed("""
    mr mrs ms dr prof rev hon messrs mme mlle mgr gen col maj capt cmdr lt sgt cpl pvt adm sen rep gov
    pres supt hr frau fr sr sra srta dra ud uds sig dott avv ing dhr mevr
""")
# These may end a sentence. They do if a word follows that begins many.
ABBREVIATIONS = _listed("""
    jr sr inc co corp ltd bros dept univ assn st ave blvd rd mt ft vs viz cf ca approx est esp al ed eds
    trans repr bzw vgl evtl ggf inkl geb gest usf str núm av
""")
# Only before a number.
NUMBERED = _listed("""
    no nos nr núm fig figs vol vols p pp art sec ch chap eq abb s bd jan feb mar apr jun jul aug sep
    sept oct nov dec
""")
STARTERS = _listed("""
    A After All Although An And As At Because Before But By During For From He Her Here His How However
    I If In It Its Many More Most My No Now On One Our Several She Since So Some Such That The Their
    Then There These They This Those Though Thus To Under Until We What When Where While Who Why With
    Yes Yet You Your
""")

NARROWEST = 40  # characters: nobody breaks lines of running text before that
LONGEST_WORD = 20  # what is longer, or has no spaces in it, is broken anywhere


def split_sentences(text: str) -> list[Sentence]:
    """The sentences of a text, in order.

    Between two sentences, and around them, there is nothing but white space. Line breaks are borders, as in
    dialogues with a turn a line, except within a paragraph that was broken to fit a width.

    Parameters
    ----------
    text : str
        Of any length; time is linear in it.

    Returns
    -------
    list of Sentence
        None is blank; none where the text is.
    """
    found: list[tuple[int, int]] = []
    hidden: int | None = None  # where something invisible began that nobody has yet
    for begin, end in (sentence for block in _blocks(text) for sentence in _within(text, *block)):
        if VISIBLE.search(text, begin, end):
            found.append((begin if hidden is None else hidden, end))
            hidden = None
        elif found:
            found[-1] = (found[-1][0], end)
        elif hidden is None:
            hidden = begin
    if hidden is not None:
        found = [(hidden, len(text.rstrip()))]
    return [Sentence(text[begin:end], begin, end) for begin, end in found]


def split_lines(text: str) -> list[Sentence]:
    """The lines of a text that are not blank, without the white space around them."""
    stripped = (_strip(text, begin, end) for begin, end in _lines(text))
    return [Sentence(text[begin:end], begin, end) for begin, end in stripped if begin < end]


def _lines(text: str) -> Iterator[tuple[int, int]]:
    end = 0
    for line in text.splitlines(keepends=True):
        begin, end = end, end + len(line)
        yield begin, end


def _strip(text: str, begin: int, end: int) -> tuple[int, int]:
    part = text[begin:end]
    return begin + len(part) - len(part.lstrip()), max(begin, begin + len(part.rstrip()))


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Paragraphs of wrapped lines, and single lines: no sentence is in two of them."""
    paragraph: list[tuple[int, int]] = []
    for line in [*_lines(text), (len(text), len(text))]:
        begin, end = _strip(text, *line)
        if begin < end:
            paragraph.append((begin, end))
        elif paragraph:
            yield from [(paragraph[0][0], paragraph[-1][1])] if _wrapped(text, paragraph) else paragraph
            paragraph = []


def _wrapped(text: str, lines: list[tuple[int, int]]) -> bool:
    """True if the lines were broken to fit a width: no line had room for the first word of the next.

    Of two lines it takes little for that to happen, so the second must begin in lower case as well.
    """
    width = max(end - begin for begin, end in lines)
    if width < NARROWEST or (len(lines) == 2 and not text[lines[1][0]].islower()):
        return False
    for (begin, end), (after, after_end) in pairwise(lines):
        word = text[after : min(after_end, after + LONGEST_WORD)].split(maxsplit=1)[0]
        if end - begin + 1 + len(word) <= width:
            return False
    return True


def _within(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The sentences of a block without white space around it."""
    cased = any(map(str.isupper, text[begin:end]))
    for found in END.finditer(text, begin, end):
        if found.end() < end and _is_border(text, found, begin, end, cased):
            yield begin, found.end()
            begin = SPACE.match(text, found.end()).end()  # type: ignore[union-attr]
    yield begin, end


def _is_border(text: str, found: re.Match[str], begin: int, end: int, cased: bool) -> bool:
    """True if the sentence that begins at `begin` ends with these stops, inside of a block."""
    stops, closed = found["stops"], found["closed"]
    follows = NEXT.match(text, found.end(), end)
    assert follows is not None  # it may be empty
    first = text[follows.end() : min(follows.end() + 1, end)]
    if first in GOES_ON:  # so is nothing at all: opening signs alone are no sentence
        return False
    if stops[-1] in CLEAR:
        return not (closed and first == "と")  # "「…。」と言った", says the speaker
    if not text[found.end()].isspace():
        return stops[-1] in "!?" and SPACELESS.match(text, found.end()) is not None
    if first.islower() and cased and (closed or stops[-1] in ".…．"):
        return False  # "Why?" she asked. Where nothing has a capital letter, its absence says nothing.
    if stops != "." or closed:
        return True
    following = WORD.match(text, follows.end(), end)
    return not _abbreviates(text, begin, found.start(), following[0] if following else first)


def _abbreviates(text: str, begin: int, stop: int, following: str) -> bool:
    """True if the full stop at `stop` is part of the word before it, given the word or digit that follows."""
    before = BEFORE.search(text[max(begin, stop - LONGEST_ABBREVIATION) : stop])
    word = before[0].lstrip(OPENING) if before else ""
    lower = word.lower()
    if word.isdecimal():
        return len(word) <= 3 and stop - len(word) == begin  # the number of an item
    if len(word) == 1:
        return word.isalpha() and word != "I"
    if lower in ("a.m", "p.m"):
        return False
    if DOTTED.fullmatch(word) or lower in ABBREVIATIONS:
        return following not in STARTERS
    return lower in TITLES or (lower in NUMBERED and following.isdecimal())
