"""Texts of a call from Python, in whatever form they come.

A task reads one text or two under names such as "question" and "context". A call gives one string, a list,
an array, a column, a generator; a list of pairs; a mapping of names to texts, or a list of them; a table
(pandas, pyarrow, polars) with columns of these names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from minidistil.arguments import did_you_mean
from minidistil.errors import InputError, UsageError
from minidistil.text.texts import as_items

LEARNT = ("text", "pair")  # what a model remembers of the columns of its training


class Texts(NamedTuple):
    """Texts of a call.

    Attributes
    ----------
    columns : list
        The texts, and where each has a second one, those: a string, or several in order.
    one : bool
        One text by itself, not in a list.
    named : bool
        One that is given by names: its answer stands by itself, too.
    """

    columns: list[Any]
    one: bool = False
    named: bool = False

    @classmethod
    def of(cls, columns: list[Any], *, named: bool) -> Texts:
        """Columns of a call, which are several texts or one each."""
        one = all(isinstance(column, str) for column in columns)
        return cls(columns, one, one and named)


@dataclass(frozen=True)
class Inputs:
    """Texts that a task reads, by their names.

    Attributes
    ----------
    names : tuple of str
        Of one text, or of two.
    least : int
        Number of texts that are needed.
    learnt : mapping of str to str
        The columns that a model remembers, see `TrainingRecord`.
    """

    names: Sequence[str]
    least: int = 1
    learnt: Mapping[str, str] | None = None

    def read(self, args: Sequence[Any], by_name: Mapping[str, Any]) -> Texts:
        """The texts of a call.

        Parameters
        ----------
        args : sequence
            Arguments by place, in the order of `names`.
        by_name : mapping
            Arguments by name. Beside a table or mappings they name its columns.

        Raises
        ------
        InputError
            A table or a mapping without a known column, which names those that it has; something that is no
            text.
        UsageError
            A text given twice, or none.
        """
        first: Any = args[0] if args else None
        if args and not isinstance(first, (str, Mapping)) and not column_names(first):
            first = as_items(f"{self.names[0]}s", first)
        rows = isinstance(first, list) and bool(first) and isinstance(first[0], Mapping)
        if rows or isinstance(first, Mapping) or (args and column_names(first)):
            if len(args) > 1:
                name = self.names[1]
                raise UsageError(f"the {name} is one of the columns: say which, {name}='NAME'")
            return self._of_rows(first, by_name) if rows else self._of_table(first, by_name)
        given = dict(zip(self.names, [first, *args[1:]], strict=False)) if args else {}
        if twice := [name for name in by_name if name in given]:
            raise UsageError(f"the {twice[0]} is given twice: by its place and by its name")
        given = {name: value for name, value in {**given, **by_name}.items() if value is not None}
        columns = [given[name] for name in self.names if name in given]
        if len(self.names) == 2 and len(columns) == 1 and _are_pairs(columns[0]):
            return Texts(self._split(columns[0]))
        if missing := [name for name in self.names[: self.least] if name not in given]:
            raise UsageError(f"the {missing[0]} is missing: give {' and '.join(self.names[: self.least])}")
        return Texts.of(columns, named=not args)

    def _of_table(self, table: Any, by_name: Mapping[str, Any]) -> Texts:
        """Texts of the columns of a table, or of the keys of a mapping."""
        found = self._columns(column_names(table), by_name, type(table).__name__)
        columns = [table[name] for name in found]
        columns = [column.to_pylist() if hasattr(column, "to_pylist") else column for column in columns]
        return Texts.of(columns, named=True)

    def _of_rows(self, rows: Sequence[Any], by_name: Mapping[str, Any]) -> Texts:
        """Texts of a list of mappings."""
        found = self._columns(list(rows[0]), by_name, "mapping")
        for i, row in enumerate(rows):
            for name in found:
                if not isinstance(row, Mapping) or name not in row:
                    what = f"{self.names[0]}s[{i}]"
                    raise InputError(f"{what} has no {name!r}, which the first has: {row!r:.60}", index=i)
        return Texts([[row[name] for row in rows] for name in found])

    def _columns(self, available: Sequence[Any], by_name: Mapping[str, Any], what: str) -> list[Any]:
        """Columns of the texts: those that a call names, that the model learnt from, or so called."""
        found = []
        for name, role in zip(self.names, LEARNT, strict=False):
            wanted = by_name.get(name)
            if wanted is not None and wanted not in available:
                near = did_you_mean(wanted, map(str, available))
                raise InputError(f"this {what} has no column {wanted!r}{near}")
            usual = [wanted, (self.learnt or {}).get(role), name]
            chosen = next((c for c in usual if c is not None and c in available), None)
            if chosen is not None:
                found.append(chosen)
            elif len(found) < self.least:
                there = ", ".join(map(repr, available)) or "none"
                raise InputError(
                    f"{self.names[0]}s are a {what}, and it is not known which column holds the {name}: "
                    f"there are {there}; say {name}='NAME'"
                )
        return found

    def _split(self, pairs: Sequence[Any]) -> list[Any]:
        """A list of pairs as two lists."""
        for i, pair in enumerate(pairs):
            if not _is_pair(pair):
                what = f"{self.names[0]}s[{i}]"
                raise InputError(f"{what} is no pair of texts, as the first is: {pair!r:.60}", index=i)
        return [[pair[0] for pair in pairs], [pair[1] for pair in pairs]]


def column_names(table: Any) -> list[Any]:
    """Names of the columns of a table, or the keys of a mapping; of anything else none."""
    if isinstance(table, Mapping):
        return list(table)
    names = getattr(table, "column_names", None)  # of pyarrow, whose `columns` are the columns themselves
    names = getattr(table, "columns", None) if names is None else names
    return list(names) if isinstance(names, Iterable) and hasattr(table, "__getitem__") else []


def _are_pairs(items: Any) -> bool:
    return isinstance(items, list) and bool(items) and _is_pair(items[0])


def _is_pair(item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and all(isinstance(text, str) for text in item)
