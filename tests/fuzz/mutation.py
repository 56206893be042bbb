"""Damage to values, JSON and bytes, of the kinds that files and callers really have."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 512, 2**31 - 1, 2**31, 2**32 + 1, 2**63, 10**400, -(2**40),
    0.5, -0.5, 1.5, float("nan"), float("inf"), 1e308, 1e-320,
    "", "x", "0", "1", "true", "null", "\0", "../x", "/etc/passwd", "\ud800", "n\u0303\u00ef\u2028", "[MASK]",
    "a" * 3000, [], {}, [1], [None], ["x", "x"], {"a": 1}, [[]], {"0": "a", "1": "a"},
)  # fmt: skip
PIECES = (
    b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\x1f\x8b", b"PK\x03\x04",
    b'"', b"'", b"\\", b"\n", b"\r", b"\r\n", b"\t", b",", b"{", b"[", b"[" * 20_000, b"{}", b"null", b"NaN",
    b"-1e999", b"9" * 5000, b" " * 500,
)  # fmt: skip


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything inside a JSON value; long lists by their first entries."""
    found = [here] if here else []
    if isinstance(value, dict):
        for key in list(value)[:60]:
            found += paths(value[key], (*here, key))
    elif isinstance(value, list):
        for i in range(min(len(value), 12)):
            found += paths(value[i], (*here, i))
    return found


def damage_json(rng: Random, value: Any) -> Any:
    """A copy of a JSON value in which one to three entries are lost, strange, moved or new."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if rng.random() < 0.03:
            return copy.deepcopy(rng.choice(HOSTILE))
        places = paths(value)
        if not places:
            return copy.deepcopy(rng.choice(HOSTILE))
        *way, last = rng.choice(places)
        parent = value
        for step in way:
            parent = parent[step]
        kind = rng.random()
        if kind < 0.2:
            del parent[last]
        elif kind < 0.3:
            other = value
            for step in rng.choice(places):
                other = other[step] if isinstance(other, dict | list) and _has(other, step) else other
            parent[last] = copy.deepcopy(other)
        elif kind < 0.38 and isinstance(parent, dict):
            parent[rng.choice((last + "x", "", "type", "added", str(last).upper()))] = parent.pop(last)
        else:
            parent[last] = copy.deepcopy(rng.choice(HOSTILE))  # a later round may damage it
    return value


def _has(container: Any, step: Any) -> bool:
    return (
        step in container if isinstance(container, dict) else isinstance(step, int) and step < len(container)
    )


def damage_bytes(rng: Random, data: bytes) -> bytes:
    """Bytes in which one to four places are changed, cut, doubled or filled."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        a, b = sorted(rng.randint(0, len(data)) for _ in range(2))
        b = min(b, a + rng.choice((1, 1, 4, 40, 4000)))
        kind = rng.randrange(11) // 2
        if kind == 5:
            data = data[:a]
        elif kind == 0:
            data = data[:a] + data[b:]
        elif kind == 1:
            data = data[:b] + data[a:b] + data[b:]
        elif kind == 2:
            data = data[:a] + rng.choice(PIECES) + data[a:]
        elif kind == 3:
            data = data[:a] + rng.choice(PIECES) + data[b:]
        else:
            data = data[:a] + bytes([rng.randrange(256)]) + data[a + 1 :]
    return data


def damaged_file(rng: Random, content: bytes) -> bytes:
    """Content of a JSON file, damaged as a value or as bytes."""
    if rng.random() < 0.25:
        return damage_bytes(rng, content)
    value = damage_json(rng, json.loads(content))
    return json.dumps(value).encode("utf-8", "surrogatepass")
