"""The tables of docs/porting.md, call by call beside transformers; and its three scripts."""

from __future__ import annotations

import contextlib
import io
import random

import numpy as np
import porting_page as page
import pytest
import torch
import transformers

import minidistil
from minidistil.errors import UsageError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("porting")
    page.make_models(directory)
    return directory


@pytest.fixture(scope="module")
def both(place):
    """(ours, theirs): what the rows name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        yield page.namespace(minidistil, np.asarray), page.namespace(transformers, torch.tensor)


@pytest.mark.parametrize("row", [row for row in page.rows() if row[2] is None], ids=lambda row: row[0])
def test_rows(row, both, report):
    ours, theirs = both
    found = page.plain(page.run(row[1], minidistil, ours))
    wanted = page.plain(page.run(row[0], transformers, theirs))
    page.assert_same(found, wanted, (row[0],))
    report.equal("calls of docs/porting.md", [row[0]], [row[0]])


@pytest.mark.parametrize("script", page.SCRIPTS, ids=["classify", "embed", "answer"])
def test_scripts(script, place, monkeypatch, report):
    monkeypatch.chdir(place)
    printed = []
    for code in (page.ours_of(script), script):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(code, {})
        printed.append(out.getvalue().splitlines())
    report.equal("lines that scripts of docs/porting.md print", *printed)


PIECES = [
    "a", "warm", "film", "films", "funny", "unfunny", "[SEP]", "[CLS]", "[MASK]", "[PAD]", "", " ", "\t",
    "é", "e\u0301", "中", "ß", "İ", "\u200d", "👩‍🚀", ",", "...", "don't", "\x00", "\ufffd",
    "x" * 150, "road " * 30,
]  # fmt: skip


def text_at_random(rng):
    return rng.choice(["", " "]).join(rng.choices(PIECES, k=rng.randint(0, 8)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(8))
def test_calls_at_random(seed, place, report):
    """Texts and arguments at random: the same values, wherever theirs are not refused."""
    rng = random.Random(seed)
    ours = minidistil.AutoTokenizer.from_pretrained(place / "classifier")
    theirs = transformers.AutoTokenizer.from_pretrained(place / "classifier")
    compared = 0
    for trial in range(60):
        many = rng.random() < 0.7
        texts = [text_at_random(rng) for _ in range(rng.randint(1, 4))]
        seconds = [text_at_random(rng) for _ in texts] if rng.random() < 0.5 else None
        words = rng.random() < 0.2
        if words:
            texts = [text.split() for text in texts]
            seconds = seconds and [text.split() for text in seconds]
        options = {
            "is_split_into_words": words,
            "padding": rng.choice([False, True, "longest", "max_length"]),
            "truncation": rng.choice([None, False, True, "longest_first", "only_first", "only_second"]),
            "max_length": rng.choice([None, 4, 5, 9, 16]),
            "add_special_tokens": rng.random() < 0.8,
            "padding_side": rng.choice([None, "left", "right"]),
            "pad_to_multiple_of": rng.choice([None, None, None, 4]),
            "return_offsets_mapping": rng.random() < 0.5,
            "return_special_tokens_mask": rng.random() < 0.5,
            "return_length": rng.random() < 0.3,
            "return_overflowing_tokens": rng.random() < 0.4,
            "stride": rng.choice([0, 0, 0, 1, 2]),
        }
        given = (texts, seconds) if many else (texts[0], seconds and seconds[0])
        about = (seed, trial, given, options)
        try:
            wanted = theirs(*given, **options)
        except BaseException as error:  # of many types, of which one is a panic
            if isinstance(error, KeyboardInterrupt):
                raise
            continue
        try:
            found = ours(*given, **options)
        except UsageError as error:
            if "room for 0 tokens" in str(error):  # theirs are longer than max_length then
                continue
            raise
        page.assert_same(page.plain(found), page.plain(wanted), about)
        for i, encoding in enumerate(wanted.encodings):
            assert found.tokens(i) == encoding.tokens, about
            assert found.word_ids(i) == encoding.word_ids, about
            assert found.sequence_ids(i) == encoding.sequence_ids, about
            for t in range(len(encoding)):
                for name in ("token_to_chars", "token_to_word", "token_to_sequence"):
                    assert getattr(found, name)(i, t) == getattr(wanted, name)(i, t), (*about, name)
            for char in range(0, 30, 3):
                for text in (0, 1)[: 1 + bool(given[1])]:
                    for name in ("char_to_token", "char_to_word"):
                        values = [getattr(one, name)(i, char, text) for one in (found, wanted)]
                        assert values[0] == values[1], (*about, name)
            for word in range(8):
                for text in (0, 1)[: 1 + bool(given[1])]:
                    tokens = wanted.word_to_tokens(i, word, text)
                    assert found.word_to_tokens(i, word, text) == tokens, about
                    if tokens is not None:
                        assert found.word_to_chars(i, word, text) == wanted.word_to_chars(i, word, text), (
                            about
                        )
        compared += 1
    report.equal("calls of a tokenizer at random", [True] * compared, [True] * compared)
    assert compared > 20
