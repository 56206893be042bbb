"""Numbers in a tokenizer.json that no model has: they would overflow, or a short text would take for ever."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Regex, normalizers

from minidistil.errors import ConfigError
from minidistil.text.added_tokens import MOST_IDS

LONGEST_WORD = 1000  # letters; the time that a word takes grows with their cube, here a fifth of a second
GROWTH = 100  # times that replacements may lengthen a text
ID = "expected a number from 0 below 2^24"


def check_limits(path: Path, state: Mapping[str, Any]) -> None:
    """Raise a ConfigError for an invalid id or token type, and for settings of excessive cost.

    Parameters
    ----------
    path : Path
        For messages.
    state : mapping
        Contents of tokenizer.json.
    """
    model = state.get("model")
    if isinstance(model, dict):
        vocab, longest = model.get("vocab"), model.get("max_input_chars_per_word")
        for token, i in vocab.items() if isinstance(vocab, dict) else ():
            if type(i) is not int or not 0 <= i < MOST_IDS:
                raise ConfigError(f"{path}: the id of {token!r:.80} is {i!r:.80}: {ID}")
        if isinstance(longest, (int, float)) and longest > LONGEST_WORD:
            raise ConfigError(
                f"{path}: max_input_chars_per_word is {longest!r:.80}: expected {LONGEST_WORD} at most"
            )
    rest: list[Any] = [state.get("added_tokens"), state.get("post_processor")]
    while rest:
        part = rest.pop()
        if isinstance(part, (dict, list)):
            rest += part.values() if isinstance(part, dict) else part
        elif type(part) is int and not 0 <= part < MOST_IDS:
            raise ConfigError(f"{path}: {part} is no id of a token or of a type: {ID}")


def check_growth(path: Path, normalizer: Any) -> None:
    """Raise a ConfigError for replacements that make texts more than a hundred times longer.

    They are tried, one after the other, on the letters and on whatever they replace themselves.

    Parameters
    ----------
    path : Path
        For messages.
    normalizer : object
        Its description in a tokenizer.json that the Rust library has read.
    """
    steps = list(_replacements(normalizer))
    text = string.printable + "".join(str(pattern.get("String", "")) for pattern, _ in steps)
    most = GROWTH * len(text)
    for pattern, content in steps:
        kind = Regex(pattern["Regex"]) if "Regex" in pattern else pattern["String"]
        text = normalizers.Replace(kind, content).normalize_str(text)
        if len(text) > most:
            raise ConfigError(
                f"{path}: its normalizer replaces {pattern} by {content!r:.80}, and so makes texts more than "
                f"{GROWTH} times longer"
            )


def _replacements(normalizer: Any) -> Iterator[tuple[dict[str, str], str]]:
    """Patterns and what they are replaced by, in order."""
    if isinstance(normalizer, dict):
        if normalizer.get("type") == "Replace":
            yield normalizer["pattern"], normalizer["content"]
        for part in normalizer.get("normalizers") or ():
            yield from _replacements(part)
