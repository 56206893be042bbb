"""Documentation of settings, read from the docstrings of their dataclasses.

The `Attributes` section of a dataclass says of each field which values it takes, on the line with its name,
and below it what it means. `--print-recipe` writes both beside each setting, and docs/settings.md has the
same, so nothing is said twice. A subclass has its parents' fields.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_type_hints

from minidistil.settings import Comment, flat, literal

WIDTH = 100  # characters of a comment's line
LEFT_OUT = "left out"  # None, where any word may be meant
PLACE = "..."  # what stands there then, behind a #

# What Python calls something, and what people do who write TOML.
WORDS = (
    (r"\bmapping of str to float\b", "table of numbers by name"),
    (r"\bmapping\b", "table"),
    (r"\btuple of str\b", "list of texts"),
    (r"\btuple of int\b", "list of integers"),
    (r"\bfloats\b", "numbers"),
    (r"\bfloat\b", "number"),
    (r"\bint\b", "integer"),
    (r"\bstr\b", "text"),
    (r"\bbool or\b", "true, false or"),
    (r"\bbool\b", "true or false"),
    (r"\bTrue\b", "true"),
    (r"\bFalse\b", "false"),
)


class SettingDoc(NamedTuple):
    """Documentation of one setting.

    Attributes
    ----------
    allowed : str
        Values that it takes, as the docstring has them: "int >= 1 or None".
    meaning : str
        Without line breaks.
    """

    allowed: str
    meaning: str


def documented(schema: Any) -> dict[str, SettingDoc]:
    """Documentation of the fields of a dataclass, by name; what its docstrings leave out is not there."""
    found: dict[str, SettingDoc] = {}
    for kind in reversed(schema.__mro__):
        found |= _attributes(kind.__dict__.get("__doc__") or "") if dataclasses.is_dataclass(kind) else {}
    names = [field.name for field in dataclasses.fields(schema)]
    return {name: found[name] for name in names if name in found}


def _attributes(docstring: str) -> dict[str, SettingDoc]:
    """Entries of the section `Attributes` of a docstring; `a, b : int` documents two."""
    found: dict[str, SettingDoc] = {}
    for head, body in _section(docstring, "Attributes"):
        names, _, allowed = head.partition(" : ")
        for name in names.split(","):
            found[name.strip()] = SettingDoc(allowed.strip(), " ".join(body.split()))
    return found


def _section(docstring: str, title: str) -> Iterator[tuple[str, str]]:
    """Head and body of each entry of a numpydoc section."""
    lines = inspect.cleandoc(docstring).splitlines()
    starts = [i for i, line in enumerate(lines) if i and line and set(line) == {"-"}]
    first = next((i for i in starts if lines[i - 1] == title), None)
    if first is None:
        return
    end = next((i - 1 for i in starts if i > first), len(lines))
    head = ""
    body: list[str] = []
    for line in [*lines[first + 1 : end], "end"]:
        if line and not line[0].isspace():
            if head:
                yield head, "\n".join(body)
            head, body = line, []
        elif head.count("{") > head.count("}"):  # many choices, on several lines
            head += f" {line.strip()}"
        else:
            body.append(line)


def summary(schema: Any) -> str:
    """First paragraph of a dataclass's docstring: the meaning of a table of settings."""
    first = inspect.cleandoc(schema.__doc__ or "").partition("\n\n")[0]
    return " ".join(first.split())


def in_words(text: str, *, any_text: bool = False) -> str:
    """A documented type, or meaning, in the words of TOML."""
    text = re.sub(r"\{([^}]*)\}(?: or (None))?", _any_of, text)
    text = re.sub(r"\bNone\b", LEFT_OUT if any_text else '"none"', text)
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text)
    return text


def _any_of(choices: re.Match[str]) -> str:
    """Choices in braces, and None behind them, as a list in words."""
    words = [*choices[1].split(", "), *filter(None, [choices[2]])]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


class Setting(NamedTuple):
    """One setting of a recipe, documented in the words of TOML.

    Attributes
    ----------
    name : str
        In full: "train.lr".
    default : str
        As TOML has it, or `LEFT_OUT`.
    allowed, meaning : str
    """

    name: str
    default: str
    allowed: str
    meaning: str


def describe(defaults: Any, path: str = "") -> list[Setting]:
    """Settings of a recipe in their order, with their tables: those have a meaning alone.

    Parameters
    ----------
    defaults : dataclass instance
        With the values that a setting has if nobody sets it.
    path : str
        Full name of its table.
    """
    schema, start = type(defaults), f"{path}." if path else ""
    hints, docs = get_type_hints(schema), documented(schema)
    found: list[Setting] = []
    for field in dataclasses.fields(defaults):
        name, value = f"{start}{field.name}", getattr(defaults, field.name)
        if dataclasses.is_dataclass(hints[field.name]):
            found += [Setting(name, "", "", summary(type(value))), *describe(value, name)]
            continue
        any_text = bool(field.metadata.get("any_text"))
        default = LEFT_OUT if any_text and value is None else _inline(value)
        doc = docs.get(field.name, SettingDoc("", ""))
        allowed, meaning = (in_words(text, any_text=any_text) for text in (doc.allowed, doc.meaning))
        found.append(Setting(name, default, allowed, meaning))
    return found


def _inline(value: Any) -> str:
    """A default as TOML has it, a table on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {literal(item)}" for key, item in value.items()) + "}"
    return literal(value)


def comments(defaults: Any, also: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Comment]:
    """Comments for `minidistil.settings.dump`: of each setting its meaning, allowed values and default.

    Parameters
    ----------
    defaults : dataclass instance
        As of `describe`.
    also : mapping of str to mapping, optional
        Defaults, by full name, of something that has its own, such as a task; by its title.
    """
    values = flat(defaults)
    found: dict[str, Comment] = {}
    for setting in describe(defaults):
        lines = textwrap.wrap(setting.meaning, WIDTH)
        value = PLACE if setting.default == LEFT_OUT else values.get(setting.name)
        if setting.allowed:
            lines += textwrap.wrap(f"Allowed: {setting.allowed}. Default: {setting.default}.", WIDTH)
        for title, theirs in (also or {}).items():
            if setting.name in theirs:
                value = theirs[setting.name]
                lines.append(f"Unless it is set, {title} has {literal(value)}.")
        found[setting.name] = Comment(lines, value)
    return found
