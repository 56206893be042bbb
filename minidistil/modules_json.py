"""Files of sentence-transformers that tell where a model lies, and what its score goes through.

modules.json has the steps of an encoder of texts, and the folder of each. What else is said of vectors,
`minidistil.embeddings.directory` reads.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from minidistil.errors import ConfigError
from minidistil.files import read_json

MODULES = "modules.json"
ABOUT = "config_sentence_transformers.json"
ENCODER = "Transformer"
LONGEST = 255  # bytes of a name in the file systems of today


class Module(NamedTuple):
    """A step of `modules.json`: the last part of its type, and its folder."""

    kind: str
    folder: Path


def read_modules(directory: Path) -> list[Module]:
    """Steps of a directory; none without `modules.json`.

    Raises
    ------
    ConfigError
        Not a list of steps with types and folders inside the directory.
    """
    path = directory / MODULES
    if not path.exists():
        return []
    modules = []
    for i, module in enumerate(read_json(path, kind=list)):
        if not isinstance(module, dict) or not isinstance(module.get("type"), str):
            raise ConfigError(f'{path}: entry {i} must be an object with "type", not {module!r:.80}')
        inside, name = module.get("path", ""), module["type"]
        if not _is_inside(inside):
            raise ConfigError(
                f'{path}: "path" of entry {i} is {inside!r:.80}: a folder in {directory} is expected'
            )
        kind = name.rpartition(".")[2] if name.startswith("sentence_transformers.") else name
        modules.append(Module(kind, directory / inside))
    return modules


def _is_inside(path: object) -> bool:
    """True if a path leads to a folder below, on every system."""
    if not isinstance(path, str) or len(path.encode(errors="replace")) > LONGEST:
        return False
    parts = PurePosixPath(path).parts
    return ".." not in parts and "/" not in parts and not any(sign in path for sign in "\\:\0")


def encoder_directory(directory: Path) -> Path:
    """Directory of model and tokenizer: the one given, or the folder in it that `modules.json` names."""
    return next((module.folder for module in read_modules(directory) if module.kind == ENCODER), directory)


def cross_encoder(directory: Path) -> dict[str, Any]:
    """Activation of a CrossEncoder's score, which stands beside config.json, and in earlier ones in it.

    Raises
    ------
    ConfigError
        It is no text.
    """
    path = directory / ABOUT
    values: dict[str, Any] = read_json(path) if path.exists() else {}
    activation = values.get("activation_fn")
    if values.get("model_type") != "CrossEncoder" or activation is None:
        return {}
    if not isinstance(activation, str):
        raise ConfigError(f"{path}: activation_fn is {activation!r:.80}: text is expected")
    return {"sentence_transformers": {"activation_fn": activation}}
