"""The oracle against plain counting, and ROUGE with several references against rouge-score."""

from collections import Counter

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from minidistil.metrics import ascii_words
from minidistil.metrics.rouge import MEASURES, rouge_scores
from minidistil.tasks.summarization.oracle import oracle, words

WORDS = ["film", "plot", "cast", "warm", "dull", "the", "a"]


def some_text(rng, longest=8):
    return " ".join(rng.choice(WORDS, rng.integers(0, longest)))


def f1(sentences, reference, n):
    def grams(text):
        tokens = text.split()
        return Counter(zip(*(tokens[i:] for i in range(n)), strict=False))

    said, wanted = sum((grams(s) for s in sentences), Counter()), grams(reference)
    total = said.total() + wanted.total()
    return 2 * (said & wanted).total() / total if total else 0.0


def plainly(sentences, reference):
    chosen, reached = [], 0.0
    while True:
        best = (reached + 1e-12, None)
        for i in set(range(len(sentences))) - set(chosen):
            some = [sentences[j] for j in [*chosen, i]]
            best = max(
                best, (f1(some, reference, 1) + f1(some, reference, 2), -i), key=lambda x: (x[0], x[1] or 0)
            )
        if best[1] is None:
            return reached, sorted(chosen)
        reached = best[0]
        chosen.append(-best[1])


@pytest.mark.parametrize("seed", range(60))
def test_the_choice(seed):
    rng = np.random.default_rng(seed)
    sentences = [some_text(rng) for _ in range(rng.integers(0, 8))]
    references = [some_text(rng, 14) for _ in range(rng.integers(1, 4))]
    reached = [plainly(sentences, r) for r in references]
    found = oracle(sentences, references)
    assert found in [choice for reach, choice in reached if reach > max(reached)[0] - 1e-9]
    if len(references) == 1:
        assert found == reached[0][1]


def test_small_choices():
    assert oracle(["a warm film", "the plot", "a film"], ["a warm film. The plot"]) == [0, 1]
    assert oracle(["a warm film", "the dull plot"], ["a warm film. The plot"]) == [0], (
        "it costs more than it adds"
    )
    assert oracle(["no", "none"], ["a film"]) == []
    assert oracle([], ["a film"]) == oracle(["a film"], [""]) == oracle(["a film"], []) == []
    assert oracle(["你好", "再见"], ["再见了"]) == [1]


def test_words():
    for text in ("It's 3.5 m_long: X-ray (no. 5)!", "", "a\tB\n"):
        assert words(text) == ascii_words(text)
    assert words("Café, «Привет» हिन्दी 你好a カ1") == ["café", "привет", "हिन्दी", "你", "好", "a", "カ", "1"]


@pytest.mark.parametrize("seed", range(20))
def test_several_references(seed):
    rng = np.random.default_rng(seed)
    references = ["\n".join(some_text(rng) for _ in range(2)) for _ in range(3)]
    summary = "\n".join(some_text(rng) for _ in range(3))
    theirs = RougeScorer(list(MEASURES), use_stemmer=False).score_multi(references, summary)
    assert rouge_scores(references, summary, words) == pytest.approx(
        {name: score.fmeasure for name, score in theirs.items()}
    )
