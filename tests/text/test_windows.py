"""Windows against the loop of run_squad.py written out, over texts that shrink and grow as they are read."""

from dataclasses import fields

import numpy as np
import pytest
import window_toy
from hypothesis import given, settings
from hypothesis import strategies as st
from window_toy import make_other, make_tokenizer, others, texts, tokenizers

from minidistil.errors import ConfigError, InputError, UsageError
from minidistil.text.dataset import Dataset
from minidistil.text.tokenizer import Tokenizer
from minidistil.text.windows import Windows, cut_windows

quick = settings(derandomize=True, deadline=None, max_examples=80)
shapes = st.tuples(st.integers(1, 9), st.integers(0, 8)).filter(
    lambda shape: shape[1] < shape[0]
)  # room, stride


def rows(windows: Windows, column: str) -> list[list]:
    return [part.tolist() for part in np.split(getattr(windows, column), windows.offsets[1:-1])]


def ranges_of_run_squad(n: int, room: int, stride: int) -> list[tuple[int, int]]:
    out, start = [], 0
    while True:
        length = min(n - start, room)
        out.append((start, start + length))
        if start + length == n:
            return out
        start += room - stride


def owner(ranges: list[tuple[int, int]], token: int) -> int:
    scores = [min(token - a, b - 1 - token) if a <= token < b else -1 for a, b in ranges]
    return scores.index(max(scores))


@given(tokenizers | others, st.lists(st.tuples(texts, texts), min_size=1, max_size=4), shapes, st.booleans())
@quick
def test_layout_and_owners(tokenizer, examples, shape, pair):
    contexts, questions = [c for c, _ in examples], [q for _, q in examples]
    (room, stride), asked = shape, 3
    seps = 2 if pair and not tokenizer.takes_token_types else 1  # between question and text
    added = 2 + seps if pair else 2
    max_length = room + (added + asked if pair else 2)
    windows = cut_windows(
        tokenizer, contexts, questions if pair else None,
        max_length=max_length, stride=stride, max_query_length=asked,
    )  # fmt: skip
    flat, cls, sep = tokenizer.encode_spans(contexts), tokenizer.cls_token_id, tokenizer.sep_token_id
    ids, types, ranges, who, owned = [], [], [], [], []
    for i, part in enumerate(np.split(flat.ids, np.cumsum(flat.lengths)[:-1])):
        question = tokenizer.encode_flat([questions[i]])[0].tolist()[:asked] if pair else []
        cuts = ranges_of_run_squad(len(part), max_length - len(question) - added, stride)
        for w, (a, b) in enumerate(cuts):
            front = [cls, *question, *[sep] * seps] if pair else [cls]
            ids.append([*front, *part[a:b].tolist(), sep])
            types.append([0] * len(front) + [int(pair and tokenizer.takes_token_types)] * (b - a + 1))
            ranges.append([a, b])
            who.append(i)
            owned.append([False] * len(front) + [owner(cuts, t) == w for t in range(a, b)] + [False])
    assert rows(windows, "input_ids") == ids
    assert rows(windows, "token_type_ids") == types
    assert windows.token_ranges.tolist() == ranges
    assert windows.examples.tolist() == who
    assert rows(windows, "owned") == owned
    assert max(map(len, ids)) <= max_length
    for w, positions in enumerate(rows(windows, "text_positions")):
        front = len(positions) - 1 - (ranges[w][1] - ranges[w][0])
        assert positions == [-1] * front + list(range(*ranges[w])) + [-1]


@given(tokenizers | others, st.lists(texts, min_size=1, max_size=3), shapes)
@quick
def test_every_token_counts_once(tokenizer, contexts, shape):
    room, stride = shape
    windows = cut_windows(tokenizer, contexts, max_length=room + 2, stride=stride)
    flat = tokenizer.encode_spans(contexts)
    for i, n in enumerate(flat.lengths):
        mine = windows.owned_tokens(i)
        assert windows.text_positions[mine].tolist() == list(range(n))
    every = np.flatnonzero(windows.owned)
    np.testing.assert_array_equal(windows.input_ids[every], flat.ids)
    np.testing.assert_array_equal(windows.word_ids[every], flat.word_ids)
    # Copies of a token agree, and what is no token of a text says so.
    outside = windows.text_positions < 0
    assert (windows.spans[outside] == -1).all()
    assert (windows.word_ids[outside] == -1).all()
    assert not windows.owned[outside].any()
    example = np.repeat(windows.examples, np.diff(windows.offsets))
    whole = cut_windows(tokenizer, contexts, stride=0)
    for i, n in enumerate(flat.lengths):
        if n <= 510:
            copies = (example == i) & ~outside
            np.testing.assert_array_equal(
                windows.spans[copies], whole.spans[whole.owned_tokens(i)][windows.text_positions[copies]]
            )


@given(tokenizers, texts, shapes)
@quick
def test_short_stretches_are_whole_where_their_first_token_counts(tokenizer, text, shape):
    room, stride = shape
    windows = cut_windows(tokenizer, [text], max_length=room + 2, stride=stride)
    n = int(windows.token_ranges.max())
    window = np.repeat(np.arange(len(windows)), np.diff(windows.offsets))
    for token in windows.owned_tokens(0):
        end = min(n, windows.text_positions[token] + stride // 2 + 1)
        assert end <= windows.token_ranges[window[token], 1]


@given(tokenizers, texts)
@quick
def test_spans_are_the_text_of_the_tokens(tokenizer, text):
    windows = cut_windows(tokenizer, [text], max_length=9, stride=3)
    mine = windows.owned_tokens(0)
    spans = windows.spans[mine]
    assert (np.diff(spans, axis=0) >= 0).all()  # in order, at both ends
    assert (np.diff(windows.word_ids[mine]) >= 0).all()
    normalize = tokenizer._rust.normalizer.normalize_str
    joined = spans[1:, 0] < spans[:-1, 1]  # pieces of one character
    shared = np.zeros(len(spans), bool)
    shared[1:] |= joined
    shared[:-1] |= joined
    for token, (start, end), several in zip(windows.input_ids[mine], spans, shared, strict=True):
        assert 0 <= start < end <= len(text)
        piece = tokenizer.id_to_token(token).removeprefix("##")
        if piece in window_toy.SPECIAL:
            continue
        found = normalize(text[start:end]).strip()
        assert piece in found if several else piece == found


@given(
    tokenizers | others, st.lists(texts, min_size=1, max_size=5), shapes, st.randoms(use_true_random=False)
)
@quick
def test_texts_do_not_know_of_each_other(tokenizer, contexts, shape, random):
    order = list(range(len(contexts)))
    random.shuffle(order)
    options = {"max_length": shape[0] + 2, "stride": shape[1]}
    together = cut_windows(tokenizer, [contexts[i] for i in order], **options)
    for place, i in enumerate(order):
        alone, part = cut_windows(tokenizer, [contexts[i]], **options), together.of(place)
        assert (part.examples == place).all()
        for field in fields(Windows):
            if field.name != "examples":
                np.testing.assert_array_equal(getattr(part, field.name), getattr(alone, field.name))


@given(others, texts)
@quick
def test_spans_of_other_families(tokenizer, text):
    """In order and inside the text; none begins with a space, and all together are all but the spaces."""
    windows = cut_windows(tokenizer, [text], max_length=9, stride=3)
    spans = windows.spans[windows.owned_tokens(0)]
    assert (np.diff(spans, axis=0) >= 0).all()
    seen = set()
    for start, end in spans.tolist():
        assert 0 <= start < end <= len(text)
        assert not text[start].isspace() or not text.strip()
        seen |= set(range(start, end))
    assert all(text[i].isspace() for i in set(range(len(text))) - seen)


@pytest.mark.parametrize("kind", ["trimmed", "byte-level", "unigram"])
def test_characters_of_words_behind_a_space(kind):
    text = "Paris  is the capital (of France), 😀 naïve"
    windows = cut_windows(make_other(kind), [text], ["the capital"], stride=0)
    spans, words = windows.spans, windows.word_ids
    mine = windows.owned_tokens(0)
    found = {}
    for (a, b), word in zip(spans[mine].tolist(), words[mine].tolist(), strict=True):
        old = found.get(word, (a, b))
        found[word] = min(old[0], a), max(old[1], b)
    pieces = [text[a:b] for a, b in found.values()]
    assert pieces == ["Paris", "is", "the", "capital", "(", "of", "France", ")", ",", "😀", "naïve"]


def test_full_windows_and_one_more():
    tokenizer = make_tokenizer()
    for n, expected in [(0, 1), (5, 1), (6, 1), (7, 2), (10, 2), (11, 3)]:
        assert len(cut_windows(tokenizer, ["a " * n], max_length=8, stride=2)) == expected


def test_by_hand():
    tokenizer = make_tokenizer()
    windows = cut_windows(tokenizer, ["a b c d e f"], ["É!"], max_length=9, stride=2)
    names = [[tokenizer.id_to_token(i) for i in row] for row in rows(windows, "input_ids")]
    assert names == [
        ["[CLS]", "e", "!", "[SEP]", "a", "b", "c", "d", "[SEP]"],
        ["[CLS]", "e", "!", "[SEP]", "c", "d", "e", "f", "[SEP]"],
    ]
    assert [np.flatnonzero(row).tolist() for row in rows(windows, "owned")] == [[4, 5, 6], [5, 6, 7]]


def test_the_last_short_window_owns_what_it_shows_best():
    """By run_squad.py's hundredth of the length, the long window would own all but the last token."""
    windows = cut_windows(make_tokenizer(), ["a " * 401], max_length=402, stride=100)
    last = windows.offsets[1]
    assert windows.owned[:last].sum() == 350
    assert windows.owned[last:].sum() == 51


def test_accents_stay_with_their_letters():
    text = "e\u0301 e\u0301\u0323\u0301a\u0301. \u0301b\ufe0f"
    windows = cut_windows(make_tokenizer(), [text], stride=0)
    spans = windows.spans[windows.owned_tokens(0)]
    assert [text[a:b] for a, b in spans] == ["e\u0301", "e\u0301\u0323\u0301", "a\u0301", ".", "b\ufe0f"]
    # Kept, an accent is a token of its own.
    windows = cut_windows(make_tokenizer(window_toy.SETTINGS[1]), ["e\u0301a"], stride=0)
    assert windows.spans[windows.owned_tokens(0)].tolist() == [[0, 1], [1, 2], [2, 3]]


def test_long_texts():
    text = "ab cdé fa! " * 20_000
    windows = cut_windows(make_tokenizer(), [text], ["a"], max_length=384, stride=128)
    mine = windows.owned_tokens(0)
    assert windows.text_positions[mine].tolist() == list(range(100_000))
    assert windows.spans[mine[-1]].tolist() == [len(text) - 2, len(text) - 1]


def test_dataset():
    windows = cut_windows(make_tokenizer(), ["a b c d e", "", "f"], max_length=5, stride=1)
    dataset = windows.dataset(labels=np.arange(len(windows)))
    assert windows.examples.tolist() == [0, 0, 1, 2]
    assert dataset.example_ids.tolist() == [0, 1, 2, 3]  # no two windows share their dropout
    batch = dataset.batch([2, 1])
    assert batch.lengths.tolist() == [2, 5]
    assert batch.targets["labels"].tolist() == [2, 1]
    nothing = cut_windows(make_tokenizer(), [])
    assert len(nothing) == len(nothing.dataset()) == 0


def test_impossible_windows():
    tokenizer = make_tokenizer()
    with pytest.raises(UsageError, match="room for 4 of text 0, which must be more than the stride of 4"):
        cut_windows(tokenizer, ["a"], max_length=6, stride=4)
    with pytest.raises(UsageError, match="room for 2 of text 1"):
        cut_windows(tokenizer, ["a", "b"], ["c", "a b c d e f"], max_length=10, stride=2, max_query_length=5)
    with pytest.raises(UsageError, match="room for 0"):
        cut_windows(tokenizer, ["a"], ["a b c d e f"], max_length=6, stride=0)
    with pytest.raises(UsageError, match="negative"):
        cut_windows(tokenizer, ["a"], stride=-1)
    with pytest.raises(InputError, match="2 texts but 1 questions"):
        cut_windows(tokenizer, ["a", "b"], ["c"])
    with pytest.raises(InputError, match="must be a list"):
        cut_windows(tokenizer, "a")
    with pytest.raises(InputError, match=r"texts\[0\] holds half of a surrogate pair"):
        cut_windows(tokenizer, ["\ud800"])
    with pytest.raises(InputError, match="no windows of text 1"):
        cut_windows(tokenizer, ["a"]).of(1)


def test_a_tokenizer_with_other_special_tokens():
    rust = type(make_tokenizer()._rust).from_str(make_tokenizer()._rust.to_str())
    from tokenizers.processors import TemplateProcessing

    special = [("[CLS]", 2), ("[SEP]", 3)]
    rust.post_processor = TemplateProcessing(  # XLNet's
        single="$A [SEP] [CLS]", pair="$A [SEP] $B [SEP] [CLS]", special_tokens=special
    )
    with pytest.raises(ConfigError, match="this tokenizer adds 3"):
        cut_windows(Tokenizer(rust), ["a"], ["b"])


@given(tokenizers | others, st.lists(st.tuples(texts, texts), min_size=1, max_size=4), st.booleans())
@quick
def test_what_fits_is_encoded_as_ever(tokenizer, examples, pair):
    contexts, questions = [c for c, _ in examples], [q for _, q in examples]
    windows = cut_windows(tokenizer, contexts, questions if pair else None, stride=0, max_query_length=200)
    usual = Dataset.from_texts(tokenizer, *([questions, contexts] if pair else [contexts]), truncation=False)
    dataset = windows.dataset()
    assert dataset.content_hash() == usual.content_hash()
