"""What a tokenizer's directory says is followed, and saved again. Values are those of transformers 5.24."""

from __future__ import annotations

import json
import os
import random
import threading
import time
import warnings

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers, processors

from minidistil import BertConfig
from minidistil.errors import ConfigError, InputError
from minidistil.model import BertForMaskedLM, BertForSequenceClassification
from minidistil.tasks.classification.task import ClassificationTask
from minidistil.tasks.data import DataSettings
from minidistil.tasks.masked_lm.task import MaskedLMTask
from minidistil.text.encodings import cut
from minidistil.text.readers import Examples
from minidistil.text.tokenizer import Tokenizer
from minidistil.text.windows import cut_texts, cut_windows

VOCAB = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[unused1]",
    "a",
    "the",
    "film",
    "##s",
    "warm",
    "<",
    ">",
]
N = len(VOCAB)
BEFORE = {"tokenizer_config.json": {"do_lower_case": True}}


def write(directory, files, *, whole=True):
    """A directory with these JSON files beside vocab.txt, and `whole` with tokenizer.json."""
    directory.mkdir(parents=True)
    (directory / "vocab.txt").write_text("\n".join(VOCAB) + "\n")
    if whole:
        state = Tokenizer.from_pretrained(directory).files()["tokenizer.json"]
        (directory / "tokenizer.json").write_bytes(state)
    for name, content in files.items():
        (directory / name).write_text(json.dumps(content))
    return directory


def change(directory, name, **changes):
    path = directory / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def read(directory):
    return Tokenizer.from_pretrained(directory)


def tokens(tokenizer, *texts, **options):
    encoded = tokenizer.encode(texts[:1], texts[1:] or None, **options)
    return [tokenizer.id_to_token(i) for i in encoded.input_ids[0]]


ENT = {"content": "<ent>", "special": True}
ADDED = {
    "added_tokens_decoder": {"tokenizer_config.json": {"added_tokens_decoder": {str(N): ENT}}},
    "additional": {
        "tokenizer_config.json": {"additional_special_tokens": ["[unused1]", {"content": "<ent>"}]}
    },
    "extra": {"tokenizer_config.json": {"extra_special_tokens": ["[unused1]", "<ent>"]}},
    "by name": {"tokenizer_config.json": {"extra_special_tokens": {"entity_token": "<ent>"}}},
    "a role of its own": {"tokenizer_config.json": {"entity_token": "<ent>"}},
    "end of text": {"tokenizer_config.json": {"eos_token": "<ent>"}},
    "map": {"special_tokens_map.json": {"additional_special_tokens": ["<ent>", "[unused1]"]}},
    "added_tokens.json": {"added_tokens.json": {"<ent>": N}},
}


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("files", ADDED.values(), ids=ADDED)
def test_tokens_of_any_file_are_tokens(tmp_path, files, whole):
    tokenizer = read(write(tmp_path / "a", files, whole=whole))
    tokenizer.save(tmp_path / "b")
    unused = ["[unused1]"] if "[unused1]" in json.dumps(files) else ["[UNK]"] * 3
    for each in (tokenizer, read(tmp_path / "b")):
        assert tokens(each, "a<ent>films [unused1]") == [
            "[CLS]",
            "a",
            "<ent>",
            "film",
            "##s",
            *unused,
            "[SEP]",
        ]
        assert each.token_to_id("<ent>") == N


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("files", "first"),
    [
        ({"tokenizer_config.json": {"cls_token": "[unused1]"}}, "[unused1]"),
        ({"special_tokens_map.json": {"cls_token": "[unused1]"}}, "[unused1]"),
        (
            {
                "tokenizer_config.json": {"cls_token": "[unused1]"},
                "special_tokens_map.json": {"cls_token": {"content": "[CLS]"}},
            },
            "[CLS]",
        ),
        (
            {
                "tokenizer_config.json": {"cls_token": "[unused1]", "added_tokens_decoder": {}},
                "special_tokens_map.json": {"cls_token": "[CLS]"},
            },
            "[unused1]",
        ),
    ],
)
def test_one_token_is_first_wherever_it_is_asked(tmp_path, files, first, whole):
    tokenizer = read(write(tmp_path / "a", files, whole=whole))
    tokenizer.save(tmp_path / "b")
    for each in (tokenizer, read(tmp_path / "b")):
        assert tokens(each, "a")[0] == each.id_to_token(each.cls_token_id) == first
        assert each.id_to_token(cut_texts(each, ["a"], 8).input_ids[0]) == first


def test_special_tokens_in_a_text_are_tokens_unless_they_are_to_be_split(tmp_path):
    assert tokens(read(write(tmp_path / "a", {})), "a [SEP]") == ["[CLS]", "a", "[SEP]", "[SEP]"]
    tokenizer = read(write(tmp_path / "b", {"tokenizer_config.json": {"split_special_tokens": True}}))
    tokenizer.save(tmp_path / "c")
    for each in (tokenizer, tokenizer.lowered(), read(tmp_path / "c")):
        assert tokens(each, "a [SEP]") == ["[CLS]", "a", *["[UNK]"] * 3, "[SEP]"]


def test_the_unknown_word_too(tmp_path):
    tokenizer = read(write(tmp_path / "a", {"tokenizer_config.json": {"unk_token": "[unused1]"}}))
    assert tokens(tokenizer, "zz")[1] == "[unused1]"
    assert tokenizer.unk_token_id == VOCAB.index("[unused1]")


@pytest.mark.parametrize("name", ["BertTokenizer", "DistilBertTokenizerFast", "ElectraTokenizer", None])
def test_a_missing_post_processor_is_berts(tmp_path, name):
    directory = write(tmp_path / "a", {"tokenizer_config.json": {"tokenizer_class": name}})
    change(directory, "tokenizer.json", post_processor=None)
    assert tokens(read(directory), "a", "film") == ["[CLS]", "a", "[SEP]", "film", "[SEP]"]


def test_no_first_token_is_refused(tmp_path):
    """Of a class that has no special tokens by itself; text without any can still be cut into tokens."""
    directory = write(
        tmp_path / "a", {"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"}}
    )
    for cls in (None, {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}],
                       "pair": [], "special_tokens": {}}):  # fmt: skip
        change(directory, "tokenizer.json", post_processor=cls)
        tokenizer = read(directory)
        with pytest.raises(ConfigError, match=r"puts no \[CLS\] before a text"):
            tokenizer.encode(["a"])
        with pytest.raises(ConfigError, match=r"windows have 2 special tokens.* adds 0"):
            cut_texts(tokenizer, ["a"], 8)
        assert tokenizer.encode_flat(["a film"])[0].tolist() == [6, 8]


def test_windows_want_berts_special_tokens():
    rust = tokenizers.Tokenizer(
        models.WordLevel({token: i for i, token in enumerate(VOCAB)}, unk_token="[UNK]")
    )
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    rust.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [unused1]",
        special_tokens=[(token, VOCAB.index(token)) for token in ("[CLS]", "[SEP]", "[unused1]")],
    )  # fmt: skip
    cut_texts(Tokenizer(rust), ["a"], 8)
    with pytest.raises(ConfigError, match=r"adds 3 \(\[CLS\] \[SEP\] \[unused1\]\)"):
        cut_windows(Tokenizer(rust), ["a"], ["film"], max_length=8, stride=1)


@pytest.mark.parametrize(
    ("config", "types"),
    [
        ({}, [0, 0, 0, 1, 1]),
        ({"model_input_names": ["input_ids", "attention_mask"]}, [0] * 5),
        ({"tokenizer_class": "DistilBertTokenizer"}, [0] * 5),
        ({"tokenizer_class": "PreTrainedTokenizerFast"}, [0] * 5),
        (
            {"tokenizer_class": "DistilBertTokenizer", "model_input_names": ["input_ids", "token_type_ids"]},
            [0, 0, 0, 1, 1],
        ),
    ],
)
def test_token_types_are_fed_as_the_files_say(tmp_path, config, types):
    tokenizer = read(write(tmp_path / "a", {"tokenizer_config.json": config}))
    tokenizer.save(tmp_path / "b")
    for each in (tokenizer, read(tmp_path / "b")):
        assert each.encode(["a"], ["film"]).token_type_ids[0].tolist() == types
        windows = cut_windows(each, ["film"], ["a"], max_length=8, stride=1)
        assert windows.token_type_ids.tolist() == types


@pytest.mark.parametrize("where", ["tokenizer_config.json", "config.json"])
@pytest.mark.parametrize(
    "name", ["BertJapaneseTokenizer", "XLMRobertaTokenizerFast", "BertweetTokenizer", "My"]
)
def test_another_kind_of_tokenizer_is_refused_by_name(tmp_path, where, name):
    """Where vocab.txt is all there is; tokenizer.json says how texts are cut."""
    files = {where: {"tokenizer_class": name}}
    with pytest.raises(
        ConfigError, match=f"its tokenizer is a {name.removesuffix('Fast')}, which does not cut"
    ):
        read(write(tmp_path / "a", files, whole=False))
    assert tokens(read(write(tmp_path / "b", files)), "a")[1] == "a"


@pytest.mark.parametrize("whole", [True, False])
def test_a_text_is_cut_at_the_side_that_is_told(tmp_path, whole):
    directory = write(tmp_path / "a", {"tokenizer_config.json": {"truncation_side": "left"}}, whole=whole)
    read(directory).save(tmp_path / "b")
    for each in (read(directory), read(tmp_path / "b")):
        assert tokens(each, "a the warm films", max_length=5) == ["[CLS]", "warm", "film", "##s", "[SEP]"]
        assert tokens(each, "a the warm", "films warm a", max_length=8) == [
            "[CLS]", "the", "warm", "[SEP]", "##s", "warm", "a", "[SEP]"
        ]  # fmt: skip
        # What stands in a window is no matter of sides.
        assert each.id_to_token(cut_texts(each, ["a the warm films"], 6).input_ids[1]) == "a"


def test_the_side_that_tokenizer_json_was_last_used_with(tmp_path):
    """As in transformers, unless tokenizer_config.json says otherwise."""
    directory = write(tmp_path / "a", {})
    truncation = {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Left"}
    change(directory, "tokenizer.json", truncation=truncation)
    assert tokens(read(directory), "a the warm", max_length=4) == ["[CLS]", "the", "warm", "[SEP]"]
    (directory / "tokenizer_config.json").write_text('{"truncation_side": "right"}')
    assert tokens(read(directory), "a the warm", max_length=4) == ["[CLS]", "a", "the", "[SEP]"]


def test_settings_that_are_not_ours_are_kept(tmp_path):
    mask = {"__type": "AddedToken", "content": "[MASK]", "lstrip": True, "normalized": False,
            "rstrip": False, "single_word": False}  # fmt: skip
    config = {
        "padding_side": "left", "truncation_side": "left", "model_max_length": 10**30, "chat_template": "x",
        "extra_special_tokens": ["<ent>"], "tokenizer_class": "ElectraTokenizerFast", "mask_token": mask,
        "something": {"new": [1, None]}, "added_tokens_decoder": {"0": {"content": "[PAD]", "special": True}},
    }  # fmt: skip
    map_ = {"additional_special_tokens": ["<ent>"], "pad_token": {"content": "[PAD]", "lstrip": True}}
    directory = write(tmp_path / "a", {"tokenizer_config.json": config, "special_tokens_map.json": map_})
    tokenizer = read(directory)
    tokenizer.save(tmp_path / "b")
    again = json.loads((tmp_path / "b" / "tokenizer_config.json").read_text())
    decoder = again.pop("added_tokens_decoder")
    assert decoder[str(N)]["content"] == "<ent>"
    assert again == {key: value for key, value in config.items() if key != "added_tokens_decoder"} | {
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True,
        "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]",
    }  # fmt: skip
    saved = json.loads((tmp_path / "b" / "special_tokens_map.json").read_text())
    assert saved["additional_special_tokens"] == ["<ent>"]
    assert saved["pad_token"] == map_["pad_token"]
    assert read(tmp_path / "b").content_hash() == tokenizer.content_hash()


def test_a_role_without_a_token_is_not_written(tmp_path):
    rust = tokenizers.Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    assert json.loads(Tokenizer(rust).files()["special_tokens_map.json"]) == {"unk_token": "[UNK]"}


words = st.lists(st.sampled_from(["a", "the", "films", "warm", "zz"]), max_size=9).map(" ".join)


@settings(max_examples=80, deadline=None)
@given(words, st.none() | words, st.integers(4, 12), st.sampled_from(["left", "right"]))
def test_cut_as_the_library_cuts(first, second, limit, side):
    rust = tokenizers.Tokenizer(
        models.WordPiece({token: i for i, token in enumerate(VOCAB)}, unk_token="[UNK]")
    )
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    rust.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    whole = rust.encode(first, second)
    rust.enable_truncation(limit, direction=side)
    expected = rust.encode(first, second)
    owners = (-1, 0, -1) if second is None else (-1, 0, -1, 1, -1)
    found = cut(whole, limit, side, owners) if len(whole) > limit else whole
    assert len(found) == len(expected)
    for name in ("ids", "type_ids", "tokens", "offsets", "word_ids", "sequence_ids", "special_tokens_mask"):
        assert getattr(found, name) == getattr(expected, name)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks on Windows")
@pytest.mark.parametrize("told", ["true", None])
def test_children_of_a_fork_encode_while_threads_do(tmp_path, told, monkeypatch):
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    if told:
        monkeypatch.setenv("TOKENIZERS_PARALLELISM", told)
    tokenizer, done = read(write(tmp_path / "a", {})), threading.Event()

    def serve():
        while not done.is_set():
            tokenizer.encode(["a films"] * 400, max_length=8)

    threads = [threading.Thread(target=serve) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", DeprecationWarning
                )  # of a fork beside threads, in Python 3.12
                child = os.fork()
            if child == 0:
                os._exit(len(tokenizer.encode(["a films"] * 50, max_length=8)) != 50)
            late = time.monotonic() + 30
            while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < late:
                time.sleep(0.002)
            if ended == (0, 0):
                os.kill(child, 9)
                os.waitpid(child, 0)
            assert ended == (child, 0)
    finally:
        done.set()
        for thread in threads:
            thread.join()


HOSTILE = {
    "tokenizer_config.json": [
        ({"tokenizer_class": 5}, "tokenizer_class is 5"),
        ({"tokenizer_class": ["BertTokenizer"]}, "tokenizer_class is"),
        ({"model_max_length": "512"}, "model_max_length is '512'"),
        ({"truncation_side": "middle"}, "truncation_side is 'middle'"),
        ({"model_input_names": "input_ids"}, "model_input_names is"),
        ({"model_input_names": [1]}, "model_input_names is"),
        ({"do_lower_case": 1}, "do_lower_case is 1"),
        ({"cls_token": 5}, "cls_token is 5"),
        ({"cls_token": "a $B"}, "tokenizer.json does not describe a tokenizer"),
        ({"cls_token": {"content": 5}}, "cls_token is"),
        ({"extra_special_tokens": 5}, "special tokens are 5"),
        ({"extra_special_tokens": [None]}, "a special token is None"),
        ({"extra_special_tokens": {"x": 1}}, "x is 1"),
        ({"added_tokens_decoder": {"1" * 5000: ENT}}, "has the id"),
        ({"added_tokens_decoder": {"-1": ENT}}, "has the id '-1'"),
    ],
    "special_tokens_map.json": [({"additional_special_tokens": [["x"]]}, "a special token is")],
    "added_tokens.json": [({"<ent>": "x"}, "has the id 'x'"), ({"<ent>": True}, "has the id True")],
    "tokenizer.json": [
        ({"model": {"type": "WordPiece", "vocab": {"a": 2**24}}}, "the id of 'a' is 16777216"),
        ({"model": {"type": "WordPiece", "vocab": {"a": "x"}}}, "the id of 'a' is 'x'"),
        ({"model": {"type": "WordPiece", "vocab": {}, "max_input_chars_per_word": 2**60}}, "max_input_chars"),
        ({"model": []}, "does not describe a tokenizer"),
        ({"model": None, "normalizer": 5}, "does not describe a tokenizer"),
    ],
}


@pytest.mark.parametrize(
    ("name", "content", "says"), [(name, *case) for name, cases in HOSTILE.items() for case in cases]
)
def test_files_of_other_types(tmp_path, name, content, says):
    with pytest.raises(ConfigError, match=says) as caught:
        read(write(tmp_path / "a", {name: content}))
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"post_processor": {"single": [{"Sequence": {"id": "A", "type_id": 2**31}}]}}, "2147483648 is no"),
        ({"added_tokens": [{"id": 2**31, "content": "x"}]}, "2147483648 is no"),
        ({"normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}] * 26}}, "100 times longer"),
        ({"normalizer": {"type": "Replace", "pattern": {"Regex": "(a"}, "content": ""}}, "not describe a"),
    ],
)  # fmt: skip
def test_pipelines_that_are_none(tmp_path, part, says):
    directory = write(tmp_path / "a", {})
    change(directory, "tokenizer.json", **part)
    with pytest.raises(ConfigError, match=says):
        read(directory)


def test_a_panic_of_the_library_is_an_error(tmp_path, capfd):
    directory = write(tmp_path / "a", {})
    change(directory, "tokenizer.json", pre_tokenizer={
        "type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False,
    })  # fmt: skip
    for encode in (Tokenizer.encode, Tokenizer.encode_flat, Tokenizer.encode_spans):
        with pytest.raises(ConfigError, match=r"the tokenizer cannot encode: .*retry-limit"):
            encode(read(directory), ["a" * 40 + "b"])
    capfd.readouterr()  # the library's own words


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "tokenizer_config.json", "vocab.txt", "added_tokens.json"]
)
def test_only_regular_files_are_read(tmp_path, name):
    directory = write(tmp_path / "a", {}, whole=name != "vocab.txt")
    (directory / name).unlink(missing_ok=True)
    os.mkfifo(directory / name)
    with pytest.raises(ConfigError, match="is not a regular file"):
        read(directory)


# Tokens that the model has no row for


def beyond(tmp_path):
    """A tokenizer with two ids more than its model has rows."""
    return read(write(tmp_path / "a", {"added_tokens.json": {"<ent>": N, "<two>": N + 1}}))


SMALL = {"vocab_size": N, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
         "intermediate_size": 8, "max_position_embeddings": 16}  # fmt: skip


def test_a_model_answers_until_a_text_holds_a_token_beyond_its_table(tmp_path):
    model = BertForSequenceClassification(BertConfig(**SMALL), seed=1).eval()
    classify = ClassificationTask.bind(model, beyond(tmp_path))
    assert len(classify(["a film"])) == 1
    with pytest.raises(
        InputError, match=rf"text 1 holds the token '<two>', whose id is {N + 1}, but .* {N} rows"
    ):
        classify(["a film", "a <two> film"])
    tokenizer = classify.tokenizer
    for encode in (tokenizer.encode_flat, tokenizer.encode_spans):
        with pytest.raises(InputError, match="text 2 holds the token '<ent>'"):
            encode(["a", "", "film <ent>"])
    assert tokenizer.num_ids == N
    assert beyond(tmp_path / "other").num_ids == N + 2


def test_training_is_refused_at_once(tmp_path):
    tokenizer = beyond(tmp_path)
    with pytest.raises(
        ConfigError,
        match=rf"m: its tokenizer has {N + 2} ids, but .* {N} rows: there is none for '<ent>', '<two>'\.",
    ):
        tokenizer.check_rows(N, "m")
    assert tokenizer.check_rows(N + 2, "m") is tokenizer
    # [PAD] has a place in no text: a vocabulary may lack it.
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "vocab.txt").write_text("\n".join(VOCAB[1:]) + "\n")
    assert read(tmp_path / "b").check_rows(N - 1, "m").num_ids == N - 1


def test_random_words_are_the_models(tmp_path):
    """Where masked words are measured; a text without added tokens has none of them put in."""
    texts = ["a the warm film"] * 300
    data = MaskedLMTask(DataSettings(max_length=8)).dataset(
        beyond(tmp_path), Examples(texts, None, None, [1] * 300, path="x"), BertConfig(**SMALL)
    )
    ids = np.concatenate([data.fixed().batch(np.arange(len(data))).input_ids])
    assert VOCAB.index("<") in ids  # some are random
    assert ids.max() < N
    BertForMaskedLM(BertConfig(**SMALL), seed=1).eval().forward(data.fixed().batch([0]))


def test_a_long_question_is_told(caplog):
    rng = random.Random(0)
    import window_toy

    question = " ".join(rng.choice("abcdef") for _ in range(70))
    cut_windows(window_toy.make_tokenizer(), ["a b", "a"], [question, "a"], max_length=90, stride=8)
    assert [r.getMessage() for r in caplog.records] == [
        "1 of 2 questions are longer than 64 tokens and were truncated"
    ]
