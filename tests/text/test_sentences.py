"""Sentences: every character is somewhere, borders are where people see them, time is linear."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidistil.text.sentences import VISIBLE, split_lines, split_sentences

# A bar is a border.
CASES = [
    "Hello.|How are you?|Fine!",
    "Mr. Smith met Dr. J. R. Jones-P. Brown of Acme Inc. Chicago.|They talked.",
    "He lives in the U.S.|He likes the U.S. Army.|See e.g. Bonn, i.e. the old capital.",
    "It is 3.5 m at www.x.com.|Come at 5 p.m.|Bring cake, tea, etc.|So did I.|Thanks.",
    "Acme Inc.|They sell No. 5 and Fig. 3 on p. 7.|No.|I won't.|Was it in Sept. 1990?|Yes, in 1990.|It was.",
    '"Why?" she asked.|"No."|“Yes!” he said.|(Really.)|[Yes.]|He left ("slowly.").|End',
    "Well... what now?|So…|Then it was over…|Fine?!|Wait . . . what ?|Yes !",
    "It was known.[12]|Then it was not.[3][4]|End.",
    "Bonjour\u00a0!|«\u00a0Ça va\u00a0?\u00a0»|Oui.|¿Qué?|¡Nada!",
    "Great! 😀|So good 👍🏽 really!|See you. :-)|Bye.",
    "i went home. then i slept.|what?|no".replace(". ", ".|"),
    "1. First this.|2. Then that.",
    "他说：“你好。”|然后走了！|你呢?|好．",
    "「行くよ。」と言った。|雨だ。|「そう。」|彼は笑った。",
    "कैसे हो।|मैं ठीक हूँ।",
    "هل أنت بخير؟|نعم.",
    "Τι κάνεις\u037e|Καλά.",
    "A: Hello there\n|B: hi\n|A: so\n\n|Title\n\n|Text.",
    "one\r\n|two\r|three\u2028|four\x0b|five",
    "Zu z.B. Bonn vgl. Abb. 3.|Das ist, wie Prof. Dr. Meier sagt, ca. 3,5 km.",
    "This is a line of running text that somebody\nbroke to fit a width that he thought right. It\n"
    "goes on.|And ends".replace("right. It", "right.|It"),
    "I said that there was not a single one of the\nothers left.",
    "A first item that is quite a bit longer than others\n|Second\n|Third",
    "Is that a question that is quite long for a chat\n|Tom: yes",
    "Hello.\n\n|***\n|Bye (",
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_borders(case):
    text = "".join(
        part if part.endswith(("\n", "\r", "\u2028", "\x0b")) else part + " " for part in case.split("|")
    )
    text = text.rstrip(" ")
    assert [s.text for s in split_sentences(text)] == [part.strip() for part in case.split("|")]


def test_no_space_is_needed_after_some_stops():
    assert [s.text for s in split_sentences("你好。你呢？好！走?走")] == [
        "你好。",
        "你呢？",
        "好！",
        "走?",
        "走",
    ]
    assert [s.text for s in split_sentences("1.5.a.b!c?d…e")] == ["1.5.a.b!c?d…e"]


def test_what_cannot_be_seen_is_no_sentence():
    assert [s[1:] for s in split_sentences("\u200b\n\nHi.\n\u200b\nYes")] == [(0, 8), (9, 12)]
    assert [s[1:] for s in split_sentences(" \u200b \n \ufeff ")] == [(1, 6)]
    assert split_sentences("") == split_sentences(" \n\t\u3000") == split_lines(" \n") == []


def test_lines_that_had_room():
    for n, expected in ((40, 3), (41, 1)):  # of a width of 43 characters, with a word of two to come
        assert len(split_sentences(f"{'w' * n}\nin {'w' * 40}\nend")) == expected


def test_lines():
    assert split_lines(" a. b \r\n\n c\u2029") == [("a. b", 1, 5), ("c", 10, 11)]


PIECES = [
    *".!?…。？؟।\"'”»)(«“ \n\r\t\u2028\u00a0\u200b\u0301\u200d\ufe0f😀-—,;:",
    "Mr", "e.g", "U.S", "I", "a", "Then", "then", "3", "你", "と", "そ", "ß", "İ", "ሰ", "#A#: ", "word " * 9,
]  # fmt: skip
TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=40).map("".join)


@settings(max_examples=300, deadline=None)
@given(TEXT)
def test_together_they_are_the_text(text):
    for parts in (split_sentences(text), split_lines(text)):
        at = 0
        for part, start, end in parts:
            assert part == text[start:end] == part.strip() != ""
            assert not text[at:start].strip()
            at = end
        assert not text[at:].strip()
    if VISIBLE.search(text):
        assert all(VISIBLE.search(part) for part, _, _ in split_sentences(text))
    assert (split_sentences(text) == []) == (not text.strip())


@settings(max_examples=100, deadline=None)
@given(TEXT, TEXT)
def test_paragraphs_do_not_know_of_each_other(first, second):
    first, second = ("".join(c for c in text if c.isspace() or VISIBLE.match(c)) for text in (first, second))
    shift = len(first) + 2
    expected = [(s.text, s.start + shift, s.end + shift) for s in split_sentences(second)]
    assert split_sentences(f"{first}\n\n{second}") == [*split_sentences(first), *expected]


@pytest.mark.parametrize("piece", ["a. ", "? ", '." ', "\u200b\n", "a.\n", ". (", "x", ".", "(", " ", "😀"])
def test_time_is_linear(piece):
    began = time.perf_counter()
    split_sentences(piece * (100_000 // len(piece)) + "a. B")
    assert time.perf_counter() - began < 10  # what is quadratic takes minutes
