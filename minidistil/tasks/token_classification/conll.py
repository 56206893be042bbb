"""Texts with entities marked in them: words in columns, words in lists, and texts with characters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

from minidistil.errors import DataError, UsageError
from minidistil.tasks.token_classification.entities import EntitySpan
from minidistil.tasks.token_classification.schemes import OUTSIDE, TagSet
from minidistil.text.readers import ids_of
from minidistil.text.sources import STDIN, lines_of, shown_name
from minidistil.text.tables import FORMATS, format_of, listed, read_rows, suffix_of

SPACE = re.compile(r"[ \t\r\n\f\v]+")
MARKED = re.compile(r"O|[BIESLU](-\S+)?")  # what is a tag by its look, whatever the scheme
DOCUMENT = "-DOCSTART-"  # CoNLL-2003 begins a document with it
WORDS, TAGS = ("tokens", "words"), ("ner_tags", "tags", "labels")  # keys of rows
LOOKED_AT = 1000  # lines, to see whether a file is in columns


class Found(NamedTuple):
    """One text of a file; see `Tagged`."""

    line: int
    text: str
    entities: list[EntitySpan]
    words: list[tuple[int, int]] | None
    tags: list[str] | None = None
    numbers: list[int] | None = None
    id: dict[str, Any] = {}  # noqa: RUF012 (never changed)


@dataclass(frozen=True)
class Tagged:
    """N texts.

    Attributes
    ----------
    texts : list of str
        Of words, those with a space between them.
    entities : list of list of EntitySpan
    words : list of list of (int, int), or None
        The characters of each word, where the file has words; None where it has running text.
    lines : list of int
        The line each text begins on, from 1.
    path : str
    numbers : list of list of int, or None
        Of each word the number of its tag, where the file has only those: `named` makes entities of them.
    ids : list of dict
        Of each row what it is called, by the column that says so; empty of columns.
    """

    texts: list[str]
    entities: list[list[EntitySpan]]
    words: list[list[tuple[int, int]]] | None
    lines: list[int]
    path: str
    numbers: list[list[int]] | None = None
    ids: list[dict[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.texts)

    def named(self, names: Mapping[int, str]) -> Self:
        """The same with entities, if tags are numbers: `names` are those of a model's tags.

        Raises
        ------
        DataError
            A number without a name.
        """
        if self.numbers is None:
            return self
        entities, tags = [], TagSet(list(names.values()))
        for words, numbers, line in zip(self.words or [], self.numbers, self.lines, strict=True):
            unknown = next((n for n in numbers if n not in names), None)
            if unknown is not None:
                what = f"there is no tag {unknown}; the model has {', '.join(names.values()):.200}"
                raise DataError(what, path=self.path, line=line)
            entities.append(_marked_words(words, [names[n] for n in numbers], tags))
        return replace(self, entities=entities, numbers=None)


def read_tagged(
    path: str | Path,
    *,
    column: int = -1,
    format: str | None = None,
    labelled: bool = True,
    scheme: str | None = None,
) -> Tagged:
    """Read texts and their entities.

    Parameters
    ----------
    path : str or Path
        "-" is standard input; `.gz` is unpacked on the way.
    column : int
        Of a file in columns, where the tag is; the word is in the first. Between columns are tabs, if there
        are some in the first line, else white space. A blank line ends a sentence; before one, a line that
        begins with "#" and has no tag is a comment. Tags are of any scheme; see `TagSet`.
    format : "columns", "jsonl", "json" or "parquet", optional
        Default: what the name says, else columns. A row has "text" and "entities", a list of objects with
        "start", "end" (characters from and up to) and "type", or "label"; "text" in them is checked. Or it
        has a list of "tokens" (or "words") and as many "ner_tags" (or "tags", "labels"), names or numbers.
    labelled : bool
        Whether entities are wanted; otherwise they are not looked at, and need not be there.
    scheme : str, optional
        "plain" where types without prefix are tags of words, and none need be O. Others are told apart.

    Raises
    ------
    UsageError
        Another format.
    DataError
        A line that is neither; file and line are named.
    """
    if format not in (None, "columns", "jsonl", "json", "parquet"):
        raise UsageError(f"format {format!r} is none of columns, jsonl and parquet")
    name = shown_name(path)
    kind = format or FORMATS.get(suffix_of(path), "columns")
    reader = _Reader(name, labelled)
    if kind in ("jsonl", "json", "parquet"):
        found = [reader.row(row, line) for line, row in read_rows(path, format=kind)]
    else:
        found = list(reader.sentences(path, column))
    if not found:
        raise DataError("there are no examples in it", path=name)
    tags = _tag_set(reader.first_lines, name, scheme)
    found = [
        one if one.tags is None else one._replace(entities=_marked_words(one.words or [], one.tags, tags))
        for one in found
    ]
    numbered = any(one.numbers is not None for one in found)
    for one in found:
        mixed = numbered and one.numbers is None and one.text
        if mixed or (one.words is None) != (found[0].words is None):
            what = "other lines have it otherwise: either texts or words, either names of tags or numbers"
            raise DataError(what, path=name, line=one.line)
    return Tagged(
        texts=[one.text for one in found],
        entities=[one.entities for one in found],
        words=None if found[0].words is None else [one.words or [] for one in found],
        lines=[one.line for one in found],
        path=name,
        numbers=[one.numbers or [] for one in found] if numbered else None,
        ids=[one.id for one in found] if any(one.id for one in found) else [],
    )


def are_columns(lines: Iterable[str]) -> bool:
    """True if lines of plain text are words with their tags in columns, by the first of them."""
    widths = set()
    seen = 0
    for line in islice(lines, LOOKED_AT):
        cells = _cells(line, 0)
        if not cells or cells[0] == DOCUMENT or (line.startswith("#") and not MARKED.fullmatch(cells[-1])):
            continue
        if not MARKED.fullmatch(cells[-1]):
            return False
        widths.add(len(cells))
        seen += 1
    return seen > 1 and len(widths) == 1 and widths != {1}


def format_of_words(path: str, format: str | None, *, text: str | None = None) -> str | None:
    """The format of a file that has words, in columns or in lists; None where it has running text.

    Parameters
    ----------
    path : str
    format : str or None
        That of the file, if not as it is named.
    text : str or None
        The column of the texts, if it is known.

    Raises
    ------
    DataError
        The file's name does not tell its format.
    """
    kind, words = format or FORMATS.get(suffix_of(path)), format == "columns"
    if not words and path != STDIN and not Path(path).is_fifo():  # which are read once
        if format is None and kind in (None, "text", "tsv"):
            words = are_columns(line for _, line in lines_of(path, path))
        elif kind in ("jsonl", "json", "parquet") and text is None:
            _, first = next(read_rows(path, format=kind), (0, {}))
            words = any(isinstance(first.get(key), list) for key in WORDS)
    if words:
        return kind if kind in ("jsonl", "json", "parquet") else "columns"
    if kind is None and path != STDIN:
        format_of(path, None, also="columns")  # says that the name does not tell
    return None


def _cells(line: str, width: int) -> list[str]:
    """Cells of a line in a file with so many columns (0: not known yet)."""
    line = line.strip(" \t\r\n\f\v")  # not str.split: a word may hold another space
    if not line:
        return []
    cells = [cell.strip(" \r\f\v") for cell in line.split("\t")] if "\t" in line else SPACE.split(line)
    if "\t" in line and width not in (0, len(cells)) and len(SPACE.split(line)) == width:
        return SPACE.split(line)
    return cells


def _tag_set(first: Mapping[str, int], name: str, scheme: str | None) -> TagSet:
    """Meaning of the tags of a file; `first` has the line of each.

    Raises
    ------
    DataError
        Tags that are types without prefix, beside others or without an O.
    """
    tags = TagSet(list(first), "plain" if scheme == "plain" else None)
    bare = tags.without_prefix
    if tags.scheme == "plain" and OUTSIDE not in first:
        bare = list(first)
    elif len(tags.types) > 1:  # a prefix alone beside those of types
        bare += [tag for tag in first if tags.parts[tag] in (("B", ""), ("I", ""), ("E", ""), ("S", ""))]
    if bare and scheme != "plain":
        raise DataError(
            f"{bare[0]!r:.40} is no tag: expected O, or a type after B-, I-, E- or S-",
            path=name, line=first[bare[0]], remedy=[("scheme", "plain")],
        )  # fmt: skip
    return tags


@dataclass(frozen=True)
class _Reader:
    """Reading one file: its name, whether tags count, and the line on which each tag is first met."""

    name: str
    labelled: bool
    first_lines: dict[str, int] = field(default_factory=dict)

    def error(self, line: int, message: str) -> DataError:
        return DataError(message, path=self.name, line=line)

    def sentences(self, path: str | Path, column: int) -> Iterator[Found]:
        """Sentences of a file in columns."""
        words: list[str] = []
        tags: list[str] = []
        first = width = 0
        for number, line in lines_of(path, self.name):
            cells = _cells(line, width)
            if not cells or cells[0] == DOCUMENT:
                if words:
                    yield _sentence(words, tags, first)
                    words, tags, first = [], [], 0
                continue
            if (
                line.startswith("#")
                and not words
                and (len(cells) != (width or len(cells)) or len(cells) < 2 or not MARKED.fullmatch(cells[-1]))
            ):
                continue  # a comment
            if self.labelled and (len(cells) < 2 or not -len(cells) <= column < len(cells)):
                what = "a word and its tag are expected, between white space"
                raise self.error(number, f"{what}, not {line.strip()!r:.60}")
            width = width or len(cells)
            if len(cells) != width:
                what = f"{len(cells)} columns where there were {width} before"
                raise self.error(number, f"{what}: {line.strip()!r:.60}")
            first = first or number
            words.append(cells[0])
            tags.append(cells[column] if self.labelled else OUTSIDE)
            self.first_lines.setdefault(tags[-1], number)
        if words:
            yield _sentence(words, tags, first)

    def row(self, row: Mapping[str, Any], line: int) -> Found:
        """A row with a text and its entities, or with words and their tags."""
        called = ids_of(row)
        words = next((row[key] for key in WORDS if isinstance(row.get(key), list)), None)
        if words is not None:
            return self._words(words, row, line)._replace(id=called)
        text, marked = row.get("text"), row.get("entities") if self.labelled else []
        if not isinstance(text, str) or not isinstance(marked, list):
            what = 'expected "text" and a list of "entities", or lists of "tokens" and "ner_tags"'
            raise self.error(line, f"{what}; this line has: {listed(list(row))}")
        entities = [self._marked(item, text, line) for item in marked]
        for before, after in pairwise(sorted(entities, key=lambda e: (e.start, e.end))):
            if after.start < before.end:
                one, other = (f"{e.type!r} from {e.start} to {e.end}" for e in (before, after))
                raise self.error(line, f"{one} and {other} overlap")
        return Found(line, text, entities, None, id=called)

    def _words(self, words: list[Any], row: Mapping[str, Any], line: int) -> Found:
        """Words and their tags, which are names or numbers."""
        if not all(isinstance(word, str) for word in words):
            raise self.error(line, f"words are texts, not {words!r:.60}")
        if not self.labelled:
            return _sentence(words, None, line)
        tags = next((row[key] for key in TAGS if isinstance(row.get(key), list)), None)
        if tags is None or len(tags) != len(words):
            there = "none" if tags is None else str(len(tags))
            what = f"{len(words)} words need as many tags, under {' or '.join(TAGS)}"
            raise self.error(line, f"{what}; there are {there}")
        if tags and all(type(tag) is int for tag in tags):
            return _sentence(words, None, line)._replace(numbers=tags)
        if not all(isinstance(tag, str) for tag in tags):
            raise self.error(line, f"tags are names, or all numbers, not {tags!r:.60}")
        for tag in tags:
            self.first_lines.setdefault(tag, line)
        return _sentence(words, tags, line)

    def _marked(self, item: Any, text: str, line: int) -> EntitySpan:
        """An entity that a row marks."""
        values = item if isinstance(item, dict) else {}
        start, end, kind = values.get("start"), values.get("end"), values.get("type", values.get("label"))
        if not (type(start) is type(end) is int and isinstance(kind, str)):
            what = 'an entity has numbers "start" and "end", and a "type"'
            raise self.error(line, f"{what}, not {item!r:.80}")
        said, there = item.get("text"), text[start:end]
        if not 0 <= start < end <= len(text) or (said is not None and said != there):
            what = f"{said!r}" if said is not None else "an entity"
            raise self.error(
                line, f"{what} is not at characters {start} to {end}, where the text has {there!r:.60}"
            )
        if not there.strip():
            raise self.error(line, f"from {start} to {end} there is only white space")
        if kind == OUTSIDE or not kind:
            raise self.error(line, f"{kind!r} is no type of entity")
        return EntitySpan(start, end, kind, said)


def _sentence(words: list[str], tags: list[str] | None, line: int) -> Found:
    ends, at = [], 0
    for word in words:
        ends.append((at, at + len(word)))
        at += len(word) + 1
    return Found(line, " ".join(words), [], ends, tags)


def _marked_words(words: list[tuple[int, int]], tags: list[str], all_tags: TagSet) -> list[EntitySpan]:
    """The entities that tags of words mark, by the characters of these."""
    return [EntitySpan(words[s.start][0], words[s.end - 1][1], s.type) for s in all_tags.read(tags)]
