"""Words of every kind of vocabulary, by the marks of their pieces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import text_toy
import tokenizer_toy as toy
import tokenizers
from tokenizers import models, pre_tokenizers
from window_toy import make_other, make_tokenizer

from minidistil.text.tokenizer import Tokenizer
from minidistil.text.word_marks import WordBorders, WordMarks

TEXT = "Der (schnelle) Fuchs läuft, 3,000 times; don't 你好 naïve"
WORDS = ["Der", "(", "schnelle", ")", "Fuchs", "läuft", ",", "3", ",", "000", "times", ";", "don", "'", "t",
         "你", "好", "naïve"]  # fmt: skip


def words_of(tokenizer, text):
    """Stretches of a text that begin where a token begins a word."""
    found = tokenizer.encode_spans([text])
    borders = WordBorders.of(tokenizer.marks, map(tokenizer.id_to_token, range(tokenizer.num_ids)))
    first = borders.first_pieces(found.ids)
    begins = [*sorted(set(found.spans[first, 0].tolist())), len(text)]
    return [text[a:b].strip() for a, b in pairwise(begins)]


@pytest.mark.parametrize("kind", ["trimmed", "byte-level", "unigram"])
def test_words_are_alike(kind):
    """As BERT would split the text; but for an apostrophe with a letter, which is one token of some."""
    found = words_of(make_other(kind), TEXT)
    assert found == WORDS or found == [*WORDS[:13], "'t", *WORDS[15:]]


def test_words_of_wordpiece_are_its_own():
    """A piece that has "##" goes on, any other begins."""
    tokenizer = make_tokenizer()
    assert tokenizer.marks == WordMarks("inside", "##")
    borders = WordBorders.of(tokenizer.marks, map(tokenizer.id_to_token, range(tokenizer.num_ids)))
    pieces = [tokenizer.id_to_token(i) for i in range(tokenizer.num_ids)]
    assert borders.begins.tolist() == [not piece.startswith("##") for piece in pieces]
    assert not borders.ends.any()


def test_marks_by_the_pipeline():
    assert make_other("trimmed").marks == WordMarks("bytes", "Ġ")
    assert make_other("unigram").marks == WordMarks("space", "▁")
    plain = tokenizers.Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    assert Tokenizer(plain).marks == WordMarks("none", "")
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    assert Tokenizer(plain).marks == WordMarks("none", "")
    pieces = tokenizers.Tokenizer(models.BPE({"a": 0, "@@a": 1}, [], continuing_subword_prefix="@@"))
    assert Tokenizer(pieces).marks.read("@@a") == ("a", False)


def test_bytes_are_shown_as_characters():
    tokenizer = make_other("byte-level")
    assert tokenizer.marks.shown("ĠnaÃ¯ve") == "Ġnaïve"
    assert tokenizer.marks.read("ĠnaÃ¯ve") == ("naïve", True)
    assert tokenizer.shown_token(tokenizer.token_to_id("Ġthe")) == "Ġthe"
    half = tokenizer.token_to_id("Ã")
    assert tokenizer.shown_token(half) == "Ã"
    assert tokenizer.marks.read("Ã") == ("\ufffd", False)
    assert tokenizer.shown_token(10**6) == "?"
    assert make_other("unigram").shown_token(10) == make_other("unigram").id_to_token(10)


def test_parts_of_a_character_stay_together():
    """An emoji is four tokens here, and a word."""
    tokenizer = make_other("trimmed")
    ids = tokenizer.encode_flat(["a 😀"])[0]
    assert len(ids) > 3
    borders = WordBorders.of(tokenizer.marks, map(tokenizer.id_to_token, range(tokenizer.num_ids)))
    assert np.flatnonzero(borders.first_pieces(ids)).tolist() == [0, 1]


@pytest.mark.parametrize("kind", ["trimmed", "unigram"])
def test_masks_over_whole_words(kind):
    from minidistil.text.corpus.chunks import chunk
    from minidistil.text.masking import MaskedDataset, Masking

    tokenizer = make_other(kind)
    documents = [tokenizer.encode_flat([text])[0].tolist() for text in toy.SENTENCES[:6]]
    sequences = chunk(text_toy.corpus_of(tokenizer, documents), tokenizer, shortest=3, unknown=2.0).train
    masking = Masking(share=0.4, masked=1.0, kept=0.0, whole_words=True, over="sequence")
    data = MaskedDataset.create(sequences, tokenizer, masking, seed=3)
    several = 0
    for epoch in range(4):
        batch = data.for_epoch(epoch).batch(np.arange(len(data)))
        ids = sequences.batch(np.arange(len(data))).input_ids
        drawn = batch.targets["labels"] >= 0
        assert drawn.any()
        assert not drawn[np.isin(ids, list(tokenizer.special_ids))].any()
        assert (batch.input_ids[drawn] == tokenizer.mask_token_id).all()
        word = np.cumsum(data.borders.first_pieces(ids))
        for w in np.unique(word[drawn]):
            assert drawn[word == w].all()
            several += (word == w).sum() > 1
    assert several > 5


@pytest.mark.parametrize("kind", ["trimmed", "unigram"])
def test_words_that_may_be_replaced(kind):
    """Letters behind a space that are a word by themselves, and no piece of one."""
    from minidistil.text.dataset import Dataset
    from minidistil.text.word_replacement import word_ids, word_tokens

    tokenizer = make_other(kind)
    words = word_ids(tokenizer, tokenizer.num_ids)
    mark = tokenizer.marks.mark
    assert all(tokenizer.id_to_token(i).startswith(mark) for i in np.flatnonzero(words))
    assert not words[tokenizer.token_to_id(mark)]
    text = "so is the capital, is thex one2 dogs."
    data = Dataset.from_texts(tokenizer, [text])
    alone = word_tokens(data, words, tokenizer)
    (encoding,) = tokenizer.encode([text]).raw
    spans = [encoding.offsets[i] for i in np.flatnonzero(alone)]
    found = [text[a:b].strip() for a, b in spans]
    assert "the" in found
    assert "capital" in found
    assert found.count("is") == 2
    assert found.count("the") == 1  # of "thex" it is a piece
    assert not {"one", "thex", "so"} & set(found) or kind == "unigram"
