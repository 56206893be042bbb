"""Content of the model directories that a run is made from, wherever they lie and whatever their names."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from minidistil.config import load_config
from minidistil.distill.vocabulary import saved_tokenizer
from minidistil.weights.checkpoint import open_checkpoint
from minidistil.weights.safetensors_file import STORED

VOLATILE = ("transformers_version", "_name_or_path", "dtype", "torch_dtype")  # of config.json: say nothing


def content(directory: Path) -> dict[str, str | None]:
    """SHA-256 of what a model's directory says: its weights, its config, its tokenizer.

    Files that are written otherwise, such as shards, or a model saved again, are the same content.
    """
    stats = ((path.name, path.stat()) for path in sorted(directory.glob("*")) if path.is_file())
    state = tuple((name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in stats)
    return dict(_content(directory, state))


@lru_cache(maxsize=8)  # the tasks of GLUE and several seeds begin from one model
def _content(directory: Path, state: object) -> dict[str, str | None]:
    """As `content`; `state` tells that the files are still those that were read."""
    config = {k: v for k, v in load_config(directory).to_dict().items() if k not in VOLATILE}
    text = json.dumps(config, sort_keys=True, ensure_ascii=False)
    tokenizer = saved_tokenizer(directory)
    return {
        "weights": _weights(directory),
        "config": hashlib.sha256(text.encode()).hexdigest(),
        "tokenizer": None if tokenizer is None else tokenizer.content_hash(),
    }


def _weights(directory: Path) -> str:
    """SHA-256 over the tensors by name."""
    checkpoint, digest = open_checkpoint(directory), hashlib.sha256()
    for name in sorted(checkpoint):
        readable = checkpoint.dtype_of(name) in STORED  # others are of no use here, but part of the file
        values = checkpoint[name] if readable else checkpoint.raw(name)
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(values.tobytes() if values.ndim == 0 else values.data)
    return digest.hexdigest()
