"""A model and its tokenizer, ready to answer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from minidistil.model import load_to_answer
from minidistil.model.model import Model
from minidistil.text.tokenizer import Tokenizer
from minidistil.weights.hub import resolve


def load(
    path_or_id: str | Path,
    head: str | None = None,
    *,
    tokenizer: Tokenizer | str | Path | None = None,
    **options: Any,
) -> tuple[Model, Tokenizer]:
    """A model ready to predict, see `load_to_answer`, and its tokenizer: by default its directory's."""
    path = resolve(path_or_id, revision=options.pop("revision", None))
    model = load_to_answer(path, head, **options)
    return model, tokenizer_of(path if tokenizer is None else tokenizer)


def tokenizer_of(given: Tokenizer | str | Path) -> Tokenizer:
    """A tokenizer, or that of a directory or hub id."""
    return Tokenizer.from_pretrained(given) if isinstance(given, (str, os.PathLike)) else given
