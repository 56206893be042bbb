"""Words in the place of masks: nothing else of a text changes, and what was read as a word stays one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from window_toy import make_other

from minidistil.text.mask_filling import fill, find_masks
from minidistil.text.tokenizer import Tokenizer

WORDS = [
    "the",
    "play",
    "cat",
    "s",
    "is",
    ".",
    "(",
    ")",
    '"',
    "un",
    "new",
    "york",
    "我",
    "爱",
    "é",
    "##ing",
    "##s",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    here = tmp_path_factory.mktemp("vocabulary")
    (here / "vocab.txt").write_text("\n".join([*SPECIAL, *WORDS]) + "\n", encoding="utf-8")
    (here / "tokenizer_config.json").write_text(json.dumps({"strip_accents": False}))
    return Tokenizer.from_pretrained(here)


@pytest.mark.parametrize(
    ("text", "tokens", "filled"),
    [
        ("The  [MASK] is.", ["cat"], "The  cat is."),
        ("play [MASK].", ["##ing"], "playing."),
        ("play[MASK].", ["##ing"], "playing."),
        ("play\n[MASK].", ["##s"], "plays."),
        ("play[MASK].", ["cat"], "play cat."),
        ("play\u200b[MASK].", ["cat"], "play\u200b cat."),
        ("[MASK]\u200bplay.", ["cat"], "cat \u200bplay."),
        (".\u200b[MASK].", ["cat"], ".\u200bcat."),
        ("[MASK]s", ["cat"], "cat s"),
        ("([MASK])", ["cat"], "(cat)"),
        ("“[MASK]”", ["cat"], "“cat”"),
        ("[MASK]", ["##ing"], "ing"),
        ("[MASK][MASK] é", ["new", "york"], "new york é"),
        ("[MASK] [MASK]", ["play", "##ing"], "playing"),
        ("我[MASK]我", ["爱"], "我爱我"),
        ("é[MASK]", ["é"], "é é"),
        ("[MASK]## cat", ["play"], "play## cat"),
        ("[MASK]", ["##"], "##"),
    ],
)
def test_what_is_written(tokenizer, text, tokens, filled):
    spans, marked = find_masks(tokenizer, text)
    assert marked == text
    assert all(text[a:b] == "[MASK]" for a, b in spans)
    assert fill(tokenizer, text, spans, tokens) == filled


def test_some_of_the_masks(tokenizer):
    text = "[MASK] of [MASK]"
    spans, _ = find_masks(tokenizer, text)
    assert fill(tokenizer, text, spans[1:], ["york"]) == "[MASK] of york"
    assert fill(tokenizer, text, [], []) == text


@given(
    st.lists(st.sampled_from(["[MASK]", "play", "cat", "é", " ", "  ", ".", "(", "我", "s"]), max_size=9),
    st.data(),
)
def test_the_model_read_these_very_tokens(tokenizer, parts, data):
    """Tokenised again, the filled text gives the tokens that the words were guessed among."""
    text = "".join(parts)
    spans, _ = find_masks(tokenizer, text)
    words = data.draw(
        st.lists(st.sampled_from(["cat", "new", "我", "."]), min_size=len(spans), max_size=len(spans))
    )
    ids = tokenizer.encode_flat([text])[0].tolist()
    at = [i for i, token in enumerate(ids) if token == tokenizer.mask_token_id]
    for i, word in zip(at, words, strict=True):
        ids[i] = tokenizer.token_to_id(word)
    assert tokenizer.encode_flat([fill(tokenizer, text, spans, words)])[0].tolist() == ids


def test_another_mask_token(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "<mask>", "cat"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"mask_token": "<mask>"}))
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    text = "a [MASK] and <mask>."
    spans, marked = find_masks(tokenizer, text)
    assert marked == "a <mask> and <mask>."
    assert [text[a:b] for a, b in spans] == ["[MASK]", "<mask>"]
    assert fill(tokenizer, text, spans, ["cat", "cat"]) == "a cat and cat."


@pytest.mark.parametrize(
    ("text", "tokens", "filled"),
    [
        ("the <mask> of France", ["Ġcapital"], "the capital of France"),
        ("(<mask>)", ["Ġcapital"], "( capital)"),  # the token has a space of its own
        ("(<mask>)", ["capital"], "(capital)"),
        ("the film <mask> here", ["s"], "the films here"),
        ("the<mask>, <mask>", [",", "Ġyes"], "the,, yes"),
        ("<mask> is", ["Paris"], "Paris is"),
        ("<mask>s", ["Ġfilm"], "films"),
        ("a <mask>", ["ĠnaÃ¯ve"], "a naïve"),
    ],
)
def test_tokens_of_byte_level_bpe(text, tokens, filled):
    tokenizer = make_other("trimmed")
    assert fill(tokenizer, text, find_masks(tokenizer, text)[0], tokens) == filled


@pytest.mark.parametrize(
    ("text", "tokens", "filled"),
    [
        ("the <mask> of France.", ["▁capital"], "the capital of France."),
        ("the film <mask> here", ["s"], "the films here"),
        ("the <mask>.", ["▁film"], "the film."),
        ("<mask>s", ["▁film"], "film s"),  # it was read as a word of its own
        ("[MASK] <mask>", ["▁a", "▁b"], "a b"),
    ],
)
def test_tokens_of_unigram(text, tokens, filled):
    tokenizer = make_other("unigram")
    assert fill(tokenizer, text, find_masks(tokenizer, text)[0], tokens) == filled
