"""Greedy oracle of extractive summaries (by ROUGE): labels to learn from, and an upper bound."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from minidistil.metrics.rouge import ngrams, unicode_words
from minidistil.text.sentences import SPACELESS


def words(text: str) -> list[str]:
    """Words that ROUGE counts: words in lower case, in any alphabet; of Chinese and Japanese the characters.

    In ASCII they are the tokens of rouge-score.
    """
    return unicode_words(re.sub(SPACELESS, r" \g<0> ", text))


def oracle(sentences: Sequence[str], references: Sequence[str]) -> list[int]:
    """The sentences that a greedy choice by ROUGE picks, in the document's order.

    One at a time the sentence that raises F1 of ROUGE-1 plus F1 of ROUGE-2 most is added, until none does
    (Nallapati et al. 2017, arXiv:1611.04230, section 3.1; the sum of the two is Liu and Lapata's, 2019,
    arXiv:1908.08345). Pairs of words across two sentences do not count. With several references this is done
    for each, and the choice with the highest sum is returned.

    Parameters
    ----------
    sentences, references : sequence of str

    Returns
    -------
    list of int
        Empty where no sentence has a word of a reference.
    """
    tokens = [words(sentence) for sentence in sentences]
    return max((_greedy(tokens, words(r)) for r in references), key=lambda x: x[0], default=(0.0, []))[1]


def _greedy(sentences: Sequence[Sequence[str]], reference: Sequence[str]) -> tuple[float, list[int]]:
    """The sum that was reached, and the choice."""
    counts = [_Matches(sentences, reference, n) for n in (1, 2)]
    reached, chosen = 0.0, np.zeros(len(sentences), np.bool_)
    while not chosen.all():
        sums = np.where(chosen, -1, sum(c.f1() for c in counts))
        i = int(sums.argmax())
        if sums[i] <= reached + 1e-12:  # as it was, but for rounding
            break
        reached, chosen[i] = float(sums[i]), True
        for c in counts:
            c.add(i)
    return reached, np.flatnonzero(chosen).tolist()


class _Matches:
    """N-grams that the sentences of a document share with a reference, as a choice of them grows.

    Only shared ones are kept, end to end: `grams` which one, `times` how often, `owners` in which sentence.
    """

    def __init__(self, sentences: Sequence[Sequence[str]], reference: Sequence[str], n: int) -> None:
        wanted = ngrams(reference, n)
        ids = {gram: i for i, gram in enumerate(wanted)}
        shared = [
            (i, ids[gram], times)
            for i, tokens in enumerate(sentences)
            for gram, times in ngrams(tokens, n).items()
            if gram in ids
        ]
        self.owners, self.grams, self.times = np.array(shared, np.int64).reshape(-1, 3).T
        self.sizes = np.array([max(0, len(tokens) - n + 1) for tokens in sentences], np.int64)
        self.left = np.array(list(wanted.values()), np.int64)  # of each n-gram, how many are not matched yet
        self.wanted, self.hits, self.size = int(self.left.sum()), 0, 0

    def f1(self) -> npt.NDArray[np.float64]:
        """[N]: F1 with each sentence added. 2 hits / (n-grams of the choice + n-grams of the reference)."""
        gains = np.bincount(
            self.owners, np.minimum(self.times, self.left[self.grams]), minlength=len(self.sizes)
        )
        total = self.size + self.sizes + self.wanted
        return np.asarray(2 * (self.hits + gains) / np.maximum(total, 1))

    def add(self, i: int) -> None:
        own = self.owners == i
        gains = np.minimum(self.times[own], self.left[self.grams[own]])
        self.left[self.grams[own]] -= gains
        self.hits += int(gains.sum())
        self.size += int(self.sizes[i])
