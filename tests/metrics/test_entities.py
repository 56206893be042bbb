"""Entities: read and written in every scheme, and scored as seqeval does, however bad the tags."""

from functools import partial
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from seqeval.metrics import accuracy_score
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as lenient_scores
from seqeval.metrics.v1 import precision_recall_fscore_support as strict_scores
from seqeval.scheme import IOB2, IOBES

from minidistil.errors import InputError, UsageError
from minidistil.metrics import Span, convert_tags, entity_scores, read_spans, write_tags

SCHEMES = {"IOB1": "BI", "IOB2": "BI", "BIOES": "BIES"}
SEQEVAL = {"IOB2": IOB2, "BIOES": IOBES}
checked = settings(derandomize=True, deadline=None, max_examples=120)
every_scheme = pytest.mark.parametrize("scheme", SCHEMES)


def tag_set(scheme, types=("X", "Y")):
    return ["O", *(f"{prefix}-{t}" for prefix in SCHEMES[scheme] for t in types)]


def every_sentence(scheme, longest=4):
    for n in range(longest + 1):
        for tags in product(tag_set(scheme), repeat=n):
            yield list(tags)


def corpora(scheme):
    tag = st.sampled_from(tag_set(scheme, ("X", "Y-Z", "W")))
    sentence = st.lists(st.tuples(tag, tag), max_size=9)
    return st.lists(sentence, min_size=1, max_size=4).filter(any)


def columns(sentences):
    """Gold and predicted tags."""
    return [[[pair[i] for pair in sentence] for sentence in sentences] for i in (0, 1)]


def compare_with_seqeval(sentences, scheme, mode):
    gold, predicted = columns(sentences)
    got = entity_scores(gold, predicted, scheme, mode)
    if mode == "strict":
        theirs = partial(strict_scores, gold, predicted, zero_division=0, scheme=SEQEVAL[scheme])
    else:
        theirs = partial(lenient_scores, gold, predicted, zero_division=0)
    by_type = theirs(average=None)
    assert len(got.by_type) == len(by_type[0])
    for scores, row in zip(got.by_type.values(), zip(*by_type, strict=True), strict=True):
        assert scores == pytest.approx(row)
    if got.by_type:  # of no types seqeval gives no mean
        for name in ("micro", "macro"):
            assert getattr(got, name) == pytest.approx(theirs(average=name))
    else:
        assert got.micro == got.macro == (0, 0, 0, 0)
    assert got.accuracy == pytest.approx(accuracy_score(gold, predicted))


@checked
@given(corpora("IOB2"))
@example([[("O", "I-X"), ("I-X", "I-X")]])
@example([[("O", "O")], []])
@example([[("B-X", "B-X")], [("I-X", "I-X")]])  # an entity ends with its sentence
def test_iob2_is_scored_as_by_seqeval(sentences):
    compare_with_seqeval(sentences, "IOB2", "strict")
    compare_with_seqeval(sentences, "IOB2", "lenient")
    compare_with_seqeval(sentences, "IOB1", "lenient")


@checked
@given(corpora("BIOES"))
@example([[("S-X", "S-X"), ("E-X", "I-X"), ("E-X", "E-X")]])
@example([[("B-X", "B-X"), ("I-X", "E-X"), ("O", "I-X")]])
def test_bioes_is_scored_as_by_seqeval(sentences):
    compare_with_seqeval(sentences, "BIOES", "strict")
    compare_with_seqeval(sentences, "BIOES", "lenient")


@every_scheme
def test_strict_reading_keeps_all_exactly_if_the_scheme_writes_it(scheme):
    well_formed = 0
    for tags in every_sentence(scheme):
        lenient, strict = read_spans(tags, scheme, "lenient"), read_spans(tags, scheme)
        assert set(strict) <= set(lenient)
        assert (strict == lenient) == (write_tags(lenient, len(tags), scheme) == tags)
        well_formed += strict == lenient
    assert well_formed > 50


@pytest.mark.parametrize(
    ("scheme", "tags", "strict", "lenient"),
    [
        ("IOB1", "I-X B-X I-X", [("X", 0, 1), ("X", 1, 3)], []),
        ("IOB1", "O B-X I-X I-Y", [("Y", 3, 4)], [("X", 1, 3)]),
        ("IOB1", "I-Y B-X", [("Y", 0, 1)], [("X", 1, 2)]),
        ("IOB2", "B-X I-X O I-X I-Y", [("X", 0, 2)], [("X", 3, 4), ("Y", 4, 5)]),
        ("IOB2", "B-X I-Y I-Y", [("X", 0, 1)], [("Y", 1, 3)]),
        ("BIOES", "S-X B-X I-X E-X", [("X", 0, 1), ("X", 1, 4)], []),
        ("BIOES", "B-X I-X O B-X E-Y", [], [("X", 0, 2), ("X", 3, 4), ("Y", 4, 5)]),
        ("BIOES", "S-X I-X E-X", [("X", 0, 1)], [("X", 1, 3)]),
        ("IOB2", "B I O B B-A-B", [("", 0, 2), ("", 3, 4), ("A-B", 4, 5)], []),
        ("IOB1", "O B I B", [("", 3, 4)], [("", 1, 3)]),
        ("IOB2", "", [], []),
    ],
)
def test_reading_by_hand(scheme, tags, strict, lenient):
    """`lenient`: what lenient reading finds besides."""
    assert read_spans(tags.split(), scheme) == strict
    assert read_spans(tags.split(), scheme, "lenient") == sorted(strict + lenient, key=lambda span: span[1])


@st.composite
def spans_in_a_sentence(draw):
    spans, end = [], 0
    for gap, length, kind in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from(["X", "Y", ""])), max_size=6)
    ):
        spans.append(Span(kind, end + gap, end + gap + length))
        end += gap + length
    return spans, end + draw(st.integers(0, 2))


@checked
@given(spans_in_a_sentence(), st.sampled_from(["strict", "lenient"]))
def test_what_is_written_is_read(drawn, mode):
    spans, length = drawn
    for scheme in SCHEMES:
        tags = write_tags(reversed(spans), length, scheme)
        assert len(tags) == length
        assert read_spans(tags, scheme, mode) == spans
        for other in SCHEMES:
            assert convert_tags(tags, scheme, other, mode) == write_tags(spans, length, other)


def test_conversion_by_hand():
    assert convert_tags(["I-X", "B-X", "I-X", "O"], "IOB1", "IOB2") == ["B-X", "B-X", "I-X", "O"]
    assert convert_tags(["B-X", "B-X", "I-X", "O"], "IOB2", "BIOES") == ["S-X", "B-X", "E-X", "O"]
    assert convert_tags(["S-X", "B-X", "E-X", "S-Y"], "BIOES", "IOB1") == ["I-X", "B-X", "I-X", "I-Y"]
    assert convert_tags(["O", "I-X", "I-X"], "IOB2", "IOB2") == ["O"] * 3
    assert convert_tags(["O", "I-X", "I-X"], "IOB2", "IOB2", "lenient") == ["O", "B-X", "I-X"]


def test_scores_by_hand():
    """X: one of two is found; Y: one of two that were found is there. Right tags: 3 of 5."""
    gold = [["B-X", "I-X", "B-X"], ["B-Y", "O"]]
    predicted = [["B-X", "I-X", "O"], ["B-Y", "B-Y"]]
    scores = entity_scores(gold, predicted, "IOB2")
    assert scores.by_type == {
        "X": pytest.approx((1, 1 / 2, 2 / 3, 2)),
        "Y": pytest.approx((1 / 2, 1, 2 / 3, 1)),
    }
    assert scores.micro == pytest.approx((2 / 3, 2 / 3, 2 / 3, 3))
    assert scores.macro == pytest.approx((3 / 4, 3 / 4, 2 / 3, 3))
    assert scores.accuracy == 3 / 5


def test_tags_that_cannot_be_scored_are_refused():
    with pytest.raises(InputError, match="gold has 1 entries, predicted has 2"):
        entity_scores([["O"]], [["O"], ["O"]], "IOB2")
    with pytest.raises(InputError, match="sentence 1 has 1 tags in gold, 2 in predicted"):
        entity_scores([["O"], ["O"]], [["O"], ["O", "O"]], "IOB2")
    with pytest.raises(InputError, match="gold is empty"):
        entity_scores([], [], "IOB2")
    with pytest.raises(InputError, match="every sentence is empty"):
        entity_scores([[], []], [[], []], "IOB2")


@pytest.mark.parametrize("tag", ["E-X", "PER", "B-", "", "BI-X", "-X", "o", "O-X", None, 3])
def test_other_tags_are_refused(tag):
    with pytest.raises(InputError, match="at index 1 is no tag of IOB2: expected B-type, I-type or O"):
        read_spans(["O", tag], "IOB2", "lenient")


def test_other_schemes_and_modes_are_refused():
    with pytest.raises(UsageError, match="scheme is 'BIO': expected one of IOB1, IOB2, BIOES"):
        read_spans(["O"], "BIO")
    with pytest.raises(UsageError, match="scheme is 'BIO'"):
        write_tags([], 1, "BIO")
    with pytest.raises(UsageError, match="mode is 'loose'"):
        read_spans(["O"], "IOB2", "loose")


def test_entities_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="does not fit a sentence of 2 tokens"):
        write_tags([Span("X", 1, 3)], 2, "IOB2")
    with pytest.raises(InputError, match="does not fit"):
        write_tags([Span("X", 1, 1)], 2, "IOB2")
    with pytest.raises(InputError, match="does not fit"):
        write_tags([Span("X", -1, 1)], 2, "IOB2")
    with pytest.raises(InputError, match="overlaps"):
        write_tags([Span("X", 1, 3), Span("Y", 0, 2)], 3, "IOB2")
