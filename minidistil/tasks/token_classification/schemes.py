"""Tagging schemes of named entities: IOB1, IOB2, BIOES, BILOU and plain tags.

A tag is "O", outside of every entity, or a type, mostly behind a prefix that says which part of an entity the
word is: B-egin, I-nside, E-nd, S-ingle. The schemes:

- IOB2: the first word of an entity is B-, the others I-.
- IOB1 (Ramshaw and Marcus 1995, arXiv:cmp-lg/9505040): all are I-; B- only marks the first word of an entity
  that follows another of the same type at once.
- BIOES: as IOB2, but the last word is E-, and an entity of one word S-. Some write M for I.
- BILOU: as BIOES, with L for E and U for S.
- plain: types without prefix; neighbours of one type are one entity.

Prefixes alone, as B, I and O, are those of one type without a name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from minidistil.errors import UsageError
from minidistil.metrics import Span, read_spans, write_tags

Scheme = Literal["IOB1", "IOB2", "BIOES", "BILOU", "plain"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)

OUTSIDE = "O"
OTHERS_OUTSIDE = ("0", "OUT", "OUTSIDE")  # where there is no O
PART = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S", "W": "S"}  # of an entity
TOGETHER = ("EMSW", "LUW")  # letters of one scheme
LETTERS = {"IOB1": "BI", "IOB2": "BI", "BIOES": "BIMES", "BILOU": "BILU", "plain": ""}
SPECIAL = re.compile(r"\[[A-Z]+\]|<[a-z/]+>")  # [CLS], [SEP], [PAD]: of the tokenizer, no entity
LATER_PIECE = "X"  # beside prefixes: of the pieces of a word after its first
INSTEAD = {"B": "BI", "I": "I", "E": "EI", "S": "SBI"}  # what is written where a type lacks a prefix


class TagSet:
    """All tags of a model, or of a file, and what they mean.

    Parameters
    ----------
    tags : sequence of str
    scheme : {"IOB1", "IOB2", "BIOES", "BILOU", "plain"}, optional
        By default guessed from all of them. B- and I- are prefixes. Other letters are, if something of the
        same type has B- or I-, or if there is nothing but prefixes: E-MAIL beside NAME is a type. What has no
        prefix beside tags that have one is a type too, but for special tokens.

    Attributes
    ----------
    tags : tuple of str
    outside : str
        The tag outside of entities.
    scheme : str
        That of its tags.
    certain : bool
        Whether the tags show it, or it was given. IOB1 cannot be told from IOB2 where all types have B- and
        I-; IOB2 is then taken.
    parts : dict of str to (str, str)
        Of each tag the part of an entity, "B", "I", "E", "S" or "O", and the type. Types without prefix are
        "I".

    Raises
    ------
    UsageError
        An unknown scheme.
    """

    def __init__(self, tags: Sequence[str], scheme: str | None = None) -> None:
        self.tags = tuple(tags)
        self.outside = next((tag for tag in (OUTSIDE, *OTHERS_OUTSIDE) if tag in self.tags), OUTSIDE)
        self._letters = self._prefixes() if scheme is None else LETTERS[check_scheme(scheme)]
        self.parts = {tag: self._part(tag) for tag in self.tags}
        self._named = {part: tag for tag, part in reversed(self.parts.items())}
        self.scheme, self.certain = (scheme, True) if scheme else self._scheme()

    @classmethod
    def of_types(cls, types: Iterable[str], scheme: str = "IOB2") -> TagSet:
        """The tags that a scheme has for some types of entity: O, and then those of each type."""
        letters = {"BIOES": "BIES", "plain": ""}.get(check_scheme(scheme), LETTERS[check_scheme(scheme)])
        prefixed = [f"{letter}-{kind}" if kind else letter for kind in types for letter in letters]
        return cls([OUTSIDE, *(prefixed or types)], scheme)

    @property
    def types(self) -> list[str]:
        """The types of entity there are, sorted."""
        return sorted({kind for part, kind in self.parts.values() if part != OUTSIDE})

    @property
    def without_prefix(self) -> list[str]:
        """Tags that have no prefix where others have one, special tokens aside."""
        return [tag for tag in self.tags if self._letters and self.parts[tag] == ("I", tag)]

    def read(self, tags: Sequence[str]) -> list[Span]:
        """The entities that tags mark, from left to right.

        Tags that the scheme would not write, such as I-PER after O, are read as conlleval reads them, the
        script of the CoNLL shared tasks (Tjong Kim Sang and Buchholz 2000, arXiv:cs/0009008): an entity
        begins at B- and S-, after E- and S-, after O, and wherever the type changes. One rule reads all
        schemes.
        """
        parts = (self.parts[tag] for tag in tags)
        return read_spans([_tag(part, kind) for part, kind in parts], "BIOES", mode="lenient")

    def write(self, spans: Iterable[Span], length: int) -> list[str]:
        """Tags of a text of `length` words with these entities, in the scheme.

        An entity of a type that has no tag is written with one that is not among `tags`.
        """
        base = {"IOB1": "IOB1", "BIOES": "BIOES", "BILOU": "BIOES"}.get(self.scheme, "IOB2")
        found = []
        for tag in write_tags(spans, length, base):  # type: ignore[arg-type]
            part, _, kind = tag.partition("-")
            there = (self._named.get((other, kind)) for other in INSTEAD.get(part, ""))
            found.append(next(filter(None, there), tag if part != OUTSIDE else self.outside))
        return found

    def as_used(self, sentences: Iterable[Sequence[str]]) -> TagSet:
        """The same tags in the scheme in which a model gives them: IOB1 if entities mostly begin with I-."""
        if self.scheme not in ("IOB1", "IOB2"):
            return self
        begins: Counter[str] = Counter()
        for tags in sentences:
            before = OUTSIDE
            for tag in tags:
                part = self.parts[tag][0]
                if before == OUTSIDE != part:
                    begins[part] += 1
                before = part
        used = "IOB1" if begins["I"] > begins["B"] else "IOB2"
        return TagSet(self.tags, used) if begins and self._letters else self

    def _prefixes(self) -> str:
        """The letters that are prefixes in these tags."""
        bare = [tag for tag in self.tags if tag != self.outside and not SPECIAL.fullmatch(tag)]
        if bare and all(tag in PART for tag in bare) and {"B", "I"} & set(bare):
            return "".join(PART)
        split = [tag.split("-", 1) for tag in bare if tag[1:2] == "-" and tag[0] in PART and len(tag) > 2]
        found = {letter for letter, _ in split}
        types = {kind for letter, kind in split if letter in "BI"}
        if types:
            shared = {letter for letter, kind in split if kind in types}
            found = shared | {
                p for p in found for letters in TOGETHER if p in letters and shared & set(letters)
            }
        elif len(split) < len(bare):
            found = set()
        return "".join(sorted(found))

    def _part(self, tag: str) -> tuple[str, str]:
        if tag == self.outside or SPECIAL.fullmatch(tag):
            return OUTSIDE, ""
        if self._letters and tag == LATER_PIECE and not {"B-X", "I-X"} & set(self.tags):
            return OUTSIDE, ""
        prefix, hyphen, kind = tag.partition("-")
        if prefix in PART and prefix in self._letters and (kind or not hyphen):
            return PART[prefix], kind
        return "I", tag

    def _scheme(self) -> tuple[str, bool]:
        """The scheme that all tags together look like, and whether it can be no other."""
        if not self._letters:
            return "plain", True
        bare = {self.outside, *self.without_prefix}
        used = {tag[0] for tag in self.tags if tag not in bare and self.parts[tag][0] != OUTSIDE}
        if used - set("BI"):
            return ("BILOU" if used & set("LU") else "BIOES"), True
        begun, inside = (
            {kind for tag, (part, kind) in self.parts.items() if part == letter and tag not in bare}
            for letter in ("B", "I")
        )
        return ("IOB1" if inside > begun else "IOB2"), begun != inside


def check_scheme(scheme: str) -> str:
    """The scheme, or a UsageError."""
    if scheme not in SCHEMES:
        raise UsageError(f"scheme must be one of {', '.join(SCHEMES)}, not {scheme!r}")
    return scheme


def _tag(part: str, kind: str) -> str:
    return f"{part}-{kind}" if kind else part
