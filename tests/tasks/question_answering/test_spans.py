"""Answers against every pair of tokens tried in turn, and from windows against the context in one piece."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from window_toy import make_tokenizer, others, texts, tokenizers

from minidistil.errors import InputError, UsageError
from minidistil.tasks.question_answering.spans import Answer, answer_positions, decode_answers
from minidistil.text.windows import cut_windows

quick = settings(derandomize=True, deadline=None, max_examples=80)


def scores_of_tokens(windows, seed, *, levels=None):
    """Logits that a token has whatever window it is in. Starts that do not count and all others tempt."""
    n = int(windows.text_positions.max(initial=-1)) + 1
    rng = np.random.default_rng(seed)
    by_token = (
        rng.normal(size=(2, n)) * 3 if levels is None else rng.integers(0, levels, (2, n)).astype(float)
    )
    logits = np.full((2, len(windows.input_ids)), 50.0)
    real = windows.text_positions >= 0
    logits[:, real] = by_token[:, windows.text_positions[real]]
    logits[0, real & ~windows.owned] = 60.0
    return logits


def brute_force(windows, start, end, n_best, max_answer_length):
    """(score, first character, last character) of the best pairs of tokens of the context in one window."""
    assert len(windows) == 1
    best = {}
    mine = windows.owned_tokens(windows.examples[0])
    for i, s in enumerate(mine):
        for e in mine[i : i + max_answer_length]:
            where = (int(windows.spans[s, 0]), int(windows.spans[e, 1]))
            best[where] = max(best.get(where, -np.inf), start[s] + end[e])
    return sorted((-score, *where) for where, score in best.items())[:n_best]


@given(
    tokenizers, texts, texts, st.integers(1, 12), st.integers(1, 6), st.integers(0, 99),
    st.sampled_from([None, 2]), st.booleans(),
)  # fmt: skip
@quick
def test_every_pair_is_looked_at(tokenizer, question, context, n_best, longest, seed, levels, null):
    windows = cut_windows(tokenizer, [context], [question], stride=0)
    start, end = scores_of_tokens(windows, seed, levels=levels)
    start[0], end[0] = 1.0, 0.5
    got = decode_answers(
        context, windows, start, end,
        n_best=n_best, max_answer_length=longest, null_threshold=0.0 if null else None,
    )  # fmt: skip
    expected = brute_force(windows, start, end, n_best, longest)
    assert [(a.start, a.end) for a in got.candidates] == [(a, b) for _, a, b in expected]
    assert all(a.text == context[a.start : a.end] != "" for a in got.candidates)
    could_be = brute_force(windows, start, end, 10**6, longest)
    total = sum(np.exp(-score) for score, _, _ in could_be) + np.exp(1.5) * (null or not could_be)
    every = [*(a.score for a in got.candidates), *([got.null_score] if null or not expected else [])]
    kept = [-score for score, _, _ in expected] + ([1.5] if null or not expected else [])
    np.testing.assert_allclose(every, np.exp(kept) / total, rtol=1e-12)
    if not expected:
        assert got == (Answer("", pytest.approx(1), 0, 0), [], pytest.approx(1), np.inf)
    else:
        assert got.null_odds == pytest.approx(1.5 + expected[0][0])
        silent = null and got.null_odds > 0
        assert got.best == (Answer("", got.null_score, 0, 0) if silent else got.candidates[0])


@given(
    tokenizers | others, texts, texts, st.integers(1, 8), st.integers(0, 9), st.integers(1, 12),
    st.integers(0, 99), st.sampled_from([None, 2]),
)  # fmt: skip
@settings(quick, max_examples=150)
def test_windows_change_nothing(tokenizer, question, context, step, stride, n_best, seed, levels):
    whole = cut_windows(tokenizer, [context], [question], stride=0, max_query_length=3)
    longest = step + stride + 3 + len(tokenizer.frames[True].ids)
    cut = cut_windows(tokenizer, [context], [question], stride=stride, max_query_length=3, max_length=longest)
    found = []
    for windows in (whole, cut):
        start, end = scores_of_tokens(windows, seed, levels=levels)
        found.append(
            decode_answers(
                context, windows, start, end,
                n_best=n_best, max_answer_length=stride // 2 + 1, null_threshold=1.0,
            )
        )  # fmt: skip
    assert found[0] == found[1]


@given(tokenizers | others, st.lists(texts, min_size=1, max_size=4), st.integers(0, 99))
@quick
def test_questions_do_not_know_of_each_other(tokenizer, passages, seed):
    together = cut_windows(tokenizer, passages, ["a?"] * len(passages), max_length=12, stride=4)
    for i, context in enumerate(passages):
        alone = cut_windows(tokenizer, [context], ["a?"], max_length=12, stride=4)
        logits = np.random.default_rng(seed).normal(size=(2, len(alone.input_ids)))
        assert decode_answers(context, together.of(i), *logits) == decode_answers(context, alone, *logits)


def test_null_is_the_least_of_the_windows():
    windows = cut_windows(make_tokenizer(), ["a b c d e f"], ["a"], max_length=8, stride=2)
    assert len(windows) == 2
    start, end = np.zeros((2, len(windows.input_ids)))
    first, second = windows.offsets[:-1]
    start[[first, second]], end[[first, second]] = (5.0, 1.0), (-1.0, 2.0)  # 4 and 3
    start[windows.owned_tokens(0)[1]] = 2.5
    answers = [decode_answers("a b c d e f", windows, start, end, null_threshold=t) for t in (0.4, 0.5, None)]
    assert [a.best.text for a in answers] == ["", "b", "b"]
    assert [a.null_odds for a in answers] == [0.5] * 3
    assert answers[2].null_score == 0
    assert answers[0].best.score == answers[0].null_score == answers[1].null_score > 0
    assert answers[0].candidates == answers[1].candidates
    every = [
        decode_answers("a b c d e f", windows, start, end, n_best=99, null_threshold=t) for t in (1, None)
    ]
    assert sum(a.score for a in every[0].candidates) + every[0].null_score == pytest.approx(1)
    assert sum(a.score for a in every[1].candidates) == pytest.approx(1)


def test_a_probability_does_not_depend_on_how_many_are_asked_for():
    windows = cut_windows(make_tokenizer(), ["a b c d e f"], ["a"], max_length=8, stride=2)
    start, end = np.random.default_rng(0).normal(size=(2, len(windows.input_ids)))
    one, five = (decode_answers("a b c d e f", windows, start, end, n_best=n) for n in (1, 5))
    assert one.best == five.best
    assert one.candidates == five.candidates[:1]
    assert one.best.score < 0.9


def test_tokens_of_one_character_make_one_answer():
    """As bytes of one character do."""
    windows = cut_windows(make_tokenizer(), ["a b c d"], ["a"], stride=0)
    spans = windows.spans.copy()
    tokens = windows.owned_tokens(0)
    spans[tokens] = [(0, 1), (0, 1), (0, 1), (6, 7)]
    start, end = np.zeros((2, len(spans)))
    start[tokens], end[tokens] = [3, 2, 1, 0], [0, 1, 5, 0]
    got = decode_answers("a b c d", replace(windows, spans=spans), start, end, n_best=3)
    assert [(a.start, a.end) for a in got.candidates] == [(0, 1), (0, 7), (6, 7)]
    assert np.log(got.candidates[0].score / got.candidates[1].score) == pytest.approx(8 - 3)


def test_a_border_may_hide_what_is_longer_than_half_the_stride():
    """As documented: the window that owns b ends before d."""
    context = "a b c d e f"
    windows = cut_windows(make_tokenizer(), [context], ["a"], max_length=7, stride=1)
    start, end = np.zeros((2, len(windows.input_ids)))
    tokens = windows.owned_tokens(0)
    start[tokens[1]] = end[tokens[3]] = 9.0
    assert decode_answers(context, windows, start, end).best.text != "b c d"


@given(tokenizers | others, st.lists(st.tuples(texts, texts), min_size=1, max_size=3), st.data())
@settings(quick, max_examples=150)
def test_positions_and_back(tokenizer, examples, data):
    questions, passages = [q for q, _ in examples], [c for _, c in examples]
    windows = cut_windows(tokenizer, passages, questions, max_length=12, stride=4, max_query_length=3)
    answers, wanted, whole = [], [], []
    for i, context in enumerate(passages):
        spans = windows.spans[windows.owned_tokens(i)]
        if not len(spans) or data.draw(st.booleans()):
            answers.append(data.draw(st.sampled_from([None, (0, "")])))
            wanted.append(None)
            whole.append(None)
            continue
        first = data.draw(st.integers(0, len(spans) - 1))
        last = data.draw(st.integers(first, min(first + 3, len(spans) - 1)))
        a, b = int(spans[first, 0]), int(spans[last, 1])
        answers.append((a, context[a:b]))
        # Tokens that share a character with the answer belong to it.
        inside = np.flatnonzero((spans[:, 0] < b) & (spans[:, 1] > a))
        wanted.append((inside[0], inside[-1]))
        a, b = int(spans[inside[0], 0]), int(spans[inside[-1], 1])
        whole.append((a, context[a:b]))  # wider, where tokens share characters
    starts, ends = answer_positions(windows, passages, answers)
    for w, i in enumerate(windows.examples):
        positions = windows.text_positions[windows.offsets[w] : windows.offsets[w + 1]].tolist()
        if wanted[i] is None or not {*wanted[i]} <= {*positions}:
            assert (starts[w], ends[w]) == (0, 0)
        else:
            assert (positions[starts[w]], positions[ends[w]]) == wanted[i]
    # A model that has learnt these positions answers so.
    for i, context in enumerate(passages):
        logits = np.zeros((2, len(windows.input_ids)))
        logits[0, windows.offsets[:-1] + starts] = logits[1, windows.offsets[:-1] + ends] = 9
        part = windows.tokens_of(i)
        got = decode_answers(
            context, windows.of(i), *logits[:, part], max_answer_length=3, null_threshold=0.0
        )
        if wanted[i] is None:
            assert got.best.text == ""
        elif wanted[i][1] - wanted[i][0] < 3:
            assert (got.candidates[0].start, got.candidates[0].text) == whole[i]


def test_part_of_a_token_is_widened():
    windows = cut_windows(make_tokenizer(), ["ab cde f"], ["a"], stride=0)
    starts, ends = answer_positions(windows, ["ab cde f"], [(1, "b c")])
    assert (starts.tolist(), ends.tolist()) == ([3], [4])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((0, "b"), "answer 1 is 'b', but its context has 'a' at character 0"),
        ((2, "bc"), "answer 1 is 'bc', but its context has 'b' at character 2"),
        ((-1, "b"), "answer 1 is 'b', but its context has 'a' at character -1"),
        ((9, "b"), "its context has '' at character 9"),
        ((1, " "), r"no token stands for answer 1, \(1, ' '\)"),
    ],
)
def test_bad_answers(answer, message):
    passages = ["a", "a b"]
    windows = cut_windows(make_tokenizer(), passages, ["a", "a"], stride=0)
    with pytest.raises(InputError, match=message):
        answer_positions(windows, passages, [None, answer])


def test_bad_calls():
    windows = cut_windows(make_tokenizer(), ["a", "b"], ["a", "a"], stride=0)
    logits = np.zeros(len(windows.input_ids))
    with pytest.raises(InputError, match="windows of one context"):
        decode_answers("a", windows, logits, logits)
    with pytest.raises(InputError, match=r"5 tokens, but start logits \[10\]"):
        decode_answers("a", windows.of(0), logits, logits)
    for option in ("n_best", "max_answer_length"):
        with pytest.raises(UsageError, match="at least 1"):
            decode_answers("a", windows.of(0), logits[:5], logits[:5], **{option: 0})
    with pytest.raises(InputError, match="windows of 2 contexts, but 2 contexts and 1 answers"):
        answer_positions(windows, ["a", "b"], [None])
