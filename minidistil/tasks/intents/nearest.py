"""Texts that each stand for something, an intent or an answer, and which of them a text is nearest to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.embeddings.similarity import prepare, similarities
from minidistil.embeddings.vector_files import reuse_vectors
from minidistil.errors import InputError
from minidistil.metrics import Threshold, best_threshold
from minidistil.tasks.similarity.ranking import rows_at_once

Float64 = npt.NDArray[np.float64]


class Near(NamedTuple):
    """A label that a text may have.

    Attributes
    ----------
    label : str
    score : float
        How near the nearest of the entries that have it is: the cosine, or what the encoder is made for.
    entry : int
        That entry, from 0.
    """

    label: str
    score: float
    entry: int


class NearestEntries:
    """Entries: texts with labels, as vectors. A text is as near to a label as to its nearest entry.

    Nothing is learnt, so an entry more or less costs nothing, and one example of a label is enough.

    Parameters
    ----------
    encoder : SentenceEncoder
    vectors : float [E, H]
        Of the entries, see `entry_vectors`.
    labels : sequence of str, [E]

    Attributes
    ----------
    names : tuple of str
        The C labels, in the order in which they first occur.
    """

    def __init__(self, encoder: SentenceEncoder, vectors: npt.NDArray[Any], labels: Sequence[str]) -> None:
        self.encoder = encoder
        self.names = tuple(dict.fromkeys(labels))
        numbers = {name: i for i, name in enumerate(self.names)}
        self._labels = np.array([numbers[label] for label in labels], np.int64)
        self._order = np.argsort(self._labels, kind="stable")  # entries of a label side by side
        self._begins = np.searchsorted(self._labels[self._order], np.arange(len(self.names)))
        self._similarity = encoder.settings.similarity
        self._least = -1.0 if self._similarity == "cosine" else -np.inf
        self._entries = prepare(vectors[self._order], self._similarity)

    def scores(self, texts: Sequence[str], *, quiet: bool = True) -> Float64:
        """Similarity [N, C] of texts to the nearest entry of each label."""
        parts = [self._by_label(part) for part in self._to_entries(texts, quiet)]
        return np.concatenate([np.zeros((0, len(self.names))), *parts])

    def find(self, texts: Sequence[str], k: int = 5) -> list[list[Near]]:
        """The k nearest labels of each text, best first; of equally near ones the one that came first."""
        found = []
        for part in self._to_entries(texts, True):
            scores = self._by_label(part)
            best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            for row, chosen in enumerate(best.tolist()):
                found.append([Near(self.names[c], *self._nearest(part[row], c)) for c in chosen])
        return found

    def left_out(self, outside: npt.NDArray[Any]) -> Threshold:
        """The best threshold on the entries themselves, each compared with all the others.

        Parameters
        ----------
        outside : float [M, H]
            Vectors of texts to which no label is right.
        """
        n = len(self._order)
        best, chosen = np.zeros(n), np.zeros(n, np.int64)
        for rows in rows_at_once(n, n):
            found = similarities(self._entries[rows], self._entries, self._similarity)
            found[np.arange(len(found)), np.arange(rows.start, rows.stop)] = self._least
            scores = self._by_label(found)
            best[rows], chosen[rows] = scores.max(1), scores.argmax(1)
        asked = prepare(outside, self._similarity)
        others = similarities(asked, self._entries, self._similarity).max(1)
        right = np.append(chosen == self._labels[self._order], np.zeros(len(others), np.bool_))
        return best_threshold(right, np.arange(n + len(others)) >= n, np.append(best, others))

    def _to_entries(self, texts: Sequence[str], quiet: bool) -> Iterator[Float64]:
        """Scores [., E] of some texts at a time with all entries, in `_order`."""
        vectors = self.encoder.encode(texts, quiet=quiet)
        for rows in rows_at_once(len(vectors), len(self._order)):
            yield similarities(prepare(vectors[rows], self._similarity), self._entries, self._similarity)

    def _by_label(self, found: Float64) -> Float64:
        best: Float64 = np.maximum.reduceat(found, self._begins, axis=1)
        return best

    def _nearest(self, found: npt.NDArray[Any], label: int) -> tuple[float, int]:
        """Of one text's scores the largest of a label, and the entry that it is with."""
        begin = self._begins[label]
        end = self._begins[label + 1] if label + 1 < len(self._begins) else len(found)
        best = begin + int(found[begin:end].argmax())
        return float(found[best]), int(self._order[best])


def entry_vectors(
    encoder: SentenceEncoder,
    texts: Sequence[str],
    given: str | Path | npt.ArrayLike | None = None,
    *,
    quiet: bool = True,
) -> npt.NDArray[Any]:
    """Vectors of entries, [E, H]: those `given`, that were made before, or new ones.

    Raises
    ------
    InputError
        No texts, or what `reuse_vectors` raises.
    """
    if not texts:
        raise InputError("there are no entries to compare with")
    return encoder.encode(texts, quiet=quiet) if given is None else reuse_vectors(encoder, texts, given)
