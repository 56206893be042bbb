"""Named entities: reading them from tags, writing tags from them, and scoring them.

A tag is O, outside any entity, or a prefix and a type: B-PER. The schemes, with what they write for two
adjacent persons of one and two words:

    IOB1    I-PER B-PER I-PER   B only where an entity directly follows another of its type
                                (Ramshaw and Marcus 1995, "Text chunking using transformation-based learning")
    IOB2    B-PER B-PER I-PER   B at every beginning; also called BIO (Tjong Kim Sang and Veenstra 1999,
                                "Representing text chunks")
    BIOES   S-PER B-PER E-PER   E at the end too, S for a single word; also called IOBES
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from minidistil.arguments import check_choice
from minidistil.errors import InputError
from minidistil.metrics.base import ClassScores, Counts, same_length

Scheme = Literal["IOB1", "IOB2", "BIOES"]
Mode = Literal["strict", "lenient"]
PREFIXES = {"IOB1": "BI", "IOB2": "BI", "BIOES": "BIES"}


class Span(NamedTuple):
    """An entity: tokens `start` to `end` - 1. `type` is "" where tags are bare prefixes, as in B I O."""

    type: str
    start: int
    end: int


class EntityScore(NamedTuple):
    """Scores of one type of entity, or an average. `support` counts the true entities."""

    precision: float
    recall: float
    f1: float
    support: int


class EntityScores(NamedTuple):
    """Scores of named entities.

    Attributes
    ----------
    by_type : dict
        Of every type that is true or predicted, in alphabetical order.
    micro : EntityScore
        Of all entities together, as reported for CoNLL-2003.
    macro : EntityScore
        Mean over the types; 0 if there are none.
    accuracy : float
        Share of tokens whose tag is right, O among them.
    """

    by_type: dict[str, EntityScore]
    micro: EntityScore
    macro: EntityScore
    accuracy: float


def read_spans(tags: Sequence[str], scheme: Scheme, mode: Mode = "strict") -> list[Span]:
    """The entities in one sentence, from left to right.

    Parameters
    ----------
    tags : sequence of str
    scheme : {"IOB1", "IOB2", "BIOES"}
    mode : {"strict", "lenient"}
        Reading of ill-formed tags, such as I-PER after O in IOB2. strict: no entity.
        lenient: one, as conlleval, the script of CoNLL-2003, has it.

    Raises
    ------
    InputError
        A tag that is not of the scheme, with its position.
    UsageError
        An unknown scheme or mode.

    Notes
    -----
    In both modes tags are first cut into runs: I-X and E-X belong to the run of a B-X or I-X directly before
    them, any other tag but O begins a run. Lenient reading takes every run as an entity. Strict reading takes
    those that are

        IOB1    I...; or B... directly after a tag of the same type
        IOB2    B...
        BIOES   S, or B...E

    Lenient reading is that of seqeval's default mode, and strict reading that of its mode "strict" with IOB2
    or IOBES. With IOB1 seqeval reads the I-X I-X of O B-X I-X I-X as an entity; here none of it is one.
    """
    _check(scheme, mode)
    parts = [_parse(tag, i, scheme) for i, tag in enumerate(tags)]
    spans = []
    end = 0
    while end < len(parts):
        start = end
        prefix, kind = parts[start]
        end += 1
        if prefix == "O":
            continue
        while parts[end - 1][0] in "BI" and end < len(parts) and parts[end] in (("I", kind), ("E", kind)):
            end += 1
        prefixes = "".join(prefix for prefix, _ in parts[start:end])
        follows = start > 0 and parts[start - 1][0] != "O" and parts[start - 1][1] == kind
        if mode == "lenient" or _well_formed(prefixes, follows, scheme):
            spans.append(Span(kind, start, end))
    return spans


def write_tags(spans: Iterable[Span], length: int, scheme: Scheme) -> list[str]:
    """Tags of a sentence of `length` tokens with these entities, in any order.

    Raises
    ------
    InputError
        Entities that overlap, have no token, or lie outside the sentence.
    UsageError
        An unknown scheme.
    """
    _check(scheme)
    tags = ["O"] * length
    last = Span("", -1, -1)
    for span in sorted(spans, key=lambda span: span.start):
        if not 0 <= span.start < span.end <= length:
            raise InputError(f"{span} does not fit a sentence of {length} tokens")
        if span.start < last.end:
            raise InputError(f"{span} overlaps {last}")
        follows = (last.type, last.end) == (span.type, span.start)
        for i, prefix in enumerate(_prefixes(span.end - span.start, follows, scheme), span.start):
            tags[i] = f"{prefix}-{span.type}" if span.type else prefix
        last = span
    return tags


def convert_tags(tags: Sequence[str], source: Scheme, target: Scheme, mode: Mode = "strict") -> list[str]:
    """The entities of one sentence in another scheme, or in the same one with its tags put right.

    Tags that strict reading takes for no entity become O. Parameters and errors as for `read_spans`.
    """
    return write_tags(read_spans(tags, source, mode), len(tags), target)


def entity_scores(
    gold: Sequence[Sequence[str]],
    predicted: Sequence[Sequence[str]],
    scheme: Scheme,
    mode: Mode = "strict",
) -> EntityScores:
    """Precision, recall and F1 of whole entities: right is one whose type and both ends are.

    Parameters
    ----------
    gold, predicted : sequences of sentences, each a sequence of tags
        Sentences may be empty.
    scheme : {"IOB1", "IOB2", "BIOES"}
        Of both.
    mode : {"strict", "lenient"}
        Reading of ill-formed tags of both; see `read_spans`. Published scores of CoNLL-2003 are lenient:
        its conlleval takes I-PER after O for a beginning.

    Raises
    ------
    InputError
        Other numbers of sentences or tokens, no tokens at all, or a tag that is not of the scheme.
    UsageError
        An unknown scheme or mode.

    Notes
    -----
    Tjong Kim Sang and De Meulder (2003), "Introduction to the CoNLL-2003 Shared Task", section 2.4. Formulas:
    `Counts.scores`; a quotient with denominator 0 is 0.
    """
    same_length(("gold", "predicted"), gold, predicted)
    tokens = right = 0
    for i, (g, p) in enumerate(zip(gold, predicted, strict=True)):
        if len(g) != len(p):
            raise InputError(f"sentence {i} has {len(g)} tags in gold, {len(p)} in predicted")
        tokens += len(g)
        right += sum(a == b for a, b in zip(g, p, strict=True))
    if not tokens:
        raise InputError("every sentence is empty: there is nothing to score")
    both = ([read_spans(tags, scheme, mode) for tags in sentences] for sentences in (gold, predicted))
    return span_scores(*both, accuracy=right / tokens)


def span_scores(
    gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]], *, accuracy: float
) -> EntityScores:
    """As `entity_scores`, of entities themselves, by tokens or by characters.

    Parameters
    ----------
    gold, predicted : sequences of sentences, each a sequence of Span
    accuracy : float
        Share of right tags.

    Raises
    ------
    InputError
        Other numbers of sentences.
    """
    same_length(("gold", "predicted"), gold, predicted)
    hits: Counter[str] = Counter()
    predictions: Counter[str] = Counter()
    actual: Counter[str] = Counter()
    for g, p in zip(gold, predicted, strict=True):
        a, b = set(g), set(p)
        for counter, spans in ((hits, a & b), (predictions, b), (actual, a)):
            counter.update(span.type for span in spans)
    types = sorted(predictions | actual)
    counters = (hits, predictions, actual)
    counts = Counts(*(np.array([counter[t] for t in types], np.int64) for counter in counters))
    scores = counts.scores()
    micro = _each(counts.total().scores())[0]
    precision, recall, f1 = (float(x.mean()) if types else 0.0 for x in scores[:3])
    return EntityScores(
        dict(zip(types, _each(scores), strict=True)),
        micro,
        EntityScore(precision, recall, f1, micro.support),
        accuracy,
    )


def _each(scores: ClassScores) -> list[EntityScore]:
    return [EntityScore(*row) for row in zip(*(x.tolist() for x in scores), strict=True)]


def _check(scheme: str, mode: str = "strict") -> None:
    check_choice("scheme", scheme, PREFIXES)
    check_choice("mode", mode, get_args(Mode))


def _parse(tag: str, i: int, scheme: Scheme) -> tuple[str, str]:
    """Prefix and type."""
    if tag == "O":
        return "O", ""
    prefix, hyphen, kind = tag.partition("-") if isinstance(tag, str) else ("", "", "")
    if len(prefix) != 1 or prefix not in PREFIXES[scheme] or (hyphen and not kind):
        wanted = ", ".join(f"{p}-type" for p in PREFIXES[scheme])
        raise InputError(f"{tag!r} at index {i} is no tag of {scheme}: expected {wanted} or O")
    return prefix, kind


def _well_formed(prefixes: str, follows: bool, scheme: Scheme) -> bool:
    """Check that the scheme writes such a run; `follows`: directly after a tag of its type."""
    if scheme == "IOB1":
        return prefixes[0] == "I" or follows
    if scheme == "IOB2":
        return prefixes[0] == "B"
    return prefixes == "S" or (prefixes[0] == "B" and prefixes[-1] == "E")


def _prefixes(length: int, follows: bool, scheme: Scheme) -> str:
    """Prefixes of an entity in the scheme; `follows`: directly after one of its type."""
    if scheme == "IOB1":
        return ("B" if follows else "I") + "I" * (length - 1)
    if scheme == "IOB2":
        return "B" + "I" * (length - 1)
    return "S" if length == 1 else "B" + "I" * (length - 2) + "E"
