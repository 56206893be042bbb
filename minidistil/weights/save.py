"""Saving a model as a directory that transformers, and everything built on it, can read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from minidistil.config import ModelConfig
from minidistil.files import atomic_directory
from minidistil.weights.checkpoint import SINGLE
from minidistil.weights.safetensors_file import write_safetensors


def save_directory(
    path: str | Path,
    *,
    config: ModelConfig,
    tensors: Mapping[str, npt.NDArray[Any]],
    tokenizer_files: Mapping[str, bytes] | None = None,
    card: str | None = None,
) -> None:
    """Write config.json, model.safetensors, the tokenizer's files and README.md, as `atomic_directory` does.

    Parameters
    ----------
    path : str or Path
        The directory. Other files that are already there stay.
    config : ModelConfig
    tensors : mapping of str to array
        Under the names transformers uses. Leave tied copies out: transformers ties them again.
    tokenizer_files : mapping of str to bytes, optional
        {"tokenizer.json": ..., "vocab.txt": ...}
    card : str, optional
        The text of README.md; see `minidistil.weights.card`.

    Raises
    ------
    StorageError
        The disk is full or the place cannot be written; what was there is untouched.
    """
    with atomic_directory(path) as staging:
        config.save(staging / "config.json")
        write_safetensors(staging / SINGLE, tensors)
        for name, content in (tokenizer_files or {}).items():
            (staging / name).write_bytes(content)
        if card is not None:
            (staging / "README.md").write_text(card, encoding="utf-8")
