"""Texts with entities marked in them: files of words in columns, and JSONL with characters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from minidistil.errors import DataError, UsageError
from minidistil.metrics import read_spans
from minidistil.tasks.entities import OUTSIDE, EntitySpan
from minidistil.text.readers import json_object, lines_of, shown_name

SPACE = re.compile(r"[ \t\r\n\f\v]+")
TAG = re.compile(r"O|[BIES]-.+")
DOCUMENT = "-DOCSTART-"  # CoNLL-2003 begins a document with it


@dataclass(frozen=True)
class Tagged:
    """N texts.

    Attributes
    ----------
    texts : list of str
        Of columns, the words with a space between them.
    entities : list of list of EntitySpan
    words : list of list of (int, int), or None
        Of columns, the characters of each word; None where the file has running text.
    lines : list of int
        The line each text begins on, from 1.
    path : str
    """

    texts: list[str]
    entities: list[list[EntitySpan]]
    words: list[list[tuple[int, int]]] | None
    lines: list[int]
    path: str

    def __len__(self) -> int:
        return len(self.texts)


def read_tagged(path: str | Path, *, column: int = -1, format: str | None = None) -> Tagged:
    """Read texts and their entities.

    Parameters
    ----------
    path : str or Path
        "-" is standard input; `.gz` is unpacked on the way.
    column : int
        Of a file in columns, where the tag is; the word is in the first. Between columns is white space, a
        blank line ends a sentence. Tags are IOB1, IOB2 or BIOES, as conlleval reads them.
    format : "columns" or "jsonl", optional
        Default: JSONL if the name says so. An object has "text" and "entities", a list of objects with
        "start", "end" (characters from and up to) and "type", or "label"; "text" in them is checked.

    Raises
    ------
    UsageError
        Another format.
    DataError
        A line that is neither; file and line are named.
    """
    if format not in (None, "columns", "jsonl"):
        raise UsageError(f"format {format!r} is none of columns and jsonl")
    name = shown_name(path)
    plain = name.lower().removesuffix(".gz")
    kind = format or ("jsonl" if plain.endswith((".jsonl", ".ndjson")) else "columns")
    found = (_objects if kind == "jsonl" else _sentences)(path, name, column)
    texts, entities, words, lines = [], [], [], []
    for line, text, marked, spans in found:
        texts.append(text)
        entities.append(marked)
        words.append(spans)
        lines.append(line)
    if not texts:
        raise DataError("there are no examples in it", path=name)
    return Tagged(texts, entities, None if kind == "jsonl" else words, lines, name)


Found = Iterator[tuple[int, str, list[EntitySpan], list[tuple[int, int]]]]


def _sentences(path: str | Path, name: str, column: int) -> Found:
    words: list[str] = []
    tags: list[str] = []
    first = width = 0
    for number, line in lines_of(path, name):
        cells = [cell for cell in SPACE.split(line) if cell]  # not str.split: a word may hold another space
        if cells and cells[0] != DOCUMENT:
            if len(cells) < 2 or not -len(cells) <= column < len(cells):
                raise DataError(
                    f"a word and its tag are expected, between white space, not {line.strip()!r:.60}",
                    path=name,
                    line=number,
                )
            width = width or len(cells)
            if len(cells) != width:
                raise DataError(
                    f"{len(cells)} columns where there were {width} before: {line.strip()!r:.60}",
                    path=name,
                    line=number,
                )
            if not TAG.fullmatch(cells[column]):
                raise DataError(
                    f"{cells[column]!r:.40} is no tag: expected O, or a type after B-, I-, E- or S-",
                    path=name,
                    line=number,
                )
            first = first or number
            words.append(cells[0])
            tags.append(cells[column])
        elif words:
            yield _sentence(words, tags, first)
            words, tags, first = [], [], 0
    if words:
        yield _sentence(words, tags, first)


def _sentence(
    words: list[str], tags: list[str], line: int
) -> tuple[int, str, list[EntitySpan], list[tuple[int, int]]]:
    ends, at = [], 0
    for word in words:
        ends.append((at, at + len(word)))
        at += len(word) + 1
    spans = read_spans(tags, "BIOES", mode="lenient")  # which reads IOB1 and IOB2 too, as conlleval does
    marked = [EntitySpan(ends[s.start][0], ends[s.end - 1][1], s.type) for s in spans]
    return line, " ".join(words), marked, ends


def _objects(path: str | Path, name: str, column: int) -> Found:
    for number, line in lines_of(path, name):
        if not line.strip():
            continue
        row = json_object(line, name, number)
        text, marked = row.get("text"), row.get("entities")
        if not isinstance(text, str) or not isinstance(marked, list):
            raise DataError('expected "text" and a list of "entities"', path=name, line=number)
        entities = [_marked(item, text, name, number) for item in marked]
        for before, after in pairwise(sorted(entities, key=lambda e: (e.start, e.end))):
            if after.start < before.end:
                raise DataError(
                    f"{before.type!r} from {before.start} to {before.end} and {after.type!r} from "
                    f"{after.start} to {after.end} overlap",
                    path=name,
                    line=number,
                )
        yield number, text, entities, []


def _marked(item: Any, text: str, name: str, line: int) -> EntitySpan:
    values = item if isinstance(item, dict) else {}
    start, end, kind = values.get("start"), values.get("end"), values.get("type", values.get("label"))
    if not (type(start) is type(end) is int and isinstance(kind, str)):
        raise DataError(
            f'an entity has numbers "start" and "end", and a "type", not {item!r:.80}', path=name, line=line
        )
    said = item.get("text")
    if not 0 <= start < end <= len(text) or (said is not None and said != text[start:end]):
        what = f"{said!r}" if said is not None else "an entity"
        raise DataError(
            f"{what} is not at characters {start} to {end}, where the text has {text[start:end]!r:.60}",
            path=name,
            line=line,
        )
    if not text[start:end].strip():
        raise DataError(f"from {start} to {end} there is only white space", path=name, line=line)
    if kind == OUTSIDE or not kind:
        raise DataError(f"{kind!r} is no type of entity", path=name, line=line)
    return EntitySpan(start, end, kind, said)
