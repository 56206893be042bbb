"""A tokenizer of a few words, whose results can be worked out by hand, and one text in it."""

import json

from minidistil.text.tokenizer import Tokenizer

VOCAB = "[PAD] [UNK] [CLS] [SEP] [MASK] the film ##s was go ##od ! é e 中".split()  # noqa: SIM905
PAD, UNK, CLS, SEP, MASK, THE, FILM, S, WAS, GO, OD, BANG, E_ACUTE, E, ZHONG = range(len(VOCAB))
TEXT, IDS = "The films was good!", [CLS, THE, FILM, S, WAS, GO, OD, BANG, SEP]


def make_by_hand(directory, vocab=VOCAB, **config):
    directory.mkdir()
    (directory / "vocab.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8")
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return Tokenizer.from_pretrained(directory)
