"""ROUGE against rouge-score, on texts in which words repeat, lines are empty and alphabets mix."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from minidistil.errors import InputError
from minidistil.metrics import ascii_words, rouge_l, rouge_lsum, rouge_n, unicode_words

TYPES = ["rouge1", "rouge2", "rouge3", "rougeL", "rougeLsum"]
checked = settings(derandomize=True, deadline=None, max_examples=150)
few_words = st.lists(st.sampled_from(["a", "b", "c", "d", "\n", ".", "\n\n"]), max_size=40).map(" ".join)
anything = st.text("aAb1 \n\r\t._-'éßİΩдом中\u0301\u2028", max_size=30)


class Words:
    """A tokenizer as rouge-score wants it."""

    def __init__(self, tokenize):
        self.tokenize = tokenize


def ours(reference, prediction, *tokenizer):
    return [
        *(rouge_n(reference, prediction, n, *tokenizer) for n in (1, 2, 3)),
        rouge_l(reference, prediction, *tokenizer),
        rouge_lsum(reference, prediction, *tokenizer),
    ]


def theirs(reference, prediction, tokenizer=None):
    scores = RougeScorer(TYPES, tokenizer=tokenizer).score(reference, prediction)
    return [tuple(scores[name]) for name in TYPES]


@checked
@given(few_words | anything, few_words | anything)
@example("", "")
@example("a", "")
@example("\n\n", "...")
@example("a b \n a b", "a \n b a")
@example("a \r b", "b a")  # other ends of lines are none
@example("a b", "b \r a")
@example("Straße", "STRASSE")
def test_scores_are_those_of_rouge_score(reference, prediction):
    for got, expected in zip(ours(reference, prediction), theirs(reference, prediction), strict=True):
        assert got == pytest.approx(expected, abs=1e-15)


@checked
@given(few_words | anything, few_words | anything)
def test_any_tokenizer_will_do(reference, prediction):
    expected = theirs(reference, prediction, Words(unicode_words))
    for got, want in zip(ours(reference, prediction, unicode_words), expected, strict=True):
        assert got == pytest.approx(want, abs=1e-15)


def test_long_texts_of_few_words():
    """Where there are many longest subsequences, the one rouge-score follows is followed."""
    rng = np.random.default_rng(0)
    for size in (3, 12, 60):
        texts = ["\n".join(" ".join(map(str, rng.integers(0, size, 40))) for _ in range(3)) for _ in range(2)]
        for got, expected in zip(ours(*texts), theirs(*texts), strict=True):
            assert got == pytest.approx(expected)


def test_by_hand():
    """Lin 2004, section 3.1: both sentences share as many pairs of words with the reference, but not as long
    a subsequence, "police the gunman" and "the gunman"."""
    reference = "Police killed the gunman."
    assert rouge_n(reference, "police kill the gunman", 1) == (3 / 4, 3 / 4, 3 / 4)
    for prediction in ("police kill the gunman", "the gunman kill police"):
        assert rouge_n(reference, prediction, 2) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert rouge_l(reference, "police kill the gunman") == (3 / 4, 3 / 4, 3 / 4)
    assert rouge_l(reference, "the gunman kill police") == (2 / 4, 2 / 4, 2 / 4)


def test_union_by_hand():
    """Lin 2004, section 3.2: w1 w2 is common with the first line, w1 w3 w5 with the second: 4 of 5 words."""
    recall = rouge_lsum("w1 w2 w3 w4 w5", "w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5").recall
    assert recall == 4 / 5
    assert rouge_lsum("a\na", "a") == (1, 1 / 2, pytest.approx(2 / 3))  # one word matches once


def test_tokens():
    assert ascii_words("It's 3.5 naïve_é İ") == ["it", "s", "3", "5", "na", "ve", "i"]
    assert unicode_words("It's naïve_дом, हिन्दी!") == ["it", "s", "naïve", "дом", "हिन्दी"]
    assert rouge_n("дом", "дом", 1).f1 == 0
    assert rouge_n("дом", "Дом", 1, unicode_words).f1 == 1


def test_what_is_no_text_is_refused():
    for rouge in (rouge_l, rouge_lsum, lambda r, p: rouge_n(r, p, 1)):
        with pytest.raises(InputError, match="reference must be a string, not list"):
            rouge(["a"], "a")
        with pytest.raises(InputError, match="prediction must be a string, not NoneType"):
            rouge("a", None)
    with pytest.raises(InputError, match="n must be at least 1, not 0"):
        rouge_n("a", "a", 0)
