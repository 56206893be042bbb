"""The tokenizer against ids worked out by hand; the parity suite compares with transformers."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import tokenizers
from tokenizers import models, pre_tokenizers

from minidistil import BertConfig
from minidistil.errors import ConfigError, InputError, UsageError
from minidistil.text.added_tokens import SPECIAL_TOKENS
from minidistil.text.lengths import sequence_length
from minidistil.text.tokenizer import Tokenizer

VOCAB = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "film",
    "##s",
    "was",
    "go",
    "##od",
    "!",
    "é",
    "e",
    "中",
]
PAD, UNK, CLS, SEP, MASK, THE, FILM, S, WAS, GO, OD, BANG, E_ACUTE, E, ZHONG = range(len(VOCAB))


def make(directory, vocab=VOCAB, **config):
    directory.mkdir(exist_ok=True)
    (directory / "vocab.txt").write_bytes("".join(f"{t}\n" for t in vocab).encode())
    if config:
        (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return directory


@pytest.fixture
def tokenizer(tmp_path):
    return Tokenizer.from_pretrained(make(tmp_path / "old"))


def ids(encodings):
    return [list(map(int, row)) for row in encodings.input_ids]


def test_wordpiece(tokenizer):
    got = tokenizer.encode(["The FILMS was gOod!", "", "xyz [MASK] é中!", "a" * 101])
    assert ids(got) == [
        [CLS, THE, FILM, S, WAS, GO, OD, BANG, SEP],
        [CLS, SEP],
        [CLS, UNK, MASK, E, ZHONG, BANG, SEP],
        [CLS, UNK, SEP],
    ]
    assert all(row.dtype == np.int32 for row in got.input_ids + got.token_type_ids)
    assert got.raw[0].offsets[2:4] == [(4, 8), (8, 9)]
    assert got.raw[0].word_ids[1:5] == [0, 1, 1, 2]


def test_pairs_have_types(tokenizer):
    got = tokenizer.encode(["the film"], ["good !"])
    assert ids(got) == [[CLS, THE, FILM, SEP, GO, OD, BANG, SEP]]
    assert got.token_type_ids[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"do_lower_case": False}, [UNK, E_ACUTE, ZHONG]),
        ({"strip_accents": False}, [THE, E_ACUTE, ZHONG]),
        ({"do_lower_case": False, "strip_accents": True}, [UNK, E, ZHONG]),
        ({"tokenize_chinese_chars": False}, [THE, UNK]),
    ],
)
def test_old_settings(tmp_path, config, expected):
    tokenizer = Tokenizer.from_pretrained(make(tmp_path / "old", **config))
    assert ids(tokenizer.encode(["The é中" if "tokenize_chinese_chars" in config else "The é 中"])) == [
        [CLS, *expected, SEP]
    ]


def test_special_tokens_of_another_name(tmp_path):
    vocab = ["<pad>", "<unk>", "<s>", "</s>", "<mask>", "the"]
    names = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    directory = make(tmp_path / "old", vocab, mask_token={"content": "<mask>", "lstrip": True})
    (directory / "special_tokens_map.json").write_text(json.dumps(names))
    tokenizer = Tokenizer.from_pretrained(directory)
    assert ids(tokenizer.encode(["the <mask> film"])) == [[2, 5, 4, 1, 3]]
    assert tokenizer.special_ids == {0, 1, 2, 3, 4}
    assert tokenizer.mask_token_id == 4


def test_added_tokens(tmp_path):
    directory = make(tmp_path / "old")
    (directory / "added_tokens.json").write_text(json.dumps({"<b>": len(VOCAB) + 1, "<a>": len(VOCAB)}))
    assert ids(Tokenizer.from_pretrained(directory).encode(["the<b>"])) == [[CLS, THE, len(VOCAB) + 1, SEP]]
    (directory / "added_tokens.json").write_text(json.dumps({"<a>": 99}))
    with pytest.raises(ConfigError, match=r"'<a>' is to have id 99, but after the vocabulary it has 15"):
        Tokenizer.from_pretrained(directory)


def test_tokens_that_the_settings_add(tmp_path):
    """Of a directory with vocab.txt: further special tokens, and new ones with their ids."""
    n = len(VOCAB)
    new = {str(n): {"content": "[NEW]", "special": True}, "0": {"content": "[PAD]", "special": True}}
    more = ["##od", {"content": "[MORE]"}]
    directory = make(tmp_path / "old", added_tokens_decoder=new, additional_special_tokens=more)
    tokenizer = Tokenizer.from_pretrained(directory)
    assert ids(tokenizer.encode(["the[NEW]film [MORE]"])) == [[CLS, THE, n, FILM, n + 1, SEP]]
    assert ids(tokenizer.encode(["the ##od"])) == [[CLS, THE, OD, SEP]]
    for wrong, says in (
        ({"99": {"content": "[NEW]"}}, r"'\[NEW\]' is to have id 99, but"),
        ({"x": {"content": "[NEW]"}}, "has the id 'x'"),
        ({str(2**31): {"content": "[NEW]"}}, "has the id '2147483648'"),
        ({"15": {}}, "token 15 is {}"),
        ({"15": {"content": "[NEW]", "lstrip": 1}}, "token 15 is"),
        ([1], r"added_tokens_decoder is \[1\]"),
    ):
        with pytest.raises(ConfigError, match=says):
            Tokenizer.from_pretrained(make(tmp_path / "wrong", added_tokens_decoder=wrong))


def test_truncation_warns_once(tokenizer, caplog, monkeypatch):
    monkeypatch.setattr("minidistil.text.tokenizer.CHUNK", 2)
    with caplog.at_level(logging.WARNING, "minidistil"):
        got = tokenizer.encode(["the " * 9, "the", "film " * 8, "was " * 2], max_length=4)
    assert ids(got) == [[CLS, THE, THE, SEP], [CLS, THE, SEP], [CLS, FILM, FILM, SEP], [CLS, WAS, WAS, SEP]]
    assert got.truncated == 2
    assert [r.getMessage() for r in caplog.records] == [
        "2 of 4 texts are longer than 4 tokens and were truncated"
    ]
    caplog.clear()
    assert tokenizer.encode(["the"]).truncated == 0
    assert len(tokenizer.encode(["the " * 50]).input_ids[0]) == 52  # the last call's maximum is forgotten
    assert not caplog.records


def test_the_longer_of_a_pair_is_cut_first(tokenizer):
    got = tokenizer.encode(["the film"], ["was " * 9], max_length=8)
    assert ids(got) == [[CLS, THE, FILM, SEP, WAS, WAS, WAS, SEP]]


@pytest.mark.parametrize(
    ("says", "limit"),
    [({"model_max_length": 6}, 6), ({"max_len": 7.0}, 7), ({"model_max_length": 10**30}, None), ({}, None)],
)
def test_where_a_text_is_cut(tmp_path, says, limit):
    """Where it is asked for; else where the files say; else nowhere, or at the model's last position."""
    tokenizer = Tokenizer.from_pretrained(make(tmp_path / "a", **says))
    assert tokenizer.model_max_length == limit
    texts = ["the " * 600]
    assert len(tokenizer.encode(texts).input_ids[0]) == (limit or 602)
    assert len(tokenizer.encode(texts, max_length=100).input_ids[0]) == 100
    for positions in (1024, 4):
        config = BertConfig(max_position_embeddings=positions)
        assert sequence_length(tokenizer, config) == min(limit or positions, positions)
        assert sequence_length(tokenizer, config, usual=5) == min(5, positions)
        assert sequence_length(tokenizer, config, positions) == positions
        with pytest.raises(ConfigError, match=f"data.max_length is 1025, but the model has {positions} pos"):
            sequence_length(tokenizer, config, 1025, name="data.max_length")
    again = json.loads(tokenizer.files()["tokenizer_config.json"])
    assert again.get("model_max_length") == (limit or says.get("model_max_length"))


@pytest.mark.parametrize("truncation", [False, "error"])
def test_too_long_can_be_an_error(tokenizer, truncation):
    with pytest.raises(InputError, match=r"text 1 has 5 tokens, more than the maximum of 4.*the the the"):
        tokenizer.encode(["the film", "the the the"], max_length=4, truncation=truncation)
    assert len(tokenizer.encode(["the the"], max_length=4, truncation=truncation)) == 1


def test_bad_calls(tokenizer):
    with pytest.raises(InputError, match=r"texts\[1\] is not a string but NoneType"):
        tokenizer.encode(["the", None])
    with pytest.raises(InputError, match="put the one string in a list"):
        next(tokenizer.iter_encode("the"))
    with pytest.raises(InputError, match=r"pairs\[0\] .* surrogate"):
        tokenizer.encode(["the"], ["\ud800"])
    with pytest.raises(InputError, match="2 texts but 1 pairs"):
        tokenizer.encode(["the", "film"], ["was"])
    with pytest.raises(UsageError, match="at least 3"):
        tokenizer.encode(["the"], max_length=2)
    with pytest.raises(UsageError, match="at least 4"):
        tokenizer.encode(["the"], ["the"], max_length=3)
    with pytest.raises(UsageError, match="truncation"):
        tokenizer.encode(["the"], truncation="longest")


def test_vocabulary_and_decoding(tokenizer):
    assert tokenizer.vocab_size == len(VOCAB)
    assert tokenizer.token_to_id("film") == FILM
    assert tokenizer.token_to_id("book") is None
    assert tokenizer.id_to_token(FILM) == "film"
    assert tokenizer.id_to_token(999) is None
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.cls_token_id) == (PAD, UNK, CLS)
    assert (tokenizer.sep_token_id, tokenizer.mask_token_id) == (SEP, MASK)
    assert tokenizer.decode(np.array([CLS, THE, FILM, S, WAS, GO, OD, BANG, SEP])) == "the films was good!"
    assert tokenizer.decode([CLS, THE], skip_special_tokens=False) == "[CLS] the"


def test_saved_and_loaded_again(tokenizer, tmp_path):
    texts = ["The films was good!", "é 中 [MASK]", ""]
    expected = ids(tokenizer.encode(texts))
    tokenizer.save(tmp_path / "new", token_type_ids=False)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    config = json.loads((tmp_path / "new" / "tokenizer_config.json").read_text())
    assert config["model_input_names"] == ["input_ids", "attention_mask"]
    assert config["tokenizer_class"] == "BertTokenizer"
    assert config["do_lower_case"] is True
    assert "token_type_ids" in json.loads(tokenizer.files()["tokenizer_config.json"])["model_input_names"]
    assert ids(Tokenizer.from_pretrained(tmp_path / "new").encode(texts)) == expected
    (tmp_path / "new" / "tokenizer.json").unlink()
    assert ids(Tokenizer.from_pretrained(tmp_path / "new").encode(texts)) == expected


def test_state_left_in_tokenizer_json_is_cleared(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "new")
    path = tmp_path / "new" / "tokenizer.json"
    state = json.loads(path.read_text())
    state["truncation"] = {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    state["padding"] = {
        "strategy": {"Fixed": 9},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    path.write_text(json.dumps(state))
    again = Tokenizer.from_pretrained(tmp_path / "new")
    saved = json.loads(again.files()["tokenizer.json"])
    assert saved["truncation"] is None
    assert saved["padding"] is None
    expected = [[CLS, THE, FILM, WAS, GO, OD, SEP]]
    assert ids(again.encode(["the film was good"], truncation=False)) == expected


@pytest.mark.parametrize(
    ("tokenizer_class", "the"), [("BertTokenizer", UNK), ("PreTrainedTokenizerFast", THE)]
)
def test_config_overrules_tokenizer_json_for_bert_classes(tokenizer, tmp_path, tokenizer_class, the):
    tokenizer.save(tmp_path / "new")
    (tmp_path / "new" / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": False, "tokenizer_class": tokenizer_class})
    )
    assert ids(Tokenizer.from_pretrained(tmp_path / "new").encode(["The"])) == [[CLS, the, SEP]]


def test_bad_directories(tmp_path):
    directory = tmp_path / "bad"
    directory.mkdir()
    with pytest.raises(ConfigError, match=r"holds no tokenizer: expected tokenizer.json"):
        Tokenizer.from_pretrained(directory)
    for content, says in (
        (b'{"model"', "is not JSON: Expecting"),
        (b"[1]", "an object of JSON, not list"),
        (b"[" * 100_000, "nested too deeply"),
        (b"{}", "does not describe a tokenizer"),
        (b'{"model": {"type": "Nonsense"}}', "does not describe a tokenizer"),
        (b"\xff\xfe", "byte 0 is invalid"),
    ):
        (directory / "tokenizer.json").write_bytes(content)
        with pytest.raises(ConfigError, match=says):
            Tokenizer.from_pretrained(directory)
    (directory / "tokenizer.json").unlink()
    (directory / "vocab.txt").write_text("just\nwords\n")
    with pytest.raises(ConfigError, match=r"lacks \[UNK\]"):
        Tokenizer.from_pretrained(directory)
    make(directory, [t for t in VOCAB if t != "[PAD]"])
    for settings in ({"do_lower_case": 5}, {"strip_accents": "yes"}):
        (directory / "tokenizer_config.json").write_text(json.dumps(settings))
        with pytest.raises(ConfigError, match="expected true, false or null"):
            Tokenizer.from_pretrained(directory)
    nothing = {"do_lower_case": None, "tokenize_chinese_chars": None, "additional_special_tokens": None}
    (directory / "tokenizer_config.json").write_text(json.dumps(nothing))
    Tokenizer.from_pretrained(directory)
    (directory / "tokenizer_config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"tokenizer_config.json is not JSON"):
        Tokenizer.from_pretrained(directory)


@pytest.mark.parametrize(
    ("before", "tokens"),
    [
        (pre_tokenizers.Metaspace(), ["▁", "▁in", "▁Rome"]),
        (pre_tokenizers.ByteLevel(), ["Ġ", "Ġin", "ĠRome", "in"]),
    ],
)
def test_a_space_before_a_word_is_no_part_of_it(before, tokens):
    """Of tokenizers that count it as such."""
    vocabulary = {token: i for i, token in enumerate([*SPECIAL_TOKENS.values(), *tokens])}
    rust = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    rust.pre_tokenizer = before
    text = "in  Rome in"
    found = Tokenizer(rust).encode_spans([text])
    words = [text[start:end] for start, end in found.spans.tolist()]
    assert [word for word in words if len(word) > 1] == ["in", "Rome", "in"]
    assert not any(word[:1].isspace() for word in words)
