"""modules.json of sentence-transformers: the modules of an encoder, and the folder of each.

`minidistil.embeddings.directory` reads the rest of such a directory.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from minidistil.errors import ConfigError
from minidistil.files import read_json

MODULES = "modules.json"
ABOUT = "config_sentence_transformers.json"
ENCODER = "Transformer"
LONGEST = 255  # bytes of a name in a file system
KINDS = {bool: "true or false", int: "a whole number", str: "text", dict: "an object"}


class Module(NamedTuple):
    """Entry of modules.json: the last part of its type, and its folder."""

    kind: str
    folder: Path


def read_modules(directory: Path) -> list[Module]:
    """Read the modules of a directory; none without modules.json.

    Raises
    ------
    ConfigError
        Not a list of types and folders inside the directory.
    """
    path = directory / MODULES
    if not path.exists():
        return []
    modules = []
    for i, module in enumerate(read_json(path, kind=list)):
        if not isinstance(module, dict) or not isinstance(module.get("type"), str):
            raise ConfigError(f'{path}: entry {i} must be an object with "type", not {module!r:.80}')
        folder, name = module.get("path", ""), module["type"]
        if not _is_inside(folder):
            raise ConfigError(
                f'{path}: "path" of entry {i} is {folder!r:.80}: a folder in {directory} is expected'
            )
        kind = name.rpartition(".")[2] if name.startswith("sentence_transformers.") else name
        modules.append(Module(kind, directory / folder))
    return modules


def _is_inside(path: object) -> bool:
    """Check that a path leads to a folder below, on every system."""
    if not isinstance(path, str) or len(path.encode(errors="replace")) > LONGEST:
        return False
    parts = PurePosixPath(path).parts
    return ".." not in parts and "/" not in parts and not any(sign in path for sign in "\\:\0")


def encoder_directory(directory: Path) -> Path:
    """Directory of model and tokenizer: this one, or the folder in it that modules.json names."""
    return next((module.folder for module in read_modules(directory) if module.kind == ENCODER), directory)


def cross_encoder(directory: Path) -> dict[str, Any]:
    """Read the activation of a CrossEncoder's score, which stands beside config.json, or earlier in it.

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
    return {"sentence_transformers": {"activation_fn": json_field(values, "activation_fn", str, None, path)}}


def json_field(values: dict[str, Any], key: str, kind: type, default: Any, path: Path) -> Any:
    """Field of a JSON object; the default where it is missing or null.

    Raises
    ------
    ConfigError
        A value of another kind; file and key are named.
    """
    value = values.get(key)
    if value is None:
        return default
    if type(value) is not kind:  # type() and not isinstance(): true would pass for 1
        raise ConfigError(f"{path}: {key} is {value!r:.80}: {KINDS[kind]} is expected")
    return value
