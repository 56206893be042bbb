"""Log of a training, metrics.jsonl: one JSON object a line."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from minidistil.errors import StorageError
from minidistil.files import atomic_write, read_small, storage_error

WALL_FIELDS = ("seconds", "tokens_per_second", "examples_per_second")  # all that differs between equal runs
LARGEST = 16 << 30  # bytes of a log: of 10^8 steps, a line each


class MetricsLog:
    """The records of a run, in memory and, given a path, in a file that is appended to and flushed.

    Parameters
    ----------
    path : Path or None
    step : int
        The step a run is resumed from. Records of later steps are cut, since they will be written again:
        the log of a resumed run then equals that of an undisturbed one but for `WALL_FIELDS`.
        So is a line cut short by a kill.

    Attributes
    ----------
    records : list of dict
        Everything kept and written so far.

    Raises
    ------
    StorageError
        The file cannot be written.
    """

    def __init__(self, path: Path | None, step: int = 0) -> None:
        self.path = path
        self.records: list[dict[str, Any]] = []
        self._file: IO[str] | None = None
        if path is None:
            return
        if path.exists():
            written = parse_records(read_small(path, StorageError, limit=LARGEST))
            self.records = [record for record in written if record["step"] <= step]
            with atomic_write(path) as temporary:
                temporary.write_text("".join(map(_line, self.records)), encoding="utf-8")
        with self._storage_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Append one record: {"kind": kind, "step": step, **values}. NaN and Inf become null."""
        record = {"kind": kind, "step": step, **{name: _plain(value) for name, value in values.items()}}
        self.records.append(record)
        if self._file is not None:
            with self._storage_errors():
                self._file.write(_line(record))
                self._file.flush()

    def sync(self) -> None:
        """Have everything written reach the disk, as a checkpoint that follows it does."""
        if self._file is not None:
            with self._storage_errors():
                os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            with self._storage_errors():  # closing writes what a full disk kept back
                self._file.close()

    @contextmanager
    def _storage_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise storage_error(Path(self.path or ""), error) from error


def parse_records(content: bytes) -> list[dict[str, Any]]:
    """The records of a metrics.jsonl; a line that is none is left out."""
    lines = content.decode(errors="replace").splitlines()
    return [record for line in lines if (record := _parse(line))]


def iter_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a metrics.jsonl, one at a time; none if the file is missing."""
    if path.is_file():
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                if record := _parse(line):
                    yield record


def _parse(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("step"), int) else None


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """NumPy scalars as Python's; JSON has no NaN."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
