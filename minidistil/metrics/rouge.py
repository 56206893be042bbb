"""ROUGE: overlap of a summary with a reference.

Lin (2004), "ROUGE: A Package for Automatic Evaluation of Summaries". Values are those of the package
rouge-score without stemming (`use_stemmer=False`), for one prediction; for a corpus take the means.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from minidistil.arrays import Int32
from minidistil.errors import InputError
from minidistil.metrics.base import Counts

Tokenizer = Callable[[str], Sequence[str]]


class RougeScore(NamedTuple):
    """Shares of the prediction (precision) and of the reference (recall) that match, and their F1."""

    precision: float
    recall: float
    f1: float


def ascii_words(text: str) -> list[str]:
    """Runs of a to z and 0 to 9 in lower case: rouge-score's tokens. Other alphabets have none."""
    return re.findall("[a-z0-9]+", text.lower())


def unicode_words(text: str) -> list[str]:
    """Runs of letters, digits and their marks in lower case, in any alphabet.

    Marks are kept with their letters because some alphabets write vowels with them. Chinese, Japanese and
    Thai do not put spaces between words: a clause is then one token, and a tokenizer of one's own is better.
    """
    kept = (c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in text.lower())
    return "".join(kept).split()


def rouge_n(reference: str, prediction: str, n: int, tokenizer: Tokenizer = ascii_words) -> RougeScore:
    """ROUGE-N: n-grams in common, each as often as it occurs in both.

    Parameters
    ----------
    reference, prediction : str
        Either may be empty; the score is then 0.
    n : int
        1 for words, 2 for pairs of words.
    tokenizer : callable
        Text to words: `ascii_words`, `unicode_words`, or another one.

    Raises
    ------
    InputError
        Not strings, or n < 1.
    """
    if n < 1:
        raise InputError(f"n must be at least 1, not {n}")
    r, p = (ngrams(tokens, n) for tokens in _tokens(reference, prediction, tokenizer))
    return _score((r & p).total(), r.total(), p.total())


def rouge_l(reference: str, prediction: str, tokenizer: Tokenizer = ascii_words) -> RougeScore:
    """ROUGE-L: words in the longest common subsequence of the whole texts (Lin 2004, section 3.1).

    Parameters and errors as for `rouge_n`.
    """
    r, p = _tokens(reference, prediction, tokenizer)
    last = deque(_lcs_lengths(*_numbers(r, p)), maxlen=1)[0]  # the whole table may be large
    return _score(int(last[-1]), len(r), len(p))


def rouge_lsum(reference: str, prediction: str, tokenizer: Tokenizer = ascii_words) -> RougeScore:
    """ROUGE-Lsum: the same for summaries of several sentences, one a line (Lin 2004, section 3.2).

    Parameters and errors as for `rouge_n`.

    Notes
    -----
    A word of a reference sentence matches if it is in the longest common subsequence with any sentence of the
    prediction. No word of the prediction matches twice, as in ROUGE-1.5.5, though the paper does not say so.
    Of several longest subsequences one is followed; see `_lcs`.
    """
    rs = [list(tokenizer(line)) for line in _text("reference", reference).split("\n")]
    ps = [list(tokenizer(line)) for line in _text("prediction", prediction).split("\n")]
    union: Counter[str] = Counter()
    for r in rs:
        union.update(r[i] for i in {i for p in ps for i in _lcs(*_numbers(r, p))})
    available = Counter(token for p in ps for token in p)
    return _score((union & available).total(), sum(map(len, rs)), sum(map(len, ps)))


MEASURES: dict[str, Callable[..., RougeScore]] = {
    "rouge1": partial(rouge_n, n=1),
    "rouge2": partial(rouge_n, n=2),
    "rougeL": rouge_l,
    "rougeLsum": rouge_lsum,
}


def rouge_scores(
    references: Sequence[str], prediction: str, tokenizer: Tokenizer = ascii_words
) -> dict[str, float]:
    """F1 of each of `MEASURES`; of several references the best for each, as rouge-score's `score_multi`.

    Parameters
    ----------
    references : sequence of str
        At least one. For "rougeLsum" a sentence a line.
    prediction, tokenizer
        As of `rouge_n`.
    """
    return {
        name: max(measure(reference, prediction, tokenizer=tokenizer).f1 for reference in references)
        for name, measure in MEASURES.items()
    }


def _score(hits: int, reference: int, prediction: int) -> RougeScore:
    counts = Counts(*(np.array([x]) for x in (hits, prediction, reference)))
    return RougeScore(*(float(x[0]) for x in counts.scores()[:3]))


def _text(name: str, text: str) -> str:
    if not isinstance(text, str):
        raise InputError(f"{name} must be a string, not {type(text).__name__}")
    return text


def _tokens(reference: str, prediction: str, tokenizer: Tokenizer) -> tuple[list[str], list[str]]:
    return list(tokenizer(_text("reference", reference))), list(tokenizer(_text("prediction", prediction)))


def ngrams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """N-grams of tokens, and how often each occurs."""
    return Counter(zip(*(tokens[i:] for i in range(n)), strict=False))


def _numbers(a: Sequence[str], b: Sequence[str]) -> tuple[Int32, Int32]:
    """Both as arrays of numbers, equal where the tokens are."""
    ids = {token: i for i, token in enumerate({*a, *b})}
    return np.array([ids[t] for t in a], np.int32), np.array([ids[t] for t in b], np.int32)


def _lcs_lengths(a: Int32, b: Int32) -> Iterator[Int32]:
    """Rows of the table L[i, j], the length of the longest common subsequence of a[:i] and b[:j].

    Yields N + 1 rows [M + 1] for a [N] and b [M].

    Notes
    -----
    L[i, j] = max(L[i-1, j], L[i, j-1], L[i-1, j-1] + [a_i = b_j]). What does not come from the row itself is
    a maximum of two arrays; what does, L[i, j-1], makes it a running maximum.
    """
    row = np.zeros(len(b) + 1, np.int32)
    yield row
    for token in a:
        below = row.copy()
        np.maximum(row[1:], row[:-1] + (b == token), out=below[1:])
        row = np.maximum.accumulate(below)
        yield row


def _lcs(a: Int32, b: Int32) -> list[int]:
    """Positions in `a` of a longest common subsequence of the two.

    There may be several. As in rouge-score it is followed from the ends back: equal words are taken, else the
    last word of `b` is dropped if that keeps more than dropping the last of `a`.
    """
    table = np.stack(list(_lcs_lengths(a, b)))
    i, j = len(a), len(b)
    found = []
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            found.append(i)
        elif table[i, j - 1] > table[i - 1, j]:
            j -= 1
        else:
            i -= 1
    return found
