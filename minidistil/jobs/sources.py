"""Inputs of a run: hashes of their content, wherever the files lie, and their names and licences."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from minidistil.distill.vocabulary import saved_tokenizer
from minidistil.errors import DataError
from minidistil.files import read_json, read_text
from minidistil.model.families import load_config
from minidistil.weights.checkpoint import open_checkpoint
from minidistil.weights.encoders import MINILM
from minidistil.weights.hub import resolve
from minidistil.weights.safetensors_file import STORED

VOLATILE = ("transformers_version", "_name_or_path", "dtype", "torch_dtype")  # of config.json: say nothing


def json_hash(value: Any) -> str:
    """SHA-256 of a value as JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def examples_hash(examples: Any) -> str:
    """SHA-256 of examples, wherever their file is and whatever it calls its columns."""
    about = ("path", "columns", "ids", "rows")
    return json_hash({k: v for k, v in asdict(examples).items() if k not in about})


def learnt_from(model: str, examples: Any) -> str | None:
    """Sentence for examples that a fine-tuned model, a directory, learnt from; None for others."""
    path = Path(model) / "run.json"
    if not (path.is_file() and is_dataclass(examples)):
        return None
    run, found = read_json(path), examples_hash(examples)
    if found == run.get("train"):
        return f"{model} learnt from these very examples: the numbers do not tell how it does on others"
    if found == run.get("split"):
        return (
            f"{model} learnt from most of these examples; {path.with_name('report.json')} has the numbers on "
            "those that were kept to measure by"
        )
    return None


def content(source: str) -> dict[str, str | None]:
    """SHA-256 of the content of a model, a directory or hub id: weights, config and tokenizer.

    Files that are written otherwise, such as shards, or a model saved again, are the same content.
    """
    directory = resolve(source)
    stats = ((path.name, path.stat()) for path in sorted(directory.glob("*")) if path.is_file())
    state = tuple((name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in stats)
    return dict(_content(directory, state))


@lru_cache(maxsize=8)  # the tasks of GLUE and several seeds begin from one model
def _content(directory: Path, state: object) -> dict[str, str | None]:
    """As `content`; `state` tells that the files are still those that were read."""
    config = {k: v for k, v in load_config(directory).to_dict().items() if k not in VOLATILE}
    tokenizer = saved_tokenizer(directory)
    return {
        "weights": _weights(directory),
        "config": json_hash(config),
        "tokenizer": None if tokenizer is None else tokenizer.content_hash(),
    }


def _weights(directory: Path) -> str:
    """SHA-256 over the tensors by name."""
    checkpoint, digest = open_checkpoint(directory), hashlib.sha256()
    for name in sorted(checkpoint):
        tensor = checkpoint.tensors[name]
        # Those that cannot be read are of no use here, but part of the file.
        values = tensor.read() if tensor.dtype in STORED else tensor.raw()
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(values.tobytes() if values.ndim == 0 else values.data)
    return digest.hexdigest()


class Origin(NamedTuple):
    """Known facts about a model that another was made from."""

    name: str
    base_model: str | None = None
    license: str | None = None


def origin(source: str) -> Origin:
    """Facts on the card of a model: a directory, the name of an encoder, or a hub id."""
    found = resolve(source)
    try:
        card = read_text(found / "README.md", DataError)
    except DataError:
        card = ""
    front = card.split("\n---", 1)[0] if card.startswith("---") else ""
    named, base = _front(front, "license"), _front(front, "base_model")
    if found.resolve().name == MINILM.directory:
        return Origin(MINILM.name, f"sentence-transformers/{MINILM.name}", named)
    if not Path(source).exists():
        return Origin(source.rpartition("/")[2], source, named)
    path = Path(source).resolve()
    return Origin(path.parent.name if path.name == "model" else path.name, base, named)


def _front(front: str, key: str) -> str | None:
    """The value of a key in a card's front matter, of several the first."""
    found = re.search(rf"^{key}:[ \t]*(?:\n[ \t]*-)?[ \t]*([^\n]+)$", front, re.MULTILINE)
    return None if found is None else found[1].strip().strip("[]\"'") or None
