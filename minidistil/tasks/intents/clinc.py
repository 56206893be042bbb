"""Files of CLINC150 (Larson et al. 2019, arXiv:1909.02027)."""

from __future__ import annotations

from typing import Any

from minidistil.errors import DataError, UsageError
from minidistil.text.json_text import read_json
from minidistil.text.readers import Examples


def read_clinc(path: str, part: str) -> Examples:
    """Read a part of CLINC150, JSON with lists of [text, intent].

    Parameters
    ----------
    path : str
    part : str
        "train", "val" or "test"; out-of-scope examples are in a list with `oos_` before the name.

    Returns
    -------
    Examples
        Their lines count the examples of the part: the file is one line.

    Raises
    ------
    UsageError
        No such part; the message has those there are.
    DataError
        Another kind of file.
    """
    content = read_json(path, path)
    if not isinstance(content, dict):
        raise DataError(
            "an object with lists of [text, intent] is expected, or rows, each an object", path=path
        )
    if part not in content:
        parts = ", ".join(name for name in content if not name.startswith("oos_"))
        raise UsageError(f"{path}: say which part, such as {path}#train; there are: {parts}")
    rows = [*_list(content[part], path), *_list(content.get(f"oos_{part}", []), path)]
    name = f"{path}#{part}"
    for line, row in enumerate(rows, 1):
        two = isinstance(row, list) and len(row) == 2 and all(isinstance(x, str) for x in row)
        if not (two and row[0].strip()):
            raise DataError(f"[text, intent] is expected, not {row!r:.80}", path=name, line=line)
    if not rows:
        raise DataError("there are no examples in it", path=name)
    texts, labels = zip(*rows, strict=True)
    return Examples(list(texts), None, list(labels), list(range(1, len(rows) + 1)), name)


def _list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"lists of [text, intent] are expected, not {value!r:.80}", path=path)
    return value
