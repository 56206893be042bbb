"""Tokenizers of a few pieces, and texts on which characters and tokens do not keep step."""

import tempfile
from functools import cache
from pathlib import Path

import tokenizer_toy
from hypothesis import strategies as st

from minidistil.text.tokenizer import Tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [*"abcdefi", "ab", "cde", "é", "\u0307", "\u0301", "ss", "ß", "א", "ب"]
VOCABULARY = [*SPECIAL, *PIECES, *(f"##{piece}" for piece in PIECES), *"中国!,.-"]

SETTINGS = [  # lower case and no accents; lower case with them; as it is
    '{"do_lower_case": true}',
    '{"do_lower_case": true, "strip_accents": false}',
    '{"do_lower_case": false}',
]


@cache
def make_tokenizer(settings: str = SETTINGS[0]) -> Tokenizer:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
        (directory / "tokenizer_config.json").write_text(settings)
        return Tokenizer.from_pretrained(directory)


@cache
def make_other(kind) -> Tokenizer:
    """RoBERTa's, with the space before a word among its characters, or XLM-R's, of the toy's sentences."""
    rust = tokenizer_toy.unigram() if kind == "unigram" else tokenizer_toy.byte_level(trim=kind == "trimmed")
    return Tokenizer(rust, token_type_ids=False)


tokenizers = st.sampled_from(SETTINGS).map(make_tokenizer)
others = st.sampled_from(["trimmed", "byte-level", "unigram"]).map(make_other)

fragments = st.sampled_from(
    [
        *[" ", " ", "a", "b", "cde", "AB", "abcdef", "Fi", ".", ",", "-", "\n\t"],
        *["é", "É", "e\u0301", "a\u0323\u0307", " \u0301", "İ", "ß", "ﬁ", "ǆ", "Å"],  # change their length
        *["中", "中国", "국", "각", "אב", "بَ", "\u202e", "\u200f", "\u0591"],
        *["\u200b", "\u200d", "\ufeff", "\x00", "\x85", "\ufffd", "\u3000"],  # dropped, or a space
        *["👩\u200d👩\u200d👧", "🏽", "❤\ufe0f", "𝒜", "a" * 101, "xyz"],
    ]
)
characters = fragments | st.characters(exclude_categories=["Cs"])
words = st.sampled_from(["a ", "b ", "cde ", "abc ", "abcdef", "É ", "e\u0301 "])
# Hypothesis likes short lists; texts of several windows must be asked for.
texts = (
    st.lists(characters, max_size=12)
    | st.lists(characters, min_size=15, max_size=40)
    | st.lists(words, min_size=12, max_size=30)
).map("".join)
