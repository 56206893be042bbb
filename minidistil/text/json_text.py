"""JSON of data files: one value, an object a line, or an array of objects.

An object that has a key twice is refused, as a table with two columns of one name is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from minidistil.errors import DataError
from minidistil.text.sources import LONGEST_LINE, bounded, opened, read_bytes, shown_name

SPACE = re.compile(r"[ \t\r\n]*")


class _TwiceError(Exception):
    """A key that an object has twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _TwiceError(key)
            seen.add(key)
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)
_WRONG = (ValueError, RecursionError, _TwiceError)  # all that reading JSON may raise


def parse_json(text: str, name: str, number: int = 1) -> Any:
    """JSON that begins on line `number` of a file, or a DataError that names the line."""
    try:
        value = _DECODER.decode(text)
        _check_surrogates(text, value)
    except _WRONG as error:
        whole = "\n" in text.strip()
        raise _json_error(error, name, number, None if whole else number) from error
    return value


def _check_surrogates(text: str, value: Any) -> None:
    if "\\u" in text:  # only so can half of a surrogate pair be written
        json.dumps(value, ensure_ascii=False).encode()


def _json_error(error: Exception, name: str, number: int, at: int | None) -> DataError:
    """Error for a text that begins on line `number`; `at` is the line of the value, if known."""
    if isinstance(error, json.JSONDecodeError):
        what = f"not valid JSON: {error.msg} at column {error.colno}"
        return DataError(what, path=name, line=number + error.lineno - 1)
    if isinstance(error, _TwiceError):
        what = f"two entries of an object are called {str(error)!r:.60}"
    elif isinstance(error, UnicodeEncodeError):
        what = "it holds half of a surrogate pair, which is not text"
    else:  # a number of thousands of digits; brackets without end
        what = f"JSON that cannot be read: {error}"
    return DataError(what, path=name, line=at)


def read_json(path: str | Path, name: str) -> Any:
    """A whole file as one JSON value.

    Raises
    ------
    DataError
        No such file, not UTF-8, not JSON, or one larger than is read at once.
    """
    with opened(path, name) as file:
        raw = read_bytes(file, name)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
        what = "this is UTF-16" if utf16 else f"byte {error.start} is not UTF-8"
        raise DataError(f"{what}; save the file as UTF-8", path=name) from error
    return parse_json(text, name)


def has_rows(path: str | Path) -> bool:
    """True if a JSON file is rows, as it begins: an array, or an object a line; and not one object."""
    with opened(path, shown_name(path)) as file:
        first = file.readline(LONGEST_LINE).removeprefix(b"\xef\xbb\xbf").strip()
        more = file.readline(LONGEST_LINE).strip()
    return first.startswith(b"[") or (first.endswith(b"}") and bool(more))


def json_object(line: str, name: str, number: int) -> dict[str, Any]:
    """An object that is a line of its own; errors as of `parse_json`."""
    value = parse_json(line, name, number)
    if not isinstance(value, dict):
        raise DataError(
            f"a JSON object a line is expected, not a {type(value).__name__}", path=name, line=number
        )
    return value


def json_rows(lines: Iterator[tuple[int, str]], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects, and the lines that they begin on: one a line, or all in one array.

    Raises
    ------
    DataError
        Anything else; the line is named.
    """
    first = True
    for number, line in lines:
        if not line.strip():
            continue
        if first and line.lstrip().startswith("["):
            rest = "".join(more for _, more in bounded(chain([(number, line)], lines), name))
            yield from _array(rest, name, number)
            return
        first = False
        yield number, json_object(line.rstrip("\r\n"), name, number)


def _array(text: str, name: str, number: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects of an array that begins on line `number`."""

    def after_space(at: int) -> int:
        return SPACE.match(text, at).end()  # type: ignore[union-attr]

    def expected(what: str, at: int) -> DataError:
        return _json_error(json.JSONDecodeError(f"Expecting {what}", text, at), name, number, None)

    line, counted = number, 0
    at = after_space(text.index("[") + 1)
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, end = _DECODER.raw_decode(text, at)
            _check_surrogates(text[at:end], value)
        except _WRONG as error:
            raise _json_error(error, name, number, line) from error
        if not isinstance(value, dict):
            what = f"an array of JSON objects is expected, not of a {type(value).__name__}"
            raise DataError(what, path=name, line=line)
        yield line, value
        at = after_space(end)
        if text[at : at + 1] == ",":
            at = after_space(at + 1)
        elif text[at : at + 1] != "]":
            raise expected("',' delimiter", at)
    at = after_space(at + 1)
    if at < len(text):
        raise expected("nothing more after the array", at)
