"""Named entities: from a tag for every token to stretches of text, and from stretches to tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Float64, Int64
from minidistil.errors import InputError, UsageError
from minidistil.metrics import Span
from minidistil.model.checks import require_finite
from minidistil.tasks.result import Result
from minidistil.tasks.token_classification.schemes import TagSet
from minidistil.text.whitespace import whitespace_words

Aggregation = Literal["none", "simple", "first", "average", "max", "whitespace"]


@dataclass(frozen=True, eq=False)
class Entity(Result):
    """An entity that a model found; its keys are `entity_group`, `score`, `word`, `start` and `end`.

    Attributes
    ----------
    text : str
        `original[start:end]`.
    type : str
        Without prefix, except for the aggregation "none".
    score : float
        Mean probability of the tags that were chosen for its tokens (for its words, if words decide).
    start, end : int
        Characters of the original text, from and up to.
    """

    key: ClassVar[str] = "entity_group"  # of the type

    text: str
    type: str
    score: float
    start: int
    end: int

    def keyed(self) -> dict[str, Any]:
        named = {self.key: self.type, "score": self.score, "word": self.text}
        return {**named, "start": self.start, "end": self.end}


class EntityToken(Entity):
    """A token with its tag, of the aggregation "none"; the key of the tag is `entity`."""

    key = "entity"


class EntitySpan(NamedTuple):
    """A marked entity: characters from and up to, a type, and, to be checked, the text there."""

    start: int
    end: int
    type: str
    text: str | None = None


class Placed(NamedTuple):
    """Marked entities among the words, or tokens, of a text.

    Attributes
    ----------
    spans : list of Span
        In numbers of words.
    inexact : int
        Number of entities that begin or end inside a word. They are extended to whole words.
    missed : int
        Number without a word: none stands for any of their characters, or other entities that begin earlier
        have all of their words.
    """

    spans: list[Span]
    inexact: int
    missed: int


class WordTags(NamedTuple):
    """Tags that a model gives the words, or tokens, of a text.

    Attributes
    ----------
    tags : int64 [W]
        Numbers of tags.
    scores : float64 [W]
        Their probabilities.
    spans : int64 [W, 2]
        Characters of each word, from and up to.
    probabilities : float64 [W, C] or None
        Of every tag.
    """

    tags: Int64
    scores: Float64
    spans: Int64
    probabilities: Float64 | None = None


def choose_tags(
    text: str,
    probabilities: npt.ArrayLike,
    spans: npt.ArrayLike,
    word_ids: npt.ArrayLike,
    num_labels: int,
    *,
    aggregation: Aggregation = "first",
    words: npt.ArrayLike | None = None,
) -> WordTags:
    """The tags of a text's words, or of its tokens.

    Parameters
    ----------
    text : str
    probabilities : float [T, C]
        Of each tag, for each token of the text in order; of windows, those of `Windows.owned_tokens`.
    spans : int [T, 2]
        Characters of each token, from and up to.
    word_ids : int [T]
        Tokens next to each other with the same number are one word.
    num_labels : int
        C.
    aggregation : {"none", "simple", "first", "average", "max", "whitespace"}
        Who chooses tags. "none", "simple": each token for itself. Otherwise the word chooses: by the
        probabilities of its "first" token, their mean over its tokens ("average"), or the highest
        probability that any of its tokens gives any tag ("max"). "whitespace": as "first", of the words that
        `whitespace_words` finds.
    words : int [V, 2], optional
        Characters of the words, where they are given; the first token that begins in one chooses for it.

    Raises
    ------
    InputError
        Arrays that do not fit each other, or a NaN or an Inf among the probabilities.
    UsageError
        Unknown aggregation.
    """
    if aggregation not in get_args(Aggregation):
        raise UsageError(
            f"aggregation must be one of {', '.join(get_args(Aggregation))}, not {aggregation!r}"
        )
    rows, where, ids = _check_arrays(probabilities, spans, word_ids, num_labels)
    if words is None and aggregation == "whitespace":
        words = whitespace_words(text)
    if words is not None or aggregation not in ("none", "simple"):
        numbers, given = words_of_tokens(where, ids, words)
        rows, numbers = rows[numbers >= 0], numbers[numbers >= 0]
        firsts = first_tokens(numbers)
        rows = _of_words(rows, firsts, "first" if words is not None else aggregation)
        where = given[numbers[firsts]]
    tags = rows.argmax(1) if len(rows) else np.zeros(0, np.int64)
    return WordTags(tags, rows[np.arange(len(rows)), tags], where, rows)


def words_of_tokens(spans: Int64, word_ids: Int64, words: npt.ArrayLike | None = None) -> tuple[Int64, Int64]:
    """Word of each token, int64 [T], and the characters of each word, [W, 2].

    Words are `words` [W, 2], where they are given; a token that begins before all of them has -1. Else they
    are the stretches of equal `word_ids`.
    """
    if words is not None:
        given = np.asarray(words, np.int64).reshape(-1, 2)
        return np.searchsorted(given[:, 0], spans[:, 0], "right") - 1, given
    firsts = first_tokens(word_ids)
    begins, ends = np.minimum.reduceat(spans[:, 0], firsts), np.maximum.reduceat(spans[:, 1], firsts)
    sizes = np.diff(np.append(firsts, len(word_ids)))
    return np.repeat(np.arange(len(firsts)), sizes), np.stack([begins, ends], axis=1)


def first_tokens(words: Int64) -> Int64:
    """The first token of each word."""
    return np.flatnonzero(np.append(True, words[1:] != words[:-1])) if len(words) else np.zeros(0, np.int64)


def tagged_entities(text: str, found: WordTags, tags: TagSet, *, apart: bool = False) -> list[Entity]:
    """The entities that tags of words make; `apart`: each word for itself, under its whole tag."""
    names = [tags.tags[i] for i in found.tags.tolist()]
    if apart:
        inside = [i for i, name in enumerate(names) if name != tags.outside]
        spans = [Span(names[i], i, i + 1) for i in inside]
    else:
        spans = tags.read(names)
    kind = EntityToken if apart else Entity
    return [_entity(kind, text, tag, found.scores[a:b], found.spans[a:b]) for tag, a, b in spans]


def place_entities(text: str, entities: Sequence[EntitySpan | Entity], words: npt.ArrayLike) -> Placed:
    """Marked entities as spans of words: what a model is trained on.

    Parameters
    ----------
    text : str
    entities : sequence of EntitySpan or Entity
        In any order.
    words : int [W, 2]
        Characters of each word, or token, in the order of the text.

    Raises
    ------
    InputError
        An entity that is empty, lies outside of the text, is not the text it says, or overlaps another.
    """
    begins, ends = np.asarray(words, np.int64).reshape(-1, 2).T
    placed: list[Span] = []
    inexact = missed = previous_end = next_free = 0
    for entity in sorted(entities, key=lambda entity: (entity.start, entity.end)):
        _check_entity(text, entity)
        if entity.start < previous_end:
            raise InputError(f"{_name(entity)} overlaps the entity before it, which ends at {previous_end}")
        previous_end = entity.end
        first = int(np.searchsorted(ends, entity.start, "right"))  # the first word that ends after its start
        last = int(np.searchsorted(begins, entity.end, "left"))  # the first that begins at its end or later
        if first < last:
            inexact += bool(begins[first] != entity.start or ends[last - 1] != entity.end)
        first = max(first, next_free)
        if first >= last:
            missed += 1
            continue
        placed.append(Span(entity.type, first, last))
        next_free = last
    return Placed(placed, inexact, missed)


def _check_arrays(
    probabilities: npt.ArrayLike, spans: npt.ArrayLike, word_ids: npt.ArrayLike, num_labels: int
) -> tuple[Float64, Int64, Int64]:
    rows = np.asarray(probabilities, np.float64)
    where, words = np.asarray(spans, np.int64), np.asarray(word_ids, np.int64)
    T = len(words)
    if rows.shape != (T, num_labels) or where.shape != (T, 2):
        raise InputError(
            f"{T} word ids and {num_labels} labels need probabilities [{T}, {num_labels}] and "
            f"spans [{T}, 2], not {list(rows.shape)} and {list(where.shape)}"
        )
    require_finite(rows)
    return rows, where, words


def _of_words(rows: Float64, firsts: Int64, aggregation: str) -> Float64:
    """Probabilities of words [W, C] from those of tokens, of which `firsts` are the first of each word."""
    if aggregation == "first":
        return rows[firsts]
    if aggregation == "max":
        return np.maximum.reduceat(rows, firsts)
    return np.add.reduceat(rows, firsts) / np.diff(np.append(firsts, len(rows)))[:, None]


def _entity(kind: type[Entity], text: str, tag: str, scores: Float64, where: Int64) -> Entity:
    start, end = int(where[:, 0].min()), int(where[:, 1].max())
    return kind(text[start:end], tag, float(scores.mean()), start, end)


def _check_entity(text: str, entity: EntitySpan | Entity) -> None:
    if not 0 <= entity.start < entity.end <= len(text):
        raise InputError(f"{_name(entity)} is not within the {len(text)} characters of the text")
    found = text[entity.start : entity.end]
    if entity.text is not None and entity.text != found:
        raise InputError(f"{_name(entity)} should be {entity.text!r}, but the text there is {found!r}")


def _name(entity: EntitySpan | Entity) -> str:
    return f"entity {entity.type!r} from {entity.start} to {entity.end}"
