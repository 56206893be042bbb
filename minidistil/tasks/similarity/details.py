"""Details of an evaluation of an encoder: pairs, translations and queries that its vectors get most wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.embeddings.similarity import Similarity, prepare, similarities
from minidistil.metrics.base import average_ranks
from minidistil.metrics.ranking import Block, row_blocks
from minidistil.tasks.details import Details, line_of
from minidistil.text.readers import Examples


def rank_details(details: Details, examples: Examples, found: npt.NDArray[Any]) -> None:
    """Add the pairs whose similarities [N] stand at another place than their scores, when sorted."""
    scores, values = np.asarray(examples.labels, np.float64), np.asarray(found, np.float64)
    places = [average_ranks(x) / len(x) for x in (scores, values)]
    seconds = examples.pairs or []
    details.keep_worst(
        np.abs(places[0] - places[1]),
        lambda i: {
            **line_of(examples, i),
            "texts": {"text": examples.texts[i], "second text": seconds[i]},
            "right": float(scores[i]),
            "given": float(values[i]),
        },
        measure="difference of ranks",
        about="Difference of the ranks of a pair by score and by similarity, as a share of all pairs.",
    )


def nearest_details(
    details: Details,
    sources: Sequence[str],
    translations: Sequence[str],
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    similarity: Similarity,
) -> None:
    """Add the sentences, of vectors x [N, H], whose translation, of y [N, H], is furthest behind another."""
    a, b = prepare(x, similarity), prepare(y, similarity)
    behind, nearest = np.zeros(len(a)), np.zeros(len(a), np.int64)
    for rows in row_blocks(len(a), len(b)):
        block = similarities(a[rows], b, similarity)
        behind[rows] = block.max(1) - block[np.arange(len(block)), np.arange(rows.start, rows.stop)]
        nearest[rows] = block.argmax(1)
    details.keep_worst(
        behind,
        lambda i: {
            "line": i + 1,
            "texts": {"text": sources[i]},
            "right": translations[i],
            "given": translations[nearest[i]],
        },
        measure="gap",
        about="Similarity of the nearest sentence, minus that of the translation: 0 where they are the same.",
    )


@dataclass
class FirstRelevant:
    """Rank of the first relevant text of each query, and the text that was found first.

    Attributes
    ----------
    ranks, best : list of int
        A relevant text comes behind others with its score.
    """

    ranks: list[int] = field(default_factory=list)
    best: list[int] = field(default_factory=list)

    def watch(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The blocks, whose queries are taken in on the way."""
        for relevance, scores in blocks:
            relevant = relevance > 0
            highest = np.where(relevant, scores, -np.inf).max(1)
            self.ranks += (((scores >= highest[:, None]) & ~relevant).sum(1) + 1).tolist()
            self.best += scores.argmax(1).tolist()
            yield relevance, scores

    def keep(
        self,
        details: Details,
        queries: Sequence[str],
        corpus: Sequence[str],
        relevant: Sequence[dict[int, float]],
    ) -> None:
        """Add the queries whose relevant texts come latest."""
        details.keep_worst(
            self.ranks,
            lambda i: {
                "texts": {"query": queries[i]},
                "right": corpus[max(relevant[i], key=relevant[i].__getitem__)],
                "given": corpus[self.best[i]],
            },
            measure="rank",
            about="Rank of the first relevant text.",
        )
