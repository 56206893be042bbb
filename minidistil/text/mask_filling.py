"""Writing words where a text has masks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from minidistil.text.tokenizer import Tokenizer
from minidistil.text.word_marks import in_word

MASK = "[MASK]"  # BERT's; understood whatever a tokenizer's own mask is called

Span = tuple[int, int]


def find_masks(tokenizer: Tokenizer, text: str) -> tuple[list[Span], str]:
    """Find the masks of a text, and put the tokenizer's own mask token in their place.

    Returns
    -------
    spans : list of (int, int)
        Characters of each in `text`, from and up to.
    """
    own = tokenizer.special_tokens["mask_token"]
    either = re.compile("|".join(map(re.escape, dict.fromkeys((own, MASK)))))
    return [match.span() for match in either.finditer(text)], either.sub(lambda _: own, text)


def fill(tokenizer: Tokenizer, text: str, spans: Sequence[Span], tokens: Sequence[str]) -> str:
    """A text with words in the place of some of its masks; all else stays as it was written.

    A piece such as "##ing" joins the word before it. A word gets a space where it would otherwise grow
    together with what stands next to it, since to the model it was a word by itself. Where tokens carry the
    space before them, one with a space gets it, and one without joins what stands before.
    """
    out, done = "", 0
    for (start, end), token in zip(spans, tokens, strict=True):
        out = _joined(tokenizer, out, text[done:start])
        piece = tokenizer.marks.read(token)
        if not piece.begins and (piece.text or tokenizer.marks.at_spaces):
            out = out.rstrip() + piece.text
        elif tokenizer.marks.at_spaces:
            out += " " * bool(out and not out[-1].isspace()) + piece.text
        else:
            out = _joined(tokenizer, out, token)
        done = end
    return _joined(tokenizer, out, text[done:])


def _joined(tokenizer: Tokenizer, left: str, right: str) -> str:
    if tokenizer.marks.kind == "bytes":  # what follows a mask without a space goes on with it
        return left + right
    if tokenizer.marks.kind == "space":  # it is read as if a space were there
        return left + " " * (in_word(left[-1:] or " ") and in_word(right[:1] or " ")) + right
    one, other = _first_read(tokenizer, reversed(left)), _first_read(tokenizer, right)
    return f"{left} {right}" if _grow_together(tokenizer, one, other) else left + right


def _first_read(tokenizer: Tokenizer, text: Iterable[str]) -> str:
    """The first character that a tokenizer does not drop, as it does with accents and invisible ones."""
    return next((c for c in text if c.isspace() or len(tokenizer.encode_flat([c])[0])), "")


def _grow_together(tokenizer: Tokenizer, left: str, right: str) -> bool:
    """True if two characters that stand side by side are of one word; letters are, ideographs are not."""
    if not (left.strip() and right.strip()):
        return False
    words = tokenizer.encode_spans([left + right])
    before = set(words.word_ids[words.spans[:, 0] == 0].tolist())
    after = set(words.word_ids[words.spans[:, 1] == 2].tolist())
    return bool(before & after)
