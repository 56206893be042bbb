"""A called tokenizer, with values worked out by hand; the parity suite compares with transformers."""

import logging
import threading
from itertools import pairwise

import numpy as np
import pytest
from call_toy import (
    BANG,
    CLS,
    FILM,
    GO,
    IDS,
    OD,
    PAD,
    SEP,
    TEXT,
    THE,
    UNK,
    VOCAB,
    WAS,
    ZHONG,
    E,
    S,
    make_by_hand,
)
from hypothesis import given
from hypothesis import strategies as st

from minidistil.errors import ConfigError, InputError, UsageError
from minidistil.text.tokenizer import Tokenizer


@pytest.fixture
def tokenizer(tmp_path):
    return make_by_hand(tmp_path / "bert")


def test_one_text_gives_lists(tokenizer):
    found = tokenizer(TEXT)
    assert dict(found) == {"input_ids": IDS, "token_type_ids": [0] * 9, "attention_mask": [1] * 9}
    assert found.input_ids is found["input_ids"]
    assert all(type(i) is int for i in found.input_ids)


def test_several_texts_give_a_list_each(tokenizer):
    wanted = [IDS, [CLS, SEP], [CLS, THE, SEP, UNK, SEP]]
    texts = [TEXT, "", "the [SEP] x"]
    for form in (list, tuple, np.array, iter):
        assert tokenizer(form(texts)).input_ids == wanted
    assert dict(tokenizer([])) == {"input_ids": [], "token_type_ids": [], "attention_mask": []}


def test_pairs(tokenizer):
    ids, types = [CLS, THE, SEP, GO, OD, SEP], [0, 0, 0, 1, 1, 1]
    one = tokenizer("the", "good")
    assert (one.input_ids, one.token_type_ids) == (ids, types)
    both = tokenizer(["the", "film"], ["good", ""])
    assert both.input_ids == [ids, [CLS, FILM, SEP, SEP]]
    assert both.token_type_ids == [types, [0, 0, 0, 1]]
    assert both.sequence_ids(0) == [None, 0, None, 1, 1, None]
    assert dict(tokenizer([["the", "good"], ("film", "")])) == dict(both)
    assert tokenizer("film", "").input_ids == [CLS, FILM, SEP]  # of one text an empty second is none
    assert tokenizer("the", "good", add_special_tokens=False).input_ids == [THE, GO, OD]


def test_words(tokenizer):
    found = tokenizer(["The", "films", "é中"], is_split_into_words=True, return_offsets_mapping=True)
    assert found.input_ids == [CLS, THE, FILM, S, E, ZHONG, SEP]
    assert found.word_ids() == [None, 0, 1, 1, 2, 2, None]
    assert found.offset_mapping == [(0, 0), (0, 3), (0, 4), (4, 5), (0, 1), (1, 2), (0, 0)]
    several = tokenizer([["the"], ["film", "x"]], [["was"], []], is_split_into_words=True)
    assert several.input_ids == [[CLS, THE, SEP, WAS, SEP], [CLS, FILM, UNK, SEP, SEP]]


@pytest.mark.parametrize(
    ("side", "ids", "types", "mask", "special"),
    [
        (
            "right",
            [CLS, THE, SEP, WAS, SEP, PAD, PAD],
            [0, 0, 0, 1, 1, 0, 0],
            [1, 1, 1, 1, 1, 0, 0],
            [1, 0, 1, 0, 1, 1, 1],
        ),
        (
            "left",
            [PAD, PAD, CLS, THE, SEP, WAS, SEP],
            [0, 0, 0, 0, 0, 1, 1],
            [0, 0, 1, 1, 1, 1, 1],
            [1, 1, 1, 0, 1, 0, 1],
        ),
    ],
)
def test_padding(tokenizer, side, ids, types, mask, special):
    texts, seconds = ["the", "the films"], ["was", "was"]
    asked = {"return_special_tokens_mask": True, "return_offsets_mapping": True, "return_length": True}
    found = tokenizer(texts, seconds, padding=True, padding_side=side, **asked)
    assert found.input_ids == [ids, [CLS, THE, FILM, S, SEP, WAS, SEP]]
    assert found.token_type_ids[0] == types
    assert found.attention_mask == [mask, [1] * 7]
    assert found.special_tokens_mask[0] == special
    assert found.length == [7, 7]
    pads = slice(5, 7) if side == "right" else slice(0, 2)
    assert found.offset_mapping[0][pads] == [(0, 0), (0, 0)]
    assert found.tokens(0)[pads] == ["[PAD]", "[PAD]"]
    assert found.word_ids(0)[pads] == found.sequence_ids(0)[pads] == [None, None]
    tokenizer.padding_side = side
    assert dict(tokenizer(texts, seconds, padding="longest", **asked)) == dict(found)


def test_lengths_that_are_padded_to(tmp_path):
    short = make_by_hand(tmp_path / "short", model_max_length=6)
    for options, width in (
        ({"padding": "max_length"}, 6),
        ({"padding": "max_length", "max_length": 5}, 5),
        ({"padding": "max_length", "max_length": 5, "pad_to_multiple_of": 4}, 8),
        ({"padding": True, "pad_to_multiple_of": 4}, 4),
        ({"padding": True}, 3),
        ({"padding": False, "pad_to_multiple_of": 4}, 3),
        ({"padding": "do_not_pad"}, 3),
    ):
        assert len(short("the", **options).input_ids) == width, options
    unknown = make_by_hand(tmp_path / "unknown")
    assert unknown("the", padding="max_length").input_ids == [CLS, THE, SEP]
    assert len(unknown([TEXT, "the"], padding="max_length", max_length=4).input_ids[0]) == 9


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({"truncation": True, "max_length": 4}, [CLS, THE, FILM, SEP]),
        ({"max_length": 4}, [CLS, THE, FILM, SEP]),
        ({"max_length": 4, "truncation": False}, IDS),
        ({"max_length": 2}, [CLS, SEP]),
        ({"truncation": "only_first", "max_length": 3}, [CLS, THE, SEP]),
        ({"truncation": True}, IDS),
        ({"truncation": True, "max_length": 2, "add_special_tokens": False}, [THE, FILM]),
    ],
)
def test_truncation(tokenizer, options, ids):
    assert tokenizer(TEXT, **options).input_ids == ids


def test_truncation_on_the_left_and_of_pairs(tmp_path):
    tokenizer = make_by_hand(tmp_path / "left", truncation_side="left")
    assert tokenizer(TEXT, max_length=4).input_ids == [CLS, OD, BANG, SEP]
    tokenizer.truncation_side = "right"
    first, second = "the films", "was good !"  # 3 and 4 tokens
    for strategy, limit, ids in (
        ("longest_first", 9, [CLS, THE, FILM, S, SEP, WAS, GO, OD, SEP]),
        ("longest_first", 7, [CLS, THE, FILM, SEP, WAS, GO, SEP]),
        ("longest_first", 8, [CLS, THE, FILM, SEP, WAS, GO, OD, SEP]),
        ("only_first", 8, [CLS, THE, SEP, WAS, GO, OD, BANG, SEP]),
        ("only_second", 8, [CLS, THE, FILM, S, SEP, WAS, GO, SEP]),
    ):
        assert tokenizer(first, second, truncation=strategy, max_length=limit).input_ids == ids, strategy
    for strategy, limit, says in (
        ("only_first", 7, "text 0: the first text has 3 tokens, too few to cut 3 from it alone"),
        ("only_second", 6, "text 0: the second text has 4 tokens, too few to cut 4 from it alone"),
    ):
        with pytest.raises(InputError, match=says):
            tokenizer(first, second, truncation=strategy, max_length=limit)


def test_windows(tokenizer):
    found = tokenizer(
        [TEXT, "the"], max_length=5, truncation=True, stride=1, return_overflowing_tokens=True, padding=True,
        return_offsets_mapping=True,
    )  # fmt: skip
    assert found.input_ids == [
        [CLS, THE, FILM, S, SEP],
        [CLS, S, WAS, GO, SEP],
        [CLS, GO, OD, BANG, SEP],
        [CLS, THE, SEP, PAD, PAD],
    ]
    assert found.overflow_to_sample_mapping == [0, 0, 0, 1]
    assert found.offset_mapping[1] == [(0, 0), (8, 9), (10, 13), (14, 16), (0, 0)]
    assert found.char_to_token(1, 8) == 1
    one = tokenizer(TEXT, max_length=5, truncation=True, stride=1, return_overflowing_tokens=True)
    assert one.input_ids == found.input_ids[:3]  # a list of lists, for one text too
    tokenizer.truncation_side = "left"
    left = tokenizer(TEXT, max_length=5, truncation=True, stride=1, return_overflowing_tokens=True)
    assert left.input_ids == one.input_ids[::-1]
    with pytest.raises(UsageError, match="room for 3 tokens of a text, which must be more than the stride"):
        tokenizer(TEXT, max_length=5, truncation=True, stride=3, return_overflowing_tokens=True)


def test_windows_of_the_second_text(tokenizer):
    found = tokenizer(
        "the", TEXT, truncation="only_second", max_length=7, stride=1, return_overflowing_tokens=True
    )
    assert found.input_ids == [
        [CLS, THE, SEP, THE, FILM, S, SEP],
        [CLS, THE, SEP, S, WAS, GO, SEP],
        [CLS, THE, SEP, GO, OD, BANG, SEP],
    ]
    assert found.sequence_ids(2) == [None, 0, None, 1, 1, 1, None]
    assert found.token_type_ids[2] == [0, 0, 0, 1, 1, 1, 1]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return make_by_hand(tmp_path_factory.mktemp("tokenizer") / "bert")


@given(
    words=st.lists(st.sampled_from(["the", "films", "good", "é", "[SEP]", "x"]), max_size=12),
    question=st.none() | st.sampled_from(["", "the", "was good"]),
    room=st.integers(2, 6),
    stride=st.integers(0, 1),
    side=st.sampled_from(["left", "right"]),
)
def test_windows_hold_every_token_once_but_for_the_overlap(shared, words, question, room, stride, side):
    text = " ".join(words)
    whole = shared.encode(text, add_special_tokens=False)
    frame = 2 if question is None else 3 + len(shared.tokenize(question))
    shared.truncation_side = side
    found = shared(
        *((text,) if question is None else ([question], [text])), max_length=frame + room, stride=stride,
        truncation="only_first" if question is None else "only_second", return_overflowing_tokens=True,
    )  # fmt: skip
    parts = []
    for i, ids in enumerate(found.input_ids):
        assert len(ids) <= frame + room
        owner = 0 if question is None else 1
        parts.append([t for t, text in zip(ids, found.sequence_ids(i), strict=True) if text == owner])
    if side == "left":
        parts.reverse()
    for before, after in pairwise(parts):
        assert after[:stride] == before[len(before) - stride :]
    assert parts[0] + [t for part in parts[1:] for t in part[stride:]] == whole


def test_arrays(tokenizer):
    found = tokenizer(["the films", ""], padding=True, return_tensors="np", return_offsets_mapping=True)
    np.testing.assert_array_equal(found.input_ids, [[CLS, THE, FILM, S, SEP], [CLS, SEP, PAD, PAD, PAD]])
    assert {name: (v.dtype, v.shape) for name, v in found.items()} == {
        "input_ids": (np.int64, (2, 5)),
        "token_type_ids": (np.int64, (2, 5)),
        "attention_mask": (np.int64, (2, 5)),
        "offset_mapping": (np.int64, (2, 5, 2)),
    }
    assert tokenizer("the", return_tensors="np").input_ids.shape == (1, 3)
    assert tokenizer([], return_tensors="np").input_ids.dtype == np.int64


def test_types_of_a_model_without_them(tmp_path):
    tokenizer = make_by_hand(tmp_path / "distil", tokenizer_class="DistilBertTokenizer")
    assert list(tokenizer("the")) == ["input_ids", "attention_mask"]
    assert tokenizer("the", "film", return_token_type_ids=True).token_type_ids == [0, 0, 0, 1, 1]
    assert list(tokenizer("the", return_attention_mask=False)) == ["input_ids"]
    other = make_by_hand(tmp_path / "other", model_input_names=["input_ids", "token_type_ids"])
    assert list(other("the")) == ["input_ids", "token_type_ids"]


def test_a_long_text_is_no_surprise(tmp_path, caplog):
    tokenizer = make_by_hand(tmp_path / "short", model_max_length=6)
    with caplog.at_level(logging.WARNING, "minidistil"):
        assert tokenizer(["the " * 5000, "the"], truncation=True).input_ids[0] == [CLS, *[THE] * 4, SEP]
        assert not caplog.records
        assert len(tokenizer(["the " * 5000, "the"]).input_ids[0]) == 5002
    assert [r.getMessage() for r in caplog.records] == [
        "1 of 2 texts are longer than the 6 tokens of the model; truncation=True would cut them"
    ]
    caplog.clear()
    tokenizer(["the"], padding=True, max_length=3)
    assert "max_length says nothing here" in caplog.text


BAD = [
    (lambda t: t(None), InputError, "text must be a list"),
    (lambda t: t(["the", None]), InputError, r"text\[1\] is not a string but NoneType"),
    (lambda t: t({"text": ["the"]}), InputError, "one of its columns"),
    (lambda t: t("the", ["film"]), InputError, "of one kind"),
    (lambda t: t(["the"], "film"), InputError, "text_pair must be a list of strings"),
    (lambda t: t(["the"], ["a", "b"]), InputError, "1 texts but 2 second texts"),
    (lambda t: t([("a", "b"), "c"]), InputError, r"text\[1\] is not a pair"),
    (lambda t: t([("a", "b", "c")]), InputError, r"text\[0\] is not a pair"),
    (lambda t: t([["a"]]), InputError, r"text\[0\] is not a pair .*is_split_into_words=True"),
    (lambda t: t("a", is_split_into_words=True), InputError, "text must be a list"),
    (lambda t: t([["a", 1]], is_split_into_words=True), InputError, r"text\[0\]\[1\] is not a string"),
    (lambda t: t("\ud800"), InputError, "surrogate"),
    (lambda t: t("the", truncation="longest"), UsageError, "truncation is 'longest': expected one of"),
    (lambda t: t("the", padding="left"), UsageError, "padding is 'left': expected one of"),
    (lambda t: t("the", padding_side="up"), UsageError, "padding_side is 'up'"),
    (lambda t: t("the", max_length=0), UsageError, "max_length must be an integer of at least 1"),
    (lambda t: t("the", max_length=1), UsageError, "max_length must be at least 2 here"),
    (lambda t: t("the", stride=-1), UsageError, "stride must be an integer of at least 0"),
    (lambda t: t("the " * 9, truncation="only_second", max_length=5), UsageError, "there is one"),
    (
        lambda t: t("the", truncation=True, max_length=5, padding=True, pad_to_multiple_of=4),
        UsageError,
        "max_length 5 is not a multiple of 4",
    ),
    (lambda t: t("the", return_tensors="pt"), UsageError, 'say return_tensors="np"'),
    (lambda t: t("the", return_tensors="tf"), UsageError, "return_tensors is 'tf': expected one of np"),
    (lambda t: t(["the", ""], return_tensors="np"), InputError, "input_ids has rows of different lengths"),
    (lambda t: t("the", trunctation=True), UsageError, "'trunctation' .did you mean truncation"),
    (lambda t: t.tokenize("the", max_len=3), UsageError, "no argument 'max_len' .did you mean max_length"),
    (lambda t: t.encode("the", unknown=3), UsageError, "'unknown'; it takes: text, text_pair, add"),
    (lambda t: t.pad({"ids": [1]}), InputError, "input_ids are padded; there are: ids"),
    (lambda t: t.pad([{"input_ids": [1]}, {"ids": [1]}]), InputError, r"encoded_inputs\[1\]"),
    (lambda t: t.pad(5), InputError, "encoded_inputs must be"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_what_is_refused(tokenizer, call, error, message):
    with pytest.raises(error, match=message):
        call(tokenizer)


def test_padding_needs_its_token(tmp_path):
    tokenizer = make_by_hand(tmp_path / "none", VOCAB[1:], pad_token=None)
    assert tokenizer.pad_token is None
    with pytest.raises(ConfigError, match=r"pad_token '\[PAD\]' is not in its vocabulary"):
        tokenizer(["the", ""], padding=True)


def test_pad(tokenizer):
    examples = [{**tokenizer("the films"), "label": 1}, {**tokenizer(""), "label": 0}]
    found = tokenizer.pad(examples)
    assert dict(found) == {
        "input_ids": [[CLS, THE, FILM, S, SEP], [CLS, SEP, PAD, PAD, PAD]],
        "token_type_ids": [[0] * 5, [0] * 5],
        "attention_mask": [[1] * 5, [1, 1, 0, 0, 0]],
        "label": [1, 0],
    }
    assert tokenizer.pad(examples, return_tensors="np")["label"].tolist() == [1, 0]
    assert tokenizer.pad({"input_ids": [THE]}, "max_length", max_length=3, padding_side="left") == {
        "input_ids": [PAD, PAD, THE],
        "attention_mask": [0, 0, 1],
    }
    arrays = tokenizer.pad({"input_ids": [np.array([1, 2]), np.array([3])]})
    assert arrays.input_ids.tolist() == [[1, 2], [3, PAD]]
    assert arrays.attention_mask.tolist() == [[1, 1], [1, 0]]


def test_one_string_is_encoded_to_a_list(tokenizer):
    assert tokenizer.encode(TEXT) == IDS
    assert (
        tokenizer.encode("the", "film")
        == tokenizer.encode("the", text_pair="film")
        == [CLS, THE, SEP, FILM, SEP]
    )
    assert tokenizer.encode(TEXT, add_special_tokens=False, max_length=2) == [THE, FILM]
    assert tokenizer.encode("the", return_tensors="np").tolist() == [[CLS, THE, SEP]]


def test_settings_of_a_caller(tmp_path):
    make_by_hand(tmp_path / "a", padding_side="left")
    tokenizer = Tokenizer.from_pretrained(tmp_path / "a", use_fast=True, model_max_length=5)
    assert (tokenizer.padding_side, tokenizer.model_max_length) == ("left", 5)
    tokenizer.save_pretrained(tmp_path / "b")
    again = Tokenizer.from_pretrained(tmp_path / "b")
    assert (again.padding_side, again.model_max_length) == ("left", 5)
    assert again(["the", ""], padding=True).input_ids == [[CLS, THE, SEP], [PAD, CLS, SEP]]
    with pytest.raises(UsageError, match=r"no setting 'max_length' .did you mean model_max_length"):
        Tokenizer.from_pretrained(tmp_path / "a", max_length=5)
    with pytest.raises(UsageError, match="padding_side is 'up'"):
        Tokenizer.from_pretrained(tmp_path / "a", padding_side="up")
    with pytest.raises(UsageError, match="model_max_length must be an integer of at least 1"):
        Tokenizer.from_pretrained(tmp_path / "a", model_max_length="long")


def test_a_path_is_loaded_by_from_pretrained():
    with pytest.raises(UsageError, match=r"Tokenizer.from_pretrained\('bert'\) loads a tokenizer"):
        Tokenizer("bert")


def test_a_model_with_fewer_rows(tokenizer):
    with pytest.raises(InputError, match="text 1 holds the token '中'"):
        tokenizer.for_model(ZHONG)(["the", "中"])


def test_threads_that_call_it_differently(tokenizer):
    """Nothing of the tokenizer changes with a call."""
    wrong = []

    def call(limit):
        for _ in range(50):
            found = tokenizer([TEXT, ""], truncation=True, max_length=limit, padding=True).input_ids
            if [len(row) for row in found] != [limit, limit]:
                wrong.append((limit, found))

    threads = [threading.Thread(target=call, args=(limit,)) for limit in (3, 4, 5, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
