"""Directories of tokenizers whose files say all kinds of things, against transformers' reading of them."""

from __future__ import annotations

import json
import logging
import random

import pytest

from minidistil.text.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")

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
