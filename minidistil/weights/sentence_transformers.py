"""The directory layout of sentence-transformers: an encoder, and how its tokens become one vector.

Beside the files of the encoder there are `modules.json`, which lists the steps, and `1_Pooling/config.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from minidistil.errors import ConfigError
from minidistil.files import write_json
from minidistil.model.pooling import Pooling

MODES: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
}


class Embedding(NamedTuple):
    """How a sentence encoder makes its vector.

    Attributes
    ----------
    pooling : {"mean", "cls", "max"}
    normalize : bool
        Whether vectors have length 1.
    max_length : int or None
        Most tokens of a text, if the directory says so.
    """

    pooling: Pooling = "mean"
    normalize: bool = True
    max_length: int | None = None


def read_embedding(directory: Path) -> Embedding:
    """What a directory says of its vectors; without `modules.json` the usual: mean, length 1.

    Raises
    ------
    ConfigError
        Files that are not JSON, or steps that are not known here, such as another layer on top.
    """
    modules = _read(directory / "modules.json")
    if modules is None:
        return Embedding()
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    unknown = [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize")]
    if unknown or "Pooling" not in kinds:
        raise ConfigError(f"{directory / 'modules.json'}: steps {', '.join(kinds)} are not supported")
    place = directory / modules[kinds.index("Pooling")].get("path", "1_Pooling")
    settings = _read(place / "config.json") or {}
    modes = [key for key, value in settings.items() if key.startswith("pooling_mode_") and value is True]
    if len(modes) != 1 or modes[0] not in MODES:
        found = ", ".join(modes) or "none"
        raise ConfigError(f"{place / 'config.json'}: one of {', '.join(MODES)} is expected, not {found}")
    length = (_read(directory / "sentence_bert_config.json") or {}).get("max_seq_length")
    if length is not None and type(length) is not int:
        raise ConfigError(f"{directory / 'sentence_bert_config.json'}: max_seq_length is {length!r}")
    return Embedding(MODES[modes[0]], "Normalize" in kinds, length)


def write_embedding(directory: Path, embedding: Embedding, width: int) -> None:
    """Write what `read_embedding` reads, for vectors of `width` numbers."""
    prefix = "sentence_transformers.models"
    steps = [("", "Transformer"), ("1_Pooling", "Pooling")]
    if embedding.normalize:
        steps.append(("2_Normalize", "Normalize"))
    write_json(
        directory / "1_Pooling" / "config.json",
        {
            "word_embedding_dimension": width,
            **{key: mode == embedding.pooling for key, mode in MODES.items()},
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
    )
    if embedding.max_length is not None:
        about = {"max_seq_length": embedding.max_length, "do_lower_case": False}  # the tokenizer's business
        write_json(directory / "sentence_bert_config.json", about)
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"{prefix}.{kind}"}
        for i, (path, kind) in enumerate(steps)
    ]
    write_json(directory / "modules.json", modules)  # last: with it, the rest is there


def _read(path: Path) -> Any:
    """JSON, or None if there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
