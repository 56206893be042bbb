"""Vocabularies without a tokenizer.json: byte-level BPE, sentencepiece, MPNet's vocab.txt; their damage."""

from __future__ import annotations

import contextlib
import json
import pickle
import struct

import pytest
import tokenizer_toy as toy
import tokenizers

from minidistil.errors import ConfigError
from minidistil.text.sentencepiece_model import read_sentencepiece
from minidistil.text.tokenizer import Tokenizer


def same(ours, rust, texts=toy.HARD):
    """Ids, characters and types of texts and pairs, around them what the template says."""
    for pairs in (None, texts[::-1]):
        rows = texts if pairs is None else list(zip(texts, pairs, strict=True))
        for text, a, b in zip(texts, ours.encode(texts, pairs).raw, rust.encode_batch(rows), strict=True):
            assert a.ids == b.ids, text
            assert a.offsets == b.offsets, text
            assert a.type_ids == b.type_ids, text


@pytest.mark.parametrize("kind", [toy.byte_level, toy.unigram])
def test_tokenizer_json_is_followed(tmp_path, kind):
    rust = kind()
    directory = toy.write_tokenizer_json(tmp_path, rust)
    tokenizer = Tokenizer.from_pretrained(directory)
    same(tokenizer, tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json")))
    assert tokenizer.special_tokens == {
        "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>", "cls_token": "<s>",
        "mask_token": "<mask>",
    }  # fmt: skip
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id) == (1, 3)
    assert tokenizer.model_input_names == ["input_ids", "attention_mask"]
    assert tokenizer.num_special_tokens_to_add() == 2
    assert tokenizer.num_special_tokens_to_add(pair=True) == 4


@pytest.mark.parametrize("space", [False, True])
@pytest.mark.parametrize("trim", [False, True])
def test_vocab_json_and_merges(tmp_path, space, trim):
    """As the tokenizer.json of the same vocabulary, saved again too."""
    rust = toy.byte_level(space=space, trim=trim)
    directory = toy.write_byte_level(tmp_path / "a", rust, add_prefix_space=space, trim_offsets=trim)
    tokenizer = Tokenizer.from_pretrained(directory)
    same(tokenizer, rust)
    tokenizer.save(tmp_path / "b")
    again = Tokenizer.from_pretrained(tmp_path / "b")
    same(again, rust)
    assert again.content_hash() == tokenizer.content_hash()
    said = json.loads((tmp_path / "b" / "tokenizer_config.json").read_text())
    assert said["tokenizer_class"] == "RobertaTokenizer"
    for text in toy.SENTENCES[:6]:
        assert tokenizer.decode(tokenizer.encode(text)).strip() == text


def test_the_mask_takes_the_space_before_it(tmp_path):
    tokenizer = Tokenizer.from_pretrained(toy.write_byte_level(tmp_path, toy.byte_level()))
    (encoding,) = tokenizer.encode(["the <mask>"]).raw
    assert encoding.tokens[-2:] == [" <mask>", "</s>"]
    assert encoding.ids[-2] == tokenizer.mask_token_id
    assert encoding.offsets[-2] == (4, 10)
    assert "Ġ" not in encoding.tokens


def test_a_mask_with_flags_has_those(tmp_path):
    plain = {"content": "<mask>", "lstrip": False}
    directory = toy.write_byte_level(tmp_path, toy.byte_level(), mask_token=plain)
    (encoding,) = Tokenizer.from_pretrained(directory).encode(["the <mask>"]).raw
    assert encoding.tokens[-3:] == ["Ġ", "<mask>", "</s>"]


@pytest.mark.parametrize("charsmap", [b"", toy.characters("ﬁ", "fi")])
def test_sentencepiece_of_xlm_r(tmp_path, charsmap):
    rust = toy.unigram(charsmap)
    directory = toy.write_json(tmp_path, config={"model_type": "xlm-roberta"})
    normalizer = toy.field(2, charsmap) if charsmap else b""
    model = toy.sentencepiece(toy.fairseq_pieces(rust), normalizer=normalizer)
    (directory / "sentencepiece.bpe.model").write_bytes(model)
    tokenizer = Tokenizer.from_pretrained(directory)
    same(tokenizer, rust)
    ids = tokenizer.encode("ﬁlm")
    assert (tokenizer.unk_token_id in ids) == (not charsmap)
    tokenizer.save(tmp_path / "b")
    same(Tokenizer.from_pretrained(tmp_path / "b"), rust)


def test_sentencepiece_of_camembert(tmp_path):
    """Five tokens in front of all pieces but the unknown, so <s> is 5 and </s> 6."""
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("▁le", -1.0), ("▁", -2.0), ("s", -2.5)]
    directory = toy.write_json(tmp_path, config={"model_type": "camembert"})
    (directory / "sentencepiece.bpe.model").write_bytes(toy.sentencepiece(pieces))
    tokenizer = Tokenizer.from_pretrained(directory)
    assert tokenizer.encode("les z") == [5, 7, 9, 8, 3, 6]
    assert tokenizer.encode("le", "le") == [5, 7, 6, 6, 7, 6]
    assert (tokenizer.pad_token_id, tokenizer.mask_token_id, len(tokenizer)) == (1, 10, 11)


ALBERT = [
    ("<pad>", 0.0, 3), ("<unk>", 0.0, 2), ("[CLS]", 0.0, 3), ("[SEP]", 0.0, 3), ("[MASK]", 0.0, 4),
    ("▁", -4.0), ("▁in", -2.0), ("▁cafe", -3.0), ("▁1999", -3.0), (",", -3.0), ("9,", -1.0), ("▁199", -3.5),
    ('"', -3.0), ("É", -3.0), ("▁café", -3.0), ("<p>", 0.0, 4),
]  # fmt: skip


def albert(directory, **config):
    toy.write_json(directory, config={"model_type": "albert"}, tokenizer_config=config)
    (directory / "spiece.model").write_bytes(toy.sentencepiece(ALBERT))
    return Tokenizer.from_pretrained(directory)


def test_sentencepiece_of_albert(tmp_path):
    tokenizer = albert(tmp_path)
    assert tokenizer.tokenize("In  Café 1999,") == ["▁in", "▁cafe", "▁1999", ","]
    assert tokenizer.tokenize("1999,") == ["▁1999", ","]  # "9," ends in a digit and a comma
    assert tokenizer.tokenize("``in''") == ["▁", '"', "in", '"']
    assert tokenizer.tokenize("in<p>in") == ["▁in", "<p>", "▁in"]
    found = tokenizer("in", "cafe")
    assert found["input_ids"] == [2, 6, 3, 7, 3]
    assert found["token_type_ids"] == [0, 0, 0, 1, 1]
    assert (tokenizer.pad_token_id, tokenizer.mask_token_id) == (0, 4)
    assert "<p>" not in tokenizer.all_special_tokens


def test_albert_with_case_and_accents(tmp_path):
    tokenizer = albert(tmp_path, do_lower_case=False, keep_accents=True)
    assert tokenizer.tokenize("café É") == ["▁café", "▁", "É"]


def test_vocab_txt_of_mpnet(tmp_path):
    words = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "a",
        "film",
        "##s",
    ]
    directory = toy.write_json(tmp_path, config={"model_type": "mpnet"})
    (directory / "vocab.txt").write_text("\n".join([*words, "<mask>"]) + "\n")
    tokenizer = Tokenizer.from_pretrained(directory)
    tokenizer.save(tmp_path / "b")
    for each in (tokenizer, Tokenizer.from_pretrained(tmp_path / "b")):
        assert each.convert_ids_to_tokens(each.encode("A Films zz <mask>")) == [
            "<s>", "a", "film", "##s", "[UNK]", "<mask>", "</s>"
        ]  # fmt: skip
        assert each.encode("a", "film") == [0, 9, 2, 2, 10, 2]
        assert each.encode(["a"], ["film"]).token_type_ids[0].tolist() == [0] * 6
        assert (each.pad_token_id, each.mask_token_id, each.unk_token_id) == (1, 12, 5)


def test_tokenizer_json_alone_is_what_it_says(tmp_path):
    """No config.json and no settings: MPNet's WordPiece is not taken for BERT's, though it has [CLS]."""
    words = ["<s>", "<pad>", "</s>", "<unk>", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "<mask>"]
    directory = toy.write_json(tmp_path / "a", config={"model_type": "mpnet"})
    (directory / "vocab.txt").write_text("\n".join(words) + "\n")
    (tmp_path / "b").mkdir()
    Tokenizer.from_pretrained(directory)._rust.save(str(tmp_path / "b" / "tokenizer.json"))
    tokenizer = Tokenizer.from_pretrained(tmp_path / "b")
    assert tokenizer.encode("a", "a") == [0, 9, 2, 2, 9, 2]
    assert tokenizer.mask_token == "<mask>"
    assert tokenizer.pad_token == "<pad>"
    files = tokenizer.files()
    assert json.loads(files["tokenizer_config.json"])["tokenizer_class"] == "PreTrainedTokenizer"


def test_a_template_where_tokenizer_json_has_none(tmp_path):
    rust = toy.byte_level()
    rust.post_processor = tokenizers.processors.ByteLevel()
    state = json.loads(rust.to_str())
    state["post_processor"] = None
    directory = toy.write_json(tmp_path, config={"model_type": "roberta"}, tokenizer=state)
    same(Tokenizer.from_pretrained(directory), toy.byte_level())


def test_model_type_decides_and_not_a_name(tmp_path):
    """A directory called RoBERTa whose config.json says "bert" has BERT's tokenizer."""
    directory = toy.write_json(tmp_path / "chinese-roberta-wwm", config={"model_type": "bert"})
    (directory / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n你\n好\n", encoding="utf-8")
    assert Tokenizer.from_pretrained(directory).encode("你好") == [2, 5, 6, 3]


@pytest.mark.parametrize(
    ("model_type", "file", "says"),
    [
        (
            "roberta",
            "vocab.txt",
            r"is a RobertaTokenizer, .* as BERT's does: vocab.txt alone .*\"BertTokenizer\"",
        ),
        ("bert", "spiece.model", r"is a BertTokenizer, .* as ALBERT's does: .*\"AlbertTokenizer\""),
        ("bert", "vocab.json", r"RoBERTa's does"),
        ("albert", "sentencepiece.bpe.model", r"XLM-R's does"),
        ("roberta", "vocab.json", r"lacks merges.txt of its tokenizer, a RobertaTokenizer"),
        ("roberta", "merges.txt", r"lacks vocab.json of its tokenizer"),
        (
            "xlm-roberta",
            None,
            r"holds no tokenizer: expected tokenizer.json, or sentencepiece.bpe.model\. A model",
        ),
    ],
)
def test_a_vocabulary_of_another_kind(tmp_path, model_type, file, says):
    directory = toy.write_json(tmp_path, config={"model_type": model_type})
    if file is not None:
        (directory / file).write_text("{}")
    with pytest.raises(ConfigError, match=says):
        Tokenizer.from_pretrained(directory)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("merges.txt", "#version: 0.2\nĠ t\nab\n", "merges.txt, line 3: expected two tokens"),
        ("merges.txt", "Ġ t\n\na b c", "merges.txt, line 3: expected two tokens"),
        ("merges.txt", "zz b", "merges.txt, line 1: 'zz' is not in vocab.json"),
        ("merges.txt", "b \u00a0", "line 1: '\\xa0' is not in vocab.json"),
        ("vocab.json", '{"<s>": "0"}', "the id of '<s>' is '0'"),
        ("vocab.json", '{"<s>": 99999999999}', "the id of '<s>' is 99999999999"),
        ("vocab.json", "[]", "must hold an object"),
        ("vocab.json", '{"<pad>": 1}', "merges.txt, line 2"),
    ],
)
def test_damaged_byte_level_files(tmp_path, name, content, says):
    directory = toy.write_byte_level(tmp_path, toy.byte_level())
    (directory / name).write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        Tokenizer.from_pretrained(directory)
    assert says in str(caught.value)


def test_a_vocabulary_without_the_tokens_of_the_template(tmp_path):
    directory = toy.write_json(tmp_path, config={"model_type": "roberta"}, vocab={"a": 0, "</s>": 1})
    (directory / "merges.txt").write_text("")
    with pytest.raises(ConfigError, match="lacks <s>: not the vocabulary of a RobertaTokenizer"):
        Tokenizer.from_pretrained(directory)
    (directory / "added_tokens.json").write_text('{"<s>": 2}')
    assert Tokenizer.from_pretrained(directory).encode("a") == [2, 0, 1]


PIECES = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("▁a", -1.0)]
GOOD = toy.sentencepiece(PIECES)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "of its 0 pieces 0 are for the unknown"),
        (b"not a model at all", "or a damaged one"),
        (b"\x80" * 20, "an integer has no end"),
        (GOOD[:-3], "damaged one"),
        (GOOD + b"\x0a\xff\xff\xff\x7f", "behind the end"),
        (GOOD + b"\x0b", "unknown type 3"),
        (GOOD + toy.field(1, 5), "the integer 5 stands in the place of bytes"),
        (GOOD + toy.field(2, toy.field(3, b"1")), "bytes stand in the place of an integer"),
        (GOOD + toy.field(1, toy.field(1, b"\xff")), "utf-8"),
        (GOOD + toy.field(1, toy.field(1, "▁a")), "a piece occurs twice"),
        (GOOD + toy.field(1, toy.field(1, "b") + toy.field(2, float("nan"))), "no number"),
        (GOOD + toy.field(1, toy.field(1, "b") + toy.field(2, b"xx")), "damaged one"),
        (toy.sentencepiece(PIECES[1:]), "of its 3 pieces 0 are for the unknown"),
        (toy.sentencepiece(PIECES, trainer=toy.field(3, 2)), "model_type is 2, and only 1 can be read. tr"),
        (toy.sentencepiece(PIECES, trainer=toy.field(35, 1)), "byte_fallback is 1"),
        (toy.sentencepiece(PIECES, trainer=toy.field(22, 0)), "split_by_whitespace is 0"),
        (toy.sentencepiece(PIECES, normalizer=toy.field(4, 0)), "remove_extra_whitespaces is 0"),
        (toy.sentencepiece(PIECES, normalizer=toy.field(2, b"\x10")), "sentencepiece.bpe.model"),
        (toy.sentencepiece([PIECES[3], *PIECES[1:3], PIECES[0]]), "piece 3 is the one for the unknown"),
    ],
)  # fmt: skip
def test_damaged_sentencepiece_models(tmp_path, data, says):
    directory = toy.write_json(tmp_path, config={"model_type": "xlm-roberta"})
    (directory / "sentencepiece.bpe.model").write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        Tokenizer.from_pretrained(directory)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 700


def test_every_cut_of_a_sentencepiece_model_is_an_error_or_a_model(tmp_path):
    """Nothing but a ConfigError, wherever the file ends and whatever one of its bytes is."""
    path = tmp_path / "m"
    for place in range(len(GOOD)):
        for data in (GOOD[:place], GOOD[:place] + bytes([GOOD[place] ^ 0x55]) + GOOD[place + 1 :]):
            path.write_bytes(data)
            with contextlib.suppress(ConfigError):
                read_sentencepiece(path)


def test_settings_of_a_sentencepiece_model(tmp_path):
    path = tmp_path / "m"
    trainer = toy.field(3, 1) + toy.field(5, "en") + varint_double(10)
    path.write_bytes(
        toy.sentencepiece([*PIECES, ("<p>", 0.0, 4)], trainer=trainer, normalizer=toy.field(3, 0))
    )
    model = read_sentencepiece(path)
    assert model.pieces == [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("▁a", -1.0), ("<p>", 0.0)]
    assert (model.unknown, model.user_defined, model.characters, model.dummy_prefix) == (
        0,
        ["<p>"],
        b"",
        False,
    )


def varint_double(number):
    return toy.varint(number << 3 | 1) + struct.pack("<d", 0.5)


@pytest.mark.parametrize("space", [False, True])
def test_words_of_byte_level_bpe_have_a_space_before_them(tmp_path, space):
    """As of a tokenizer with add_prefix_space, whatever this one has; characters are those of the words."""
    rust = toy.byte_level()
    directory = toy.write_byte_level(tmp_path, rust, add_prefix_space=space)
    tokenizer, words = Tokenizer.from_pretrained(directory), ["the", "capital", "fox!", "naïve"]
    rust.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    rust.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, True)
    wanted = rust.encode(words, is_pretokenized=True)
    for each in (tokenizer, pickle.loads(pickle.dumps(tokenizer)), tokenizer.without_token_types()):
        found = each(words, is_split_into_words=True, return_offsets_mapping=True)
        assert found["input_ids"] == wanted.ids
        assert found["offset_mapping"] == wanted.offsets
        assert found.word_ids() == wanted.word_ids
        assert found.tokens()[1:3] == ["Ġthe", "Ġcapital"]
        assert each("the film").tokens()[1].startswith("Ġ") == space
    lowered = tokenizer.lowered()(["The"], is_split_into_words=True)
    assert lowered["input_ids"] == tokenizer(["the"], is_split_into_words=True)["input_ids"]
