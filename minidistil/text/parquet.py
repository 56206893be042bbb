"""Rows of Parquet files, with the names of classes that the `datasets` library keeps in their schema."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from minidistil.errors import DataError, UsageError
from minidistil.text.sources import opened, read_bytes
from minidistil.text.tables import Row, check_names


def parquet_rows(path: str | Path, name: str) -> Iterator[Row]:
    """Rows, numbered from 1; a number of a class is its name, where the schema has it.

    Raises
    ------
    UsageError
        There is no pyarrow.
    DataError
        Not a parquet file, or one with two columns of one name.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(
            "reading parquet needs pyarrow: pip install 'minidistil[parquet]', or save the table as jsonl"
        ) from error
    try:
        with opened(path, name) as file:
            # Its end says where everything is; what cannot be sought in is read whole.
            source = parquet.ParquetFile(
                file if _is_on_disk(file) else pyarrow.BufferReader(read_bytes(file, name))
            )
            columns = source.schema_arrow.names
            check_names(columns, name)
            classes = _class_names(source.schema_arrow.metadata)
            number = 0
            for batch in source.iter_batches():
                cells = [_cells(column, pyarrow.string()) for column in batch.columns]
                for i, column in enumerate(columns):
                    if column in classes:
                        cells[i] = [_named(value, classes[column], column, name) for value in cells[i]]
                for row in zip(*cells, strict=True):
                    number += 1
                    yield number, dict(zip(columns, row, strict=True))
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"not a parquet file: {error}", path=name) from error


def _is_on_disk(file: IO[bytes]) -> bool:
    """True if any place of it can be read: it is neither a pipe nor packed."""
    return isinstance(getattr(file, "raw", None), io.FileIO) and file.seekable()


def _cells(column: Any, text: Any) -> list[Any]:
    """A column as Python has it; times that Python has no type for as text."""
    try:
        cells: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        raise
    except (ValueError, OverflowError):
        cells = column.cast(text).to_pylist()
    return cells


def _class_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """Names of the classes of each column that has some, as `datasets` writes them.

    A feature is {"_type": "ClassLabel", "names": [...]}; that of a list has it inside, under "feature" or in
    an array.
    """
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"].items()
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
    found = {}
    for column, feature in features:
        while isinstance(feature, (dict, list)) and "names" not in feature:
            feature = feature.get("feature") if isinstance(feature, dict) else (feature or [None])[0]
        names = feature.get("names") if isinstance(feature, dict) else None
        if isinstance(names, list) and all(isinstance(label, str) for label in names):
            found[column] = names
    return found


def _named(value: Any, names: list[str], column: str, path: str) -> Any:
    """Names for a number of a class, or for a list of them; -1 is none."""
    if isinstance(value, list):
        return [_named(item, names, column, path) for item in value]
    if type(value) is not int or value == -1:
        return None if value == -1 else value
    if not 0 <= value < len(names):
        raise DataError(
            f"column {column!r} has the class {value}, and its schema has names for 0 to {len(names) - 1}",
            path=path,
        )
    return names[value]
