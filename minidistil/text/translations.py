"""Pairs of sentences that say the same in two languages, from one file or from two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minidistil.errors import DataError, UsageError
from minidistil.text.readers import read_examples
from minidistil.text.tables import Column


def read_translations(
    paths: Sequence[str | Path], *, source: Column | None = None, translation: Column | None = None
) -> tuple[list[str], list[str]]:
    """Read pairs: sentences, and their translations in the same order.

    Parameters
    ----------
    paths : one or two paths
        Two: plain text, line i of the one translated in line i of the other; a line may be empty in both.
        One: a csv, tsv or jsonl with two columns. `.gz` too.
    source, translation : str or int, optional
        Which columns; by default `text` and `text_pair`, or others that `read_examples` knows.

    Raises
    ------
    DataError
        A line without counterpart, a missing column, no pairs at all.
    UsageError
        Neither one path nor two.
    """
    if len(paths) == 2:
        ours, theirs = (read_examples(path, format="text") for path in paths)
        lone = set(ours.lines) ^ set(theirs.lines)
        if lone:
            where = ours if min(lone) in ours.lines else theirs
            other = theirs if where is ours else ours
            raise DataError(
                f"this line has no counterpart in {other.path}: line by line they must be translations",
                path=where.path,
                line=min(lone),
            )
        return ours.texts, theirs.texts
    if len(paths) != 1:
        raise UsageError(f"pairs are in one file or in two, line by line; {len(paths)} were given")
    examples = read_examples(paths[0], text=source, pair=translation)
    if examples.pairs is None:
        raise DataError("there is no second column to find translations in", path=examples.path)
    return examples.texts, examples.pairs
