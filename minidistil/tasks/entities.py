"""Named entities: from a tag for every token to stretches of text, and from stretches to tags.

A tag is "O", outside of every entity, or a type, mostly behind a prefix that says which part of an entity the
token is: B-egin, I-nside, E-nd, S-ingle. Four schemes are in use:

- IOB2: the first token of an entity is B-, the others I-.
- IOB1 (Ramshaw and Marcus 1995, arXiv:cmp-lg/9505040): all are I-; B- only marks the first token of an entity
  that follows another of the same type at once.
- BIOES: as IOB2, but the last token is E-, and an entity of one token S-.
- plain: types without prefix; neighbours of one type are one entity.

Models predict sequences no scheme allows, such as I-PER after O. They are read as conlleval, the script of
the CoNLL shared tasks, reads them (Tjong Kim Sang and Buchholz 2000, arXiv:cs/0009008): an entity begins at
B- and S-, after E- and S-, after O, and wherever the type changes. One rule reads all four schemes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from minidistil.errors import ConfigError, InputError, UsageError
from minidistil.metrics import Span, read_spans, write_tags
from minidistil.tasks.by_token import require_finite

Aggregation = Literal["none", "simple", "first", "average", "max"]
Scheme = Literal["IOB2", "IOB1", "BIOES", "plain"]

OUTSIDE = "O"
BILOU = {"L": "E", "U": "S"}  # what others call the last and the only token of an entity
PREFIXES = ("B-", "I-", "E-", "S-", "L-", "U-")

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


class Entity(NamedTuple):
    """An entity a model found.

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

    text: str
    type: str
    score: float
    start: int
    end: int


class EntitySpan(NamedTuple):
    """An entity somebody marked: characters from and up to, a type, and, to be checked, the text there."""

    start: int
    end: int
    type: str
    text: str | None = None


class TokenTags(NamedTuple):
    """Tags made from marked entities.

    Attributes
    ----------
    tags : list of str [T]
    widened : int
        How many entities begin or end inside a token. The tag can only be the whole token's.
    missed : int
        How many have no tag at all: no token stands for any of their characters, or other entities that
        begin earlier have all of their tokens.
    """

    tags: list[str]
    widened: int
    missed: int


def decode_entities(
    text: str,
    probabilities: npt.ArrayLike,
    spans: npt.ArrayLike,
    word_ids: npt.ArrayLike,
    id2label: Mapping[int, str],
    *,
    aggregation: Aggregation = "first",
    scheme: Scheme | None = None,
) -> list[Entity]:
    """Entities of one text, in its order.

    Parameters
    ----------
    text : str
    probabilities : float [T, C]
        Of each tag, for each token of the text in order; of windows, those of `Windows.owned_tokens`.
    spans : int [T, 2]
        Characters of each token, from and up to.
    word_ids : int [T]
        Tokens next to each other with the same number are one word.
    id2label : mapping of int to str
        The C tags.
    aggregation : {"none", "simple", "first", "average", "max"}
        Who chooses tags. "none": each token for itself, and each with another tag than O is returned, under
        the whole tag. "simple": each token for itself, and tags make entities, which may begin and end
        within a word. Otherwise the word chooses, and entities are made of whole words: by the
        probabilities of its "first" token, their mean over its tokens ("average"), or the highest
        probability that any of its tokens gives any tag ("max").
    scheme : {"IOB2", "IOB1", "BIOES", "plain"}, optional
        Only "plain" differs from the others: what looks like a prefix is none. By default tags have
        prefixes if all but O begin like one, and have none if none does.

    Raises
    ------
    InputError
        Arrays that do not fit each other, or a NaN or an Inf among the probabilities.
    UsageError
        Unknown aggregation or scheme.
    ConfigError
        Some tags seem to have a prefix and others have none, and no scheme is given.
    """
    if aggregation not in get_args(Aggregation):
        raise UsageError(
            f"aggregation must be one of {', '.join(get_args(Aggregation))}, not {aggregation!r}"
        )
    labels = [id2label[i] for i in range(len(id2label))]
    prefixed = _have_prefixes(labels) if scheme is None else _check_scheme(scheme) != "plain"
    parts = [_split(label, prefixed) for label in labels]
    rows, where, words = _check_arrays(probabilities, spans, word_ids, len(labels))
    if not len(rows):
        return []
    if aggregation in ("first", "average", "max"):
        rows, where = _words(rows, where, words, aggregation)
    tags = rows.argmax(1)
    scores = rows[np.arange(len(rows)), tags]
    if aggregation == "none":
        inside = np.flatnonzero(np.array([prefix != OUTSIDE for prefix, _ in parts])[tags])
        return [_entity(text, labels[tags[i]], scores[i : i + 1], where[i : i + 1]) for i in inside]
    # Lenient reading of BIOES knows all prefixes, and is conlleval's.
    written = [f"{prefix}-{kind}" if kind else prefix for prefix, kind in parts]
    spans_found = read_spans([written[tag] for tag in tags.tolist()], "BIOES", mode="lenient")
    return [_entity(text, kind, scores[first:last], where[first:last]) for kind, first, last in spans_found]


def tag_tokens(
    text: str, entities: Sequence[EntitySpan | Entity], spans: npt.ArrayLike, *, scheme: Scheme = "IOB2"
) -> TokenTags:
    """A tag for every token of a text, from entities marked in it: what a model is trained on.

    Parameters
    ----------
    text : str
    entities : sequence of EntitySpan or Entity
        In any order.
    spans : int [T, 2]
        Characters of each token, in the order of the text.
    scheme : {"IOB2", "IOB1", "BIOES", "plain"}

    Raises
    ------
    InputError
        An entity that is empty, lies outside of the text, is not the text it says, or overlaps another.
    UsageError
        Unknown scheme.
    """
    _check_scheme(scheme)
    begins, ends = np.asarray(spans, np.int64).reshape(-1, 2).T
    placed: list[Span] = []
    widened = missed = previous_end = next_free = 0
    for entity in sorted(entities, key=lambda entity: (entity.start, entity.end)):
        _check_entity(text, entity)
        if entity.start < previous_end:
            raise InputError(f"{_name(entity)} overlaps the entity before it, which ends at {previous_end}")
        previous_end = entity.end
        first = int(np.searchsorted(ends, entity.start, "right"))  # the first token that ends after its start
        last = int(np.searchsorted(begins, entity.end, "left"))  # the first that begins at its end or later
        if first < last:
            widened += bool(begins[first] < entity.start or ends[last - 1] > entity.end)
        first = max(first, next_free)
        if first >= last:
            missed += 1
            continue
        placed.append(Span(entity.type, first, last))
        next_free = last
    if scheme != "plain":
        return TokenTags(write_tags(placed, len(begins), scheme), widened, missed)
    tags = [OUTSIDE] * len(begins)
    for kind, first, last in placed:
        tags[first:last] = [kind] * (last - first)
    return TokenTags(tags, widened, missed)


def _check_scheme(scheme: Scheme) -> Scheme:
    if scheme not in get_args(Scheme):
        raise UsageError(f"scheme must be one of {', '.join(get_args(Scheme))}, not {scheme!r}")
    return scheme


def _have_prefixes(labels: Sequence[str]) -> bool:
    """Whether a model's tags have prefixes: all but O, or none. Such as B and I alone are prefixes."""
    tags = [label for label in labels if label != OUTSIDE]
    if "B" in tags and all(f"{tag}-" in PREFIXES for tag in tags):
        return True
    some, bare = [t for t in tags if t[:2] in PREFIXES], [t for t in tags if t[:2] not in PREFIXES]
    if some and bare:
        raise ConfigError(
            f"tag {some[0]!r} seems to have a prefix, but {bare[0]!r} has none: name the scheme"
        )
    return bool(some)


def _split(tag: str, prefixed: bool) -> tuple[str, str]:
    """Prefix and type of a tag: ("B", "PER"). O is ("O", ""); a type without prefix counts as I-."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    if prefixed and f"{tag}-"[:2] in PREFIXES:
        return BILOU.get(tag[0], tag[0]), tag[2:]
    return "I", tag


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


def _words(rows: Float64, where: Int64, words: Int64, aggregation: str) -> tuple[Float64, Int64]:
    """Probabilities [W, C] and spans [W, 2] of words from those of tokens."""
    firsts = np.flatnonzero(np.append(True, words[1:] != words[:-1]))
    begins, ends = np.minimum.reduceat(where[:, 0], firsts), np.maximum.reduceat(where[:, 1], firsts)
    if aggregation == "first":
        rows = rows[firsts]
    elif aggregation == "max":
        rows = np.maximum.reduceat(rows, firsts)
    else:
        rows = np.add.reduceat(rows, firsts) / np.diff(np.append(firsts, len(words)))[:, None]
    return rows, np.stack([begins, ends], axis=1)


def _entity(text: str, kind: str, scores: Float64, where: Int64) -> Entity:
    start, end = int(where[:, 0].min()), int(where[:, 1].max())
    return Entity(text[start:end], kind, float(scores.mean()), start, end)


def _check_entity(text: str, entity: EntitySpan | Entity) -> None:
    if not 0 <= entity.start < entity.end <= len(text):
        raise InputError(f"{_name(entity)} is not within the {len(text)} characters of the text")
    found = text[entity.start : entity.end]
    if entity.text is not None and entity.text != found:
        raise InputError(f"{_name(entity)} should be {entity.text!r}, but the text there is {found!r}")


def _name(entity: EntitySpan | Entity) -> str:
    return f"entity {entity.type!r} from {entity.start} to {entity.end}"
