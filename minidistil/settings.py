"""Settings of a run: a recipe in one TOML file, checked key by key.

A recipe is a dataclass of dataclasses, a table of the file for each. Its values come, the later over the
earlier, from the defaults, a recipe shipped with the package, a file of the user's, and single changes such
as `train.lr=3e-5`. A key that does not exist is an error, with a suggestion; so is a value of another kind.
A resolved recipe can be written as TOML again (`dump`), and reads as the same recipe.

TOML has no word for None: "none" stands for it where a setting may be left out. Where any word may be meant,
as the name of a column or of a label (`ANY_TEXT`), "none" is that word, and None is said by leaving it out.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import tomllib
import types
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from minidistil.errors import ConfigError
from minidistil.files import read_text

T = TypeVar("T")
NOTHING = "none"
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
RECIPES = resources.files("minidistil").joinpath("jobs", "recipes")
NOT_TOML = (ValueError, RecursionError)  # a number of 5,000 digits is a ValueError, deep nesting the other
ANY_TEXT = {"any_text": True}  # metadata of a field that is None, or any word that the user has, "none" too


def shipped() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(file.name[:-5] for file in RECIPES.iterdir() if file.name.endswith(".toml"))


def load_recipe(
    schema: type[T], name: str | None = None, *, file: str | Path | None = None, changes: Sequence[str] = ()
) -> T:
    """Resolve a recipe.

    Parameters
    ----------
    schema : dataclass
        All settings, with defaults.
    name : str, optional
        A shipped recipe, see `shipped`.
    file : path, optional
        A TOML file of the user's.
    changes : sequence of str
        `table.key=value` each, the value as TOML writes it; words need no quotes.

    Raises
    ------
    ConfigError
        No such recipe, file or key; not TOML; a value of the wrong kind. The message names where.
    """
    values = to_dict(schema())  # so that one entry of a table of terms can be changed, and the others stay
    if name is not None:
        if name not in shipped():
            have = shipped()
            near = difflib.get_close_matches(name, have, 1, 0.5)
            raise ConfigError(
                f"there is no recipe {name!r}"
                + (f" (did you mean {near[0]}?)" if near else f"; there are: {', '.join(have)}")
            )
        text = RECIPES.joinpath(f"{name}.toml").read_text(encoding="utf-8")
        _merge(values, _parse(text, f"recipe {name}"))
    if file is not None:
        given = _parse(read_text(file), str(file))
        build(schema, given, str(file))  # so that a mistake is blamed on the file
        _merge(values, given)
    for change in changes:
        path, equals, value = change.partition("=")
        if not equals or not path.strip():
            raise ConfigError(f"{change!r} should look like table.key=value")
        tree: Any = _value(value.strip())
        for key in reversed(path.strip().split(".")):
            tree = {key: tree}
        _merge(values, tree)
    return build(schema, values, "")


def to_dict(recipe: Any) -> dict[str, Any]:
    """A recipe as plain tables, without settings that are None."""
    return {name: plain for name, value in _entries(recipe).items() if (plain := _plain(value)) is not None}


def changes(recipe: Any) -> list[str]:
    """Settings of a recipe that differ from the defaults, as `load_recipe` takes them."""
    ours, usual = flat(recipe), flat(type(recipe)())
    return [
        f"{key}={literal(value)}" for key, value in ours.items() if key not in usual or usual[key] != value
    ]


def flat(table: Any, path: str = "") -> dict[str, Any]:
    """All settings of a recipe by their full names: {"train.lr": 5e-05}."""
    found: dict[str, Any] = {}
    for key, value in _entries(table).items():
        name = f"{path}.{key}" if path else str(key)
        found |= flat(value, name) if _is_table(value) else {name: value}
    return found


class Comment(NamedTuple):
    """Lines above a setting in TOML, and the value that stands there, commented out, where it is left out."""

    lines: Sequence[str]
    value: Any = None


def dump(recipe: Any, comments: Mapping[str, Comment] | None = None, without: Collection[str] = ()) -> str:
    """A recipe, or tables, as TOML.

    Parameters
    ----------
    recipe : dataclass or mapping
    comments : mapping of str to Comment, optional
        By the full name of a setting, or of a table.
    without : collection of str
        Full names of settings that are not written.
    """
    lines: list[str] = []
    _dump_table(recipe, "", lines, comments or {}, without)
    return "\n".join(lines).strip() + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or dataclasses.is_dataclass(value)


def _entries(table: Any) -> dict[str, Any]:
    """Fields of a dataclass, or entries of a mapping, by name."""
    if isinstance(table, Mapping):
        return dict(table)
    return {field.name: getattr(table, field.name) for field in dataclasses.fields(table)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _dump_table(
    table: Any, path: str, lines: list[str], comments: Mapping[str, Comment], without: Collection[str]
) -> None:
    """Write keys first, then the tables inside, as TOML wants it."""
    start = f"{path}." if path else ""
    entries = {key: value for key, value in _entries(table).items() if f"{start}{key}" not in without}
    absent = [name.removeprefix(start) for name in comments if name.startswith(start) and name not in without]
    names = list(dict.fromkeys([*entries, *(name for name in absent if name and "." not in name)]))
    for field in dataclasses.fields(table) if dataclasses.is_dataclass(table) else ():
        if field.metadata.get("any_text") and entries.get(field.name, "") is None:
            del entries[field.name]
    inner = {key: value for key, value in entries.items() if _is_table(value)}
    if path and (len(inner) < len(names) or not names):
        lines += ["", f"[{'.'.join(map(_key, path.split('.')))}]"]
        lines += [f"# {line}" for line in comments[path].lines] if path in comments else []
    for key in names:
        said = comments.get(f"{start}{key}")
        if key in inner:
            continue
        lines += ["", *(f"# {line}" for line in said.lines)] if said else []
        if key in entries:
            lines.append(f"{_key(key)} = {literal(entries[key])}")
        elif said:
            lines.append(f"# {_key(key)} = {literal(said.value)}")
    for key, value in inner.items():
        _dump_table(value, f"{start}{key}", lines, comments, without)


def _key(name: str) -> str:
    """A key as TOML has it; a name of a label may hold anything."""
    return name if BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def literal(value: Any) -> str:
    """A setting as TOML has it."""
    if value is None:
        return json.dumps(NOTHING)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    if isinstance(value, float):
        return repr(value)  # inf and nan are words of TOML too
    return json.dumps(value, ensure_ascii=False)


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except NOT_TOML as error:
        raise ConfigError(f"{where} is not TOML: {error}") from error


def _value(text: str) -> Any:
    """A value of TOML, else a word."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except NOT_TOML:
        return text


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def build(schema: type[T], values: Any, where: str, path: str = "") -> T:
    """A dataclass from a table. `where` and `path` are for messages."""
    blame = f"{where}: " if where else ""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{blame}{path} is {values!r}: expected a table")
    hints = get_type_hints(schema)
    fields = {field.name: field for field in dataclasses.fields(schema)}  # type: ignore[arg-type]
    given = {}
    for key, value in values.items():
        full = f"{path}.{key}" if path else key
        if key not in fields:
            raise ConfigError(f"{blame}there is no setting {full}{_elsewhere(key, schema, path)}")
        hint = hints[key]
        if fields[key].metadata.get("any_text") and value is not None:
            hint = Union[tuple(kind for kind in get_args(hint) if kind is not type(None))]  # noqa: UP007
        given[key] = _convert(hint, value, where, full)
    return schema(**given)


def _elsewhere(key: str, schema: Any, path: str) -> str:
    """Hint for an unknown key: its right table, its name here, a name like it, or all there are."""
    names = [field.name for field in dataclasses.fields(schema)]
    hints = get_type_hints(schema)
    tables = {name: hints[name] for name in names if dataclasses.is_dataclass(hints[name])}
    near = [
        f"{name}.{inner.name}"
        for name, table in tables.items()
        for inner in dataclasses.fields(table)
        if inner.name == _called_here(key, table)
    ]
    near += [_called_here(key, schema)] if _called_here(key, schema) in names else []
    near += difflib.get_close_matches(key, names, 1, 0.5)
    start = f"{path}." if path else ""
    return f" (did you mean {start}{near[0]}?)" if near else f"; there are: {', '.join(names)}"


def _called_here(key: str, schema: Any) -> str:
    """Name of a setting whose name in another program a dataclass knows (`elsewhere`)."""
    known: Mapping[str, str] = getattr(schema, "elsewhere", {})
    return known.get(key, key)


def _convert(hint: Any, value: Any, where: str, path: str) -> Any:
    """`value` as the type of its field; a ConfigError if it is of another kind."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if type(None) in arguments and value in (None, NOTHING):
            return None
        for kind in sorted(arguments, key=lambda kind: kind is float):  # 100 steps are not 100.0
            if kind is not type(None):
                try:
                    return _convert(kind, value, where, path)
                except ConfigError:
                    continue
    elif hint is Any:
        return value
    elif dataclasses.is_dataclass(hint):
        return build(hint, value, where, path)  # type: ignore[arg-type]
    elif origin is Literal:
        if value in arguments:
            return value
    elif origin is tuple:
        if isinstance(value, (list, tuple)):
            kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
            if len(kinds) == len(value):
                return tuple(
                    _convert(kind, item, where, path) for kind, item in zip(kinds, value, strict=True)
                )
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        if isinstance(value, Mapping):
            return {str(k): _convert(arguments[1], item, where, f"{path}.{k}") for k, item in value.items()}
    elif hint is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            with suppress(OverflowError):  # a whole number beyond all of them
                return float(value)
    elif isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    blame = f"{where}: " if where else ""
    raise ConfigError(f"{blame}{path} is {value!r}: expected {_named(hint)}")


def _named(hint: Any) -> str:
    """Types of a field, in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        kinds = [f'"{NOTHING}"' if a is type(None) else _named(a) for a in arguments]
        return " or ".join(kinds)
    if origin is Literal:
        return " or ".join(repr(a) for a in arguments)
    if origin is tuple:
        return f"a list of {_named(arguments[0])}"
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return words.get(hint, "a table")


def check_setting(good: bool, name: str, value: object, expected: str) -> None:
    """Raise a ConfigError for a setting with a value that it does not take."""
    if not good:
        raise ConfigError(f"{name} is {value!r}: expected {expected}")
