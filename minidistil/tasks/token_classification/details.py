"""Details of an evaluation of tags: texts with the highest loss, and the confusion of types."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minidistil.metrics import Span
from minidistil.tasks.details import Details, line_of, nats
from minidistil.tasks.token_classification.conll import Tagged
from minidistil.tasks.token_classification.entities import WordTags
from minidistil.tasks.token_classification.schemes import OUTSIDE, TagSet

NO_ENTITY, UNNAMED = "no entity", "entity"


def tag_details(
    details: Details,
    tags: TagSet,
    examples: Tagged,
    said: Sequence[WordTags],
    right: Sequence[Sequence[str]],
    gold: Sequence[Sequence[Span]],
    predicted: Sequence[Sequence[Span]],
) -> None:
    """Add the details of N texts.

    Parameters
    ----------
    details : Details
    tags : TagSet
        Of the model.
    examples : Tagged
    said : sequence of WordTags
        Of the words of each text, with the probabilities of all tags.
    right : sequence of sequences of str
        The right tag of each of those words.
    gold, predicted : sequence of sequences of Span
        The right entities of each text, in characters, and the model's.
    """
    ids = {tag: i for i, tag in enumerate(tags.tags)}
    losses: list[float] = []
    pairs: list[tuple[str, str]] = []
    for some, names in zip(said, right, strict=True):
        assert some.probabilities is not None
        known = [ids.get(name, -1) for name in names]  # a type that the model does not know has probability 0
        chances = [row[i] if i >= 0 else 0.0 for row, i in zip(some.probabilities, known, strict=True)]
        losses.append(float(nats(chances).sum()))
        pairs += [
            (_type(tags, name), _type(tags, tags.tags[i]))
            for name, i in zip(names, some.tags.tolist(), strict=True)
        ]

    def listed(text: str, spans: Sequence[Span]) -> str:
        return "; ".join(f"{span.type} {text[span.start : span.end]}" for span in spans) or NO_ENTITY

    details.keep_worst(
        losses,
        lambda i: {
            **line_of(examples, i),
            "texts": {"text": examples.texts[i]},
            "right": listed(examples.texts[i], gold[i]),
            "given": listed(examples.texts[i], predicted[i]),
        },
        measure="loss (nats)",
        about="Minus the logarithm of the probability of the right tag, summed over the words of a text.",
    )
    there = {kind for pair in pairs for kind in pair} - {NO_ENTITY}
    kinds = [*sorted(there | {kind or UNNAMED for kind in tags.types}), NO_ENTITY]
    numbers = {kind: i for i, kind in enumerate(kinds)}
    matrix = np.zeros((len(kinds), len(kinds)), np.int64)
    for a, b in pairs:
        matrix[numbers[a], numbers[b]] += 1
    details.found |= {"confusion": matrix.tolist(), "names": kinds, "counted": "words"}


def _type(tags: TagSet, tag: str) -> str:
    """The type of entity that a tag is of; a tag that the model does not know says it behind its hyphen."""
    part, kind = tags.parts.get(tag, ("I", tag.partition("-")[2] or tag))
    return NO_ENTITY if part == OUTSIDE else kind or UNNAMED
