"""Directories of tokenizers whose files say all kinds of things, against transformers' reading of them."""

from __future__ import annotations

import json
import logging
import random

import pytest
import tokenizer_toy as toy

from minidistil.text.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")
convert_slow_tokenizer = pytest.importorskip("transformers.convert_slow_tokenizer")
sentencepiece_model_pb2_new = pytest.importorskip("transformers.utils.sentencepiece_model_pb2_new")

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["a", "the", "warm", "film", "story", ",", ".", "two", "##s", "é", "e", "中"]
VOCAB = [*SPECIAL, "[unused1]", "[unused2]", "<s>", "</s>", *WORDS]
CLASSES = ["BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "ElectraTokenizer"]
ANY = ["PreTrainedTokenizerFast", "TokenizersBackend"]
TEXTS = [
    "a warm <ent> film", "The Films<ent>, [unused1] story.", "[SEP] a  [MASK] the<two>films [CLS]",
    "é中 <ENT> E", "", "warm " * 30 + "film", "[unused2]a<s></s> <img>",
]  # fmt: skip


def token(rng, content):
    """A token as a file may write it."""
    flags = {name: rng.random() < 0.3 for name in ("lstrip", "rstrip", "normalized", "single_word")}
    return content if rng.random() < 0.6 else {"__type": "AddedToken", "content": content, **flags}


def write(rng, directory):
    """A directory at random."""
    directory.mkdir()
    (directory / "config.json").write_text('{"model_type": "bert"}')
    (directory / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    lower, whole = rng.random() < 0.5, rng.random() < 0.6
    config = {"do_lower_case": lower}
    if rng.random() < 0.7:
        config["tokenizer_class"] = rng.choice(CLASSES + ANY if whole else CLASSES)
    bert = config.get("tokenizer_class") not in ANY
    entity = {"content": "<ent>", "special": rng.random() < 0.5, "lstrip": False, "rstrip": False,
              "normalized": rng.random() < 0.5, "single_word": False}  # fmt: skip
    inside = whole and rng.random() < 0.3
    if whole:
        state = json.loads(Tokenizer.from_pretrained(directory).files()["tokenizer.json"])
        state["normalizer"]["lowercase"] = rng.random() < 0.5 if bert else lower
        if bert and rng.random() < 0.3:
            state["post_processor"] = None
        if rng.random() < 0.2:
            side = rng.choice(["Left", "Right"])
            state["truncation"] = {
                "max_length": 9,
                "strategy": "LongestFirst",
                "stride": 0,
                "direction": side,
            }
        if inside:
            state["added_tokens"].append({"id": len(VOCAB), **entity})
        (directory / "tokenizer.json").write_text(json.dumps(state))
    for role, names in (
        ("cls", ["[CLS]", "[unused1]", "<s>"]),
        ("sep", ["[SEP]", "</s>"]),
        ("mask", ["<mask>"]),
    ):
        if rng.random() < 0.3:
            config[f"{role}_token"] = token(rng, rng.choice(names))
    for key, values in (
        ("truncation_side", ["left", "right"]), ("unk_token", ["[UNK]", "[unused2]"]),
        ("eos_token", ["<eos>"]), ("image_token", ["<img>"]), ("split_special_tokens", [True, False]),
        ("model_input_names", [["input_ids", "attention_mask"], ["input_ids", "token_type_ids"]]),
    ):  # fmt: skip
        if rng.random() < 0.2 and (bert or key != "unk_token"):
            config[key] = rng.choice(values)
    extra = rng.sample(["<ent>", "[unused1]", "<two>", "[unused2]"], rng.randint(1, 3))
    kind = rng.choice(["additional_special_tokens", "extra_special_tokens", "map", None])
    if kind in ("additional_special_tokens", "extra_special_tokens"):
        config[kind] = extra
    if rng.random() < 0.3:
        roles = {
            str(i): {"content": name, "special": True, "normalized": False} for i, name in enumerate(SPECIAL)
        }
        config["added_tokens_decoder"] = roles | (
            {str(len(VOCAB)): entity} if inside or rng.random() < 0.6 else {}
        )
    elif rng.random() < 0.3 and not inside:
        (directory / "added_tokens.json").write_text(json.dumps({"<ent>": len(VOCAB)}))
    if rng.random() < 0.4:
        named = {"cls_token": rng.choice(["[CLS]", "[unused1]"]), "sep_token": {"content": "[SEP]"}}
        named |= {"additional_special_tokens": extra} if kind == "map" else {}
        (directory / "special_tokens_map.json").write_text(json.dumps(named))
    (directory / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("seed", range(10))
def test_directories_at_random(tmp_path, seed, caplog):
    """Ids, types and characters of texts and pairs, cut and whole; of the directory as saved again too."""
    caplog.set_level(logging.ERROR, "minidistil")
    for trial in range(20):
        rng, place = random.Random(20 * seed + trial), tmp_path / str(trial)
        write(rng, place)
        limit = rng.choice([8, 9, 12, 50])
        Tokenizer.from_pretrained(place).save(place / "saved")
        (place / "saved" / "config.json").write_text('{"model_type": "bert"}')
        for directory in (place, place / "saved"):
            ours = Tokenizer.from_pretrained(directory)
            theirs = transformers.AutoTokenizer.from_pretrained(directory)
            for pairs in (None, TEXTS[::-1]):
                found = ours.encode(TEXTS, pairs, max_length=limit)
                wanted = theirs(
                    TEXTS, pairs, truncation=True, max_length=limit, return_offsets_mapping=True
                )  # fmt: skip
                for i, ids in enumerate(wanted["input_ids"]):
                    about = (seed, trial, directory.name, TEXTS[i])
                    types = wanted["token_type_ids"][i] if "token_type_ids" in wanted else [0] * len(ids)
                    assert found.input_ids[i].tolist() == ids, about
                    assert found.token_type_ids[i].tolist() == types, about
                    assert found.raw[i].offsets == wanted["offset_mapping"][i], about


# Families whose vocabularies are not BERT's


def write_family(directory, kind):
    """Files of a small tokenizer without tokenizer.json, and transformers' reading of them.

    Where transformers 5 forgets that a mask takes the space before it, it is told. A sentencepiece model it
    reads with a package that need not be there; what that finds is handed over.
    """
    lstrip = transformers.AddedToken("<mask>", lstrip=True, special=True)
    if kind == "roberta":
        toy.write_byte_level(directory, toy.byte_level(), add_prefix_space=False)
        return transformers.RobertaTokenizer.from_pretrained(directory, mask_token=lstrip)
    if kind == "mpnet":
        toy.write_json(directory, config={"model_type": "mpnet"})
        words = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "[MASK]", *"a.,中", "the", "film", "##s", "<mask>"]
        (directory / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
        return transformers.MPNetTokenizer.from_pretrained(directory)
    model, normalizer = sentencepiece_model_pb2_new.ModelProto(), toy.characters("ﬁ", "fi")
    pieces = toy.fairseq_pieces(toy.unigram())
    if kind == "albert":
        control = [(token, 0.0, 3) for token in ("<pad>", "[CLS]", "[SEP]", "[MASK]")]
        lower = {piece.lower(): score for piece, score in pieces[3:]}
        pieces = [control[0], ("<unk>", 0.0, 2), *control[1:], *lower.items()]
    for piece, score, *of in pieces:
        model.pieces.add(piece=piece, score=score, type=of[0] if of else 1)
    model.trainer_spec.model_type = 1
    model.trainer_spec.unk_id = [row[0] for row in pieces].index("<unk>")
    model.normalizer_spec.precompiled_charsmap = normalizer
    toy.write_json(directory, config={"model_type": kind})
    name = "spiece.model" if kind == "albert" else "sentencepiece.bpe.model"
    (directory / name).write_bytes(model.SerializeToString())
    if kind == "albert":
        lstrip = transformers.AddedToken("[MASK]", lstrip=True, special=True)
        converter = convert_slow_tokenizer.AlbertConverter.__new__(convert_slow_tokenizer.AlbertConverter)
        vocab = converter.vocab(model)  # which makes "2," improbable
        theirs = transformers.AlbertTokenizer
    else:
        prefix = {"xlm-roberta": "XLMRoberta", "camembert": "Camembert"}[kind]
        converter = getattr(convert_slow_tokenizer, f"{prefix}Converter")
        vocab = converter.convert_from_spm(vocab=[(p.piece, p.score) for p in model.pieces])["vocab"]
        theirs = getattr(transformers, f"{prefix}Tokenizer")
    return theirs(vocab=vocab, _spm_precompiled_charsmap=normalizer, mask_token=lstrip)


@pytest.mark.parametrize("kind", ["roberta", "mpnet", "xlm-roberta", "camembert", "albert"])
def test_vocabularies_of_other_families(tmp_path, kind):
    theirs = write_family(tmp_path / "a", kind)
    ours = Tokenizer.from_pretrained(tmp_path / "a")
    texts = [text.replace("<mask>", ours.mask_token) for text in toy.HARD]
    for pairs in (None, texts[::-1]):
        found = ours.encode(texts, pairs)
        wanted = theirs(texts, pairs, return_offsets_mapping=True, return_token_type_ids=True)
        for i, text in enumerate(texts):
            assert found.input_ids[i].tolist() == wanted["input_ids"][i], text
            assert found.raw[i].offsets == [tuple(o) for o in wanted["offset_mapping"][i]], text
            assert found.token_type_ids[i].tolist() == wanted["token_type_ids"][i], text
    for role in ("cls", "sep", "pad", "mask", "unk"):
        assert getattr(ours, f"{role}_token_id") == getattr(theirs, f"{role}_token_id"), role
    for ids in found.input_ids:
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("kind", ["roberta", "mpnet", "xlm-roberta", "camembert", "albert"])
def test_transformers_reads_what_we_save(tmp_path, kind):
    write_family(tmp_path / "a", kind)
    ours = Tokenizer.from_pretrained(tmp_path / "a")
    ours.save(tmp_path / "b")
    (tmp_path / "b" / "config.json").write_bytes((tmp_path / "a" / "config.json").read_bytes())
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "b")
    again = Tokenizer.from_pretrained(tmp_path / "b")
    texts = [text.replace("<mask>", ours.mask_token) for text in toy.HARD]
    found, wanted = ours.encode(texts, texts[::-1]), theirs(texts, texts[::-1])
    for i, text in enumerate(texts):
        assert found.input_ids[i].tolist() == wanted["input_ids"][i], text
    assert again.content_hash() == ours.content_hash()
    assert [row.tolist() for row in again.encode(texts).input_ids] == [
        row.tolist() for row in ours.encode(texts).input_ids
    ]
