"""Entities against conlleval's rules written out, and from windows against the text in one piece."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from window_toy import make_tokenizer, others, texts, tokenizers

from minidistil import metrics
from minidistil.errors import InputError, UsageError
from minidistil.tasks.token_classification.entities import (
    Entity,
    EntitySpan,
    choose_tags,
    place_entities,
    tagged_entities,
)
from minidistil.tasks.token_classification.schemes import SCHEMES, TagSet
from minidistil.text.whitespace import whitespace_words
from minidistil.text.windows import cut_windows

quick = settings(derandomize=True, deadline=None, max_examples=60)


def decode_entities(text, probabilities, spans, word_ids, id2label, *, aggregation="first", scheme=None):
    """Entities of one text, from the probabilities of its tokens' tags."""
    tags = TagSet([id2label[i] for i in range(len(id2label))], scheme)
    found = choose_tags(text, probabilities, spans, word_ids, len(id2label), aggregation=aggregation)
    return tagged_entities(text, found, tags, apart=aggregation == "none")


class Tagging(NamedTuple):
    tags: list
    inexact: int
    missed: int


def tag_tokens(text, entities, spans, *, scheme="IOB2"):
    """Tags of tokens, and how many entities do not begin and end where these do, or have none."""
    placed, inexact, missed = place_entities(text, entities, spans)
    tags = TagSet.of_types(sorted({entity.type for entity in entities}), scheme)
    return Tagging(tags.write(placed, len(spans)), inexact, missed)


AGGREGATIONS = ["none", "simple", "first", "average", "max"]
LABELS = {
    "IOB2": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
    "IOB1": ["O", "I-PER", "I-LOC", "B-PER"],
    "BIOES": ["O", *(f"{prefix}-{kind}" for kind in ["PER", "LOC"] for prefix in "BIES")],
    "plain": ["PER", "O", "LOC"],
}
schemes = st.sampled_from(list(LABELS))


def decode_tags(tags, scheme=None, *, labels=None, aggregation="simple"):
    """Entities of tokens a b c ..., each a word, that are given their tags with certainty: (text, type)."""
    labels = labels or sorted({*tags, "O"})
    text = " ".join("abcdefghijkl"[: len(tags)])
    rows = np.eye(len(labels))[[labels.index(tag) for tag in tags]].reshape(-1, len(labels))
    spans = [(2 * i, 2 * i + 1) for i in range(len(tags))]
    found = decode_entities(
        text, rows, np.reshape(spans, (-1, 2)), range(len(tags)), dict(enumerate(labels)),
        aggregation=aggregation, scheme=scheme,
    )  # fmt: skip
    return [(entity.text, entity.type) for entity in found]


def conlleval(tags):
    """Entities (first, last, type) as endOfChunk and startOfChunk of the script have them."""
    found, first = [], None
    split = [("O", "") if tag == "O" else tuple(tag.split("-")) for tag in [*tags, "O"]]
    before = ("O", "")
    for i, (tag, kind) in enumerate(split):
        previous, previous_kind = before
        end = (previous, tag) in {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"), ("B", "S"), ("I", "S")}
        end |= previous in "ES" or (previous != "O" and previous_kind != kind)
        start = tag in "BS" or (previous in "ESO" and tag in "EI") or (tag != "O" and previous_kind != kind)
        if end and first is not None:
            found.append((first, i, previous_kind))
            first = None
        if start:
            first = i
        before = (tag, kind)
    return found


@given(st.lists(st.sampled_from([*LABELS["BIOES"], "O"]), max_size=12))
@quick
def test_any_tags_are_read_as_conlleval_reads_them(tags):
    letters = "abcdefghijkl"
    expected = [(" ".join(letters[a:b]), kind) for a, b, kind in conlleval(tags)]
    assert decode_tags(tags, labels=LABELS["BIOES"]) == expected


def test_schemes_by_hand():
    assert decode_tags(["B-X", "I-X", "B-X", "O", "I-X"]) == [("a b", "X"), ("c", "X"), ("e", "X")]
    assert decode_tags(["I-X", "I-X", "B-X", "I-Y"], "IOB1") == [("a b", "X"), ("c", "X"), ("d", "Y")]
    assert decode_tags(["S-X", "B-X", "I-X", "E-X", "E-X"]) == [("a", "X"), ("b c d", "X"), ("e", "X")]
    assert decode_tags(["X", "X", "Y", "O", "X"]) == [("a b", "X"), ("c", "Y"), ("e", "X")]
    assert decode_tags(["B-cell", "T-cell"], "plain") == [("a", "B-cell"), ("b", "T-cell")]
    assert decode_tags(["B-X", "I-X", "X", "Y"], "IOB2") == [("a b c", "X"), ("d", "Y")]
    assert decode_tags(["B-X", "O", "I-X"], aggregation="none") == [("a", "B-X"), ("c", "I-X")]
    assert decode_tags([], labels=["O", "X"]) == []


@pytest.mark.parametrize(
    ("tags", "scheme", "given", "found"),
    [
        ("O B-P I-P [CLS] [SEP] X", "IOB2", "B-P I-P [SEP] B-P X I-P", ["a b P", "d P", "f P"]),
        ("O B-X I-X [PAD]", "IOB2", "B-X [PAD] O", ["a X"]),
        ("O B-X I-X MISC", "IOB2", "B-X I-X MISC MISC O", ["a b X", "c d MISC"]),
        ("O NAME E-MAIL", "plain", "NAME NAME E-MAIL O NAME", ["a b NAME", "c E-MAIL", "e NAME"]),
        ("O B-X I-X E-MAIL", "IOB2", "B-X E-MAIL", ["a X", "b E-MAIL"]),
        ("0 B-X I-X", "IOB2", "0 B-X I-X 0 B-X", ["b c X", "e X"]),
        ("OUT X Y", "plain", "X X OUT Y", ["a b X", "d Y"]),
        ("O B I", "IOB2", "B I B O I", ["a b ", "c ", "e "]),
        ("O B-X I-X L-X U-X", "BILOU", "B-X L-X U-X U-X", ["a b X", "c X", "d X"]),
        ("O B-X M-X E-X S-X", "BIOES", "B-X M-X E-X S-X S-X", ["a b c X", "d X", "e X"]),
        ("O B-X I-X E-X S-X S-Y", "BIOES", "S-Y S-Y B-X E-X", ["a Y", "b Y", "c d X"]),
        ("O I-X I-Y B-Y", "IOB1", "I-X I-X I-Y B-Y O", ["a b X", "c Y", "d Y"]),
        ("NOUN X VERB", "plain", "NOUN X X VERB", ["a NOUN", "b c X", "d VERB"]),
    ],
)
def test_tag_sets_of_every_scheme_and_none(tags, scheme, given, found):
    tags, given = tags.split(), given.split()
    every = TagSet(tags)
    assert every.scheme == scheme
    assert [" ".join(entity) for entity in decode_tags(given, labels=tags)] == found
    letters = "abcdefghijkl"
    whole = [[kind, letters[a:b]] for kind, a, b in every.read(given)]
    apart = decode_tags(given, labels=tags, aggregation="none")
    assert apart == [(letters[i], tag) for i, tag in enumerate(given) if tag != every.outside]
    written = every.write(every.read(given), len(given))
    assert [[kind, letters[a:b]] for kind, a, b in every.read(written)] == whole
    assert set(written) <= set(tags), "only tags that there are"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_scheme_that_is_written_is_read(scheme):
    tags = TagSet.of_types(["X", "Y"], scheme)
    spans = [("X", 0, 2), ("Y", 2, 3), ("Y", 4, 7)] + ([] if scheme == "plain" else [("Y", 7, 8)])
    written = tags.write([metrics.Span(*span) for span in spans], 9)
    assert [tuple(span) for span in tags.read(written)] == spans
    assert {tag for tag in written if tag != "O"} <= set(tags.tags)
    if scheme in ("IOB1", "IOB2"):
        guessed = TagSet(tags.tags)
        assert (guessed.scheme, guessed.certain) == ("IOB2", False), "both have the same tags"
        assert guessed.as_used([written]).scheme == scheme, "but not the same sentences"
    else:
        assert (TagSet(tags.tags).scheme, TagSet(tags.tags).certain) == (scheme, True)


def test_a_scheme_that_is_named():
    labels = ["O", "[CLS]", "B-X", "I-X"]
    assert decode_tags(["B-X", "I-X"], "BIOES", labels=labels) == [("a b", "X")]
    assert decode_tags(["B-X", "I-X"], "plain", labels=labels) == [("a", "B-X"), ("b", "I-X")]


def test_words_up_to_white_space():
    def words(text):
        return [text[a:b] for a, b in whitespace_words(text)]

    for written in (
        "The U.S. won 2-1 .",
        "Jones left U.K.",
        "Corp. Inc. of J. Smith",
        "ST. LOUIS AT ATLANTA",
        "",
    ):
        assert words(written) == written.split(), "words with a space between them are those words"
    assert words("Ada (née Byron) lived in London.") == [
        "Ada",
        "(",
        "née",
        "Byron",
        ")",
        "lived",
        "in",
        "London",
        ".",
    ]
    assert words("\"Bob's,\" said J. Smith of the U.S.!") == [
        '"', "Bob", "'s", ',"', "said", "J.", "Smith", "of", "the", "U.S.", "!"
    ]  # fmt: skip
    assert words(" -- ... 5 % ") == ["--", "...", "5", "%"]
    text, labels = "in the U.S. (Bonn).", ["O", "B-X"]
    spans = [(0, 2), (3, 6), (7, 8), (8, 9), (9, 10), (10, 11), (12, 13), (13, 17), (17, 18), (18, 19)]
    rows = np.eye(2)[[0, 0, 1, 0, 1, 0, 0, 1, 0, 0]]
    found = decode_entities(text, rows, spans, range(10), dict(enumerate(labels)), aggregation="whitespace")
    assert [e.text for e in found] == ["U.S.", "Bonn"]


def test_words_decide():
    """One word of three tokens that do not agree: the mean, the first and the boldest differ."""
    labels = {0: "O", 1: "B-X", 2: "B-Y"}
    rows = [[0.5, 0.4, 0.1], [0.0, 0.55, 0.45], [0.3, 0.1, 0.6], [0.9, 0.1, 0.0]]
    args = "abc d", rows, [(0, 1), (1, 2), (2, 3), (4, 5)], [0, 0, 0, 1], labels
    assert decode_entities(*args) == []
    (average,) = decode_entities(*args, aggregation="average")
    assert average == Entity("abc", "Y", pytest.approx(1.15 / 3), 0, 3)
    assert decode_entities(*args, aggregation="max") == [Entity("abc", "Y", 0.6, 0, 3)]
    assert [entity[:3] for entity in decode_entities(*args, aggregation="simple")] == [
        ("b", "X", 0.55),
        ("c", "Y", 0.6),
    ]


def test_a_word_tagged_begin_begin_begin_is_one_entity():
    """What splits words elsewhere."""
    labels = {0: "O", 1: "B-X", 2: "I-X"}
    args = "abc", [[0.1, 0.8, 0.1]] * 3, [(0, 1), (1, 2), (2, 3)], [0, 0, 0], labels
    for aggregation in ["first", "average", "max"]:
        assert decode_entities(*args, aggregation=aggregation) == [
            Entity("abc", "X", pytest.approx(0.8), 0, 3)
        ]
    assert len(decode_entities(*args, aggregation="simple")) == 3


def test_score_is_the_mean_of_the_chosen():
    rows = [[0.2, 0.8, 0.0], [0.3, 0.1, 0.6]]
    args = "a b", rows, [(0, 1), (2, 3)], [0, 1], {0: "O", 1: "B-X", 2: "I-X"}
    assert decode_entities(*args) == [Entity("a b", "X", pytest.approx(0.7), 0, 3)]


def probabilities(seed, n, num_labels):
    """Of each token of a text, whatever window it is in."""
    rows = np.random.default_rng(seed).random((n, num_labels)) ** 3
    return rows / rows.sum(1, keepdims=True)


@given(
    tokenizers | others, st.lists(texts, min_size=1, max_size=3), schemes, st.sampled_from(AGGREGATIONS),
    st.integers(1, 7), st.integers(0, 6), st.integers(0, 99),
)  # fmt: skip
@settings(quick, max_examples=120)
def test_windows_change_nothing(tokenizer, contexts, scheme, aggregation, step, stride, seed):
    labels = dict(enumerate(LABELS[scheme]))
    whole = cut_windows(tokenizer, contexts, stride=0)
    cut = cut_windows(tokenizer, contexts, max_length=step + stride + 2, stride=stride)
    for i, text in enumerate(contexts):
        found = []
        for windows in (whole, cut):
            mine = windows.owned_tokens(i)
            by_token = probabilities(seed, len(mine), len(labels))
            rows = np.full((len(windows.input_ids), len(labels)), np.nan)
            # Copies that do not count say something else.
            rows[windows.tokens_of(i)] = (
                1 - by_token[windows.text_positions[windows.tokens_of(i)]] if len(mine) else 0
            )
            rows[mine] = by_token
            found.append(
                decode_entities(
                    text, rows[mine], windows.spans[mine], windows.word_ids[mine], labels,
                    aggregation=aggregation, scheme=scheme,
                )
            )  # fmt: skip
        assert found[0] == found[1]
        check_entities(text, found[0], whole, whole.owned_tokens(i), aggregation)


def check_entities(text, entities, windows, mine, aggregation):
    assert all(entity.text == text[entity.start : entity.end] != "" for entity in entities)
    assert all(0 < entity.score <= 1 for entity in entities)
    assert entities == sorted(entities, key=lambda entity: (entity.start, entity.end))
    if aggregation in ("first", "average", "max"):
        words, spans = windows.word_ids[mine], windows.spans[mine]
        begins = {int(spans[words == w, 0].min()) for w in set(words.tolist())}
        ends = {int(spans[words == w, 1].max()) for w in set(words.tolist())}
        assert {entity.start for entity in entities} <= begins
        assert {entity.end for entity in entities} <= ends
        assert all(a.end <= b.start for a, b in pairwise(entities))


def marked(spans, lengths, kinds, gaps):
    """Entities of whole tokens with gaps of some tokens between them."""
    out, at = [], 0
    for n, kind, gap in zip(lengths, kinds, gaps, strict=True):
        first, last = at + gap, at + gap + n
        if last > len(spans):
            break
        out.append(EntitySpan(int(spans[first, 0]), int(spans[last - 1, 1]), kind))
        at = last
    return out


@given(tokenizers | others, texts, schemes, st.data())
@settings(quick, max_examples=150)
def test_there_and_back(tokenizer, text, scheme, data):
    windows = cut_windows(tokenizer, [text], stride=0)
    spans = windows.spans[windows.owned_tokens(0)]
    shared = spans[1:, 0] < spans[:-1, 1]
    if shared.any():  # entities could share a character, and then not be told apart by characters
        spans = spans[:0]
    parts = data.draw(
        st.lists(st.tuples(st.integers(1, 3), st.sampled_from("XY"), st.integers(0, 2)), max_size=8)
    )
    if scheme == "plain":  # cannot tell neighbours of one type apart
        parts = [(n, kind, gap + 1) for n, kind, gap in parts]
    entities = marked(spans, *(list(column) for column in zip(*parts, strict=True))) if parts else []
    entities = [entity._replace(text=text[entity.start : entity.end]) for entity in entities]
    shuffled = data.draw(st.permutations(entities))
    tags, widened, missed = tag_tokens(text, shuffled, spans, scheme=scheme)
    assert (len(tags), widened, missed) == (len(spans), 0, 0)
    labels = sorted({*tags, "O"})
    rows = np.eye(len(labels))[[labels.index(tag) for tag in tags]].reshape(-1, len(labels))
    found = decode_entities(
        text, rows, spans, np.arange(len(spans)), dict(enumerate(labels)), aggregation="simple", scheme=scheme
    )
    assert [(e.start, e.end, e.type, e.text) for e in found] == [tuple(entity) for entity in entities]
    assert tag_tokens(text, found, spans, scheme=scheme).tags == tags


def test_tags_by_hand():
    text = "a b c d e"
    spans = [(2 * i, 2 * i + 1) for i in range(5)]
    entities = [EntitySpan(0, 3, "X", "a b"), EntitySpan(4, 5, "X"), EntitySpan(6, 9, "Y")]
    assert tag_tokens(text, entities, spans).tags == ["B-X", "I-X", "B-X", "B-Y", "I-Y"]
    assert tag_tokens(text, entities, spans, scheme="IOB1").tags == ["I-X", "I-X", "B-X", "I-Y", "I-Y"]
    assert tag_tokens(text, entities, spans, scheme="BIOES").tags == ["B-X", "E-X", "S-X", "B-Y", "E-Y"]
    assert tag_tokens(text, entities, spans, scheme="plain").tags == ["X", "X", "X", "Y", "Y"]
    assert tag_tokens("", [], np.zeros((0, 2))).tags == []


def test_entities_that_are_not_whole_tokens():
    text = "New-York 's"
    spans = [(0, 8), (9, 11)]
    got = tag_tokens(text, [EntitySpan(0, 3, "X"), EntitySpan(10, 11, "Y")], spans)
    assert got == (["B-X", "B-Y"], 2, 0)
    got = tag_tokens(text, [EntitySpan(4, 8, "X"), EntitySpan(0, 3, "Y")], spans)
    assert got == (["B-Y", "O"], 2, 1)  # the later of two in one token has none
    assert tag_tokens(text, [EntitySpan(8, 9, "X")], spans) == (["O", "O"], 0, 1)
    got = tag_tokens(text, [EntitySpan(0, 3, "X"), EntitySpan(4, 11, "X")], spans)
    assert got == (["B-X", "B-X"], 2, 0)  # it has those that are left


def test_a_name_keeps_its_accent():
    text = "e\u0301 cafe\u0301!"
    windows = cut_windows(make_tokenizer(), [text], stride=0)
    spans = windows.spans[windows.owned_tokens(0)]
    tags, widened, _ = tag_tokens(text, [EntitySpan(3, 8, "X", "cafe\u0301")], spans)
    assert widened == 0
    labels = {0: "B-X", 1: "I-X", 2: "O"}
    rows = np.eye(3)[[list(labels.values()).index(tag) for tag in tags]]
    found = decode_entities(text, rows, spans, windows.word_ids[windows.owned_tokens(0)], labels)
    assert found == [Entity("cafe\u0301", "X", 1.0, 3, 8)]


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        (
            [EntitySpan(0, 2, "X"), EntitySpan(1, 3, "Y")],
            "'Y' from 1 to 3 overlaps the entity before it.* at 2",
        ),
        ([EntitySpan(0, 9, "X")], "'X' from 0 to 9 is not within the 3 characters"),
        ([EntitySpan(-1, 2, "X")], "not within"),
        ([EntitySpan(1, 1, "X")], "not within"),
        ([EntitySpan(0, 2, "X", "bc")], "should be 'bc', but the text there is 'ab'"),
    ],
)
def test_bad_entities(entities, message):
    with pytest.raises(InputError, match=message):
        tag_tokens("abc", entities, [(0, 3)])


def test_bad_calls():
    with pytest.raises(UsageError, match="aggregation must be one of none, simple, first"):
        decode_tags(["O"], aggregation="mean")
    with pytest.raises(UsageError, match="scheme must be one of"):
        decode_tags(["O"], "IOB")
    with pytest.raises(UsageError, match="scheme must be one of"):
        TagSet([], "IOB")
    with pytest.raises(InputError, match=r"probabilities \[1, 2\] and spans \[1, 2\], not \[1, 3\]"):
        decode_entities("a", [[1, 0, 0]], [(0, 1)], [0], {0: "O", 1: "X"})
