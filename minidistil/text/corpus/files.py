"""Documents of any number of text files, in pieces of bounded size.

Plain text has a document a line, JSONL a document an object; blank ones are skipped. Nothing here holds more
than a piece (of JSONL, a line) in memory, and every piece says where reading can begin again after it.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from minidistil.errors import DataError
from minidistil.files import sha256_file
from minidistil.progress import Progress
from minidistil.text.json_text import json_object
from minidistil.text.sources import opened

JSON_SUFFIXES = {".jsonl", ".ndjson", ".json"}
PIECE = 1 << 16  # bytes: long enough for a page of text, short enough that two cores share a book
MAX_JSON_LINE = 1 << 26  # bytes: an object must be parsed whole
BOM = b"\xef\xbb\xbf"
UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Source:
    """A file as it was when its contents were hashed.

    Attributes
    ----------
    name : str
        Its path under the directory that was asked for, with "/"; of a file asked for, its name.
    path : Path
    size : int
        Bytes on the disk.
    sha256 : str
    modified : int
        Nanoseconds, as the file system has it. Not part of the corpus's identity.
    """

    name: str
    path: Path
    size: int
    sha256: str
    modified: int

    @property
    def is_json(self) -> bool:
        return Path(self.name.lower().removesuffix(".gz")).suffix in JSON_SUFFIXES

    def check_unchanged(self) -> None:
        """Raise DataError if the file is another one by now."""
        try:
            now = self.path.stat()
        except OSError as error:
            raise DataError(f"gone while it was being read: {error.strerror}", path=self.path) from error
        if (now.st_size, now.st_mtime_ns) != (self.size, self.modified):
            raise DataError("changed while it was being read; start again", path=self.path)


class Piece(NamedTuple):
    """A document, or a part of a long one.

    Attributes
    ----------
    text : str
    ends : bool
        True if the document ends here.
    byte : int or None
        Position to continue after this piece, in bytes of the unpacked file; None: nowhere, since it is
        within a JSON object.
    line : int
        The line that byte is on, from 1.
    """

    text: str
    ends: bool
    byte: int | None
    line: int


def find_sources(
    inputs: str | Path | Iterable[str | Path], *, leave_out: Path | None = None, quiet: bool = False
) -> list[Source]:
    """The files of a corpus, with their hashes.

    Parameters
    ----------
    inputs : path, or several
        Files, and directories that are searched through. Files come in the order given, those of a directory
        sorted by their path under it; a file met twice counts once. Names that begin with a dot are skipped.
    leave_out : Path, optional
        A directory not to look into: the one that the corpus is written to.
    quiet : bool
        Show no progress.

    Raises
    ------
    DataError
        Nothing there, no files in it, or an empty file.
    """
    paths = [inputs] if isinstance(inputs, (str, Path)) else list(inputs)
    found: dict[str, tuple[str, Path]] = {}
    for path in map(Path, paths):
        if path.is_dir():
            names = _names_under(path, leave_out)
            if not names:
                raise DataError("there are no files in this directory", path=path)
            for name in names:
                found.setdefault(os.path.realpath(path / name), (name, path / name))
        else:
            found.setdefault(os.path.realpath(path), (path.name, path))
    if not found:
        raise DataError("no files were given")
    files = [(name, path, _stat(path)) for name, path in found.values()]
    total = sum(stat.st_size for _, _, stat in files)
    sources, done = [], 0
    with Progress(total // 10**6, "hashing text", "MB", quiet=quiet or total < 10**9) as progress:
        for name, path, stat in files:
            try:
                sources.append(Source(name, path, stat.st_size, sha256_file(path), stat.st_mtime_ns))
            except OSError as error:
                raise DataError(f"cannot be read: {error.strerror}", path=path) from error
            sources[-1].check_unchanged()
            progress.update((done + stat.st_size) // 10**6 - done // 10**6)
            done += stat.st_size
    return sources


def _stat(path: Path) -> os.stat_result:
    try:
        stat = path.stat()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path=path) from error
    if stat.st_size == 0:
        raise DataError("the file is empty", path=path)
    return stat


def _names_under(directory: Path, leave_out: Path | None) -> list[str]:
    names = []
    avoid = None if leave_out is None else os.path.realpath(leave_out)
    for root, directories, files in os.walk(directory):
        directories[:] = [
            d
            for d in directories
            if not d.startswith(".") and os.path.realpath(os.path.join(root, d)) != avoid
        ]
        if os.path.realpath(root) != avoid:
            names += [
                Path(root, file).relative_to(directory).as_posix()
                for file in files
                if not file.startswith(".")
            ]
    return sorted(names, key=lambda name: name.split("/"))


class SourceReader:
    """Reads the pieces of one file.

    Parameters
    ----------
    source : Source
    key : str
        Key of the text in a JSON object.
    """

    def __init__(self, source: Source, key: str) -> None:
        self.source, self.key = source, key
        self.byte, self.line, self.within = 0, 1, False
        self._on_disk: IO[bytes] | None = None

    def seek(self, byte: int, line: int, within: bool) -> None:
        """Begin where an earlier piece said; `within` a document if that piece was not the end of one."""
        self.byte, self.line, self.within = byte, line, within

    @property
    def bytes_read(self) -> int:
        """Bytes on the disk that have been read; of a packed file, a little more than was unpacked."""
        return self.byte if self._on_disk is None else min(self._on_disk.tell(), self.source.size)

    def __iter__(self) -> Iterator[Piece]:
        """The pieces.

        Raises
        ------
        DataError
            The file cannot be read or has changed; a line is not UTF-8, holds a NUL, or is not a JSON object
            with text under the key, or is one of more than 64 MiB.
        """
        path = self.source.path
        with opened(path, str(path)) as file:
            self._on_disk = getattr(getattr(file, "raw", None), "packed", None)  # of a .gz
            if self.byte:
                file.seek(self.byte)
            yield from self._objects(file) if self.source.is_json else self._lines(file)
        self.source.check_unchanged()

    def _lines(self, file: IO[bytes]) -> Iterator[Piece]:
        """A document a line. A line longer than PIECE is cut at a space, which no word spans."""
        rest = b""
        while True:
            raw = rest + file.readline(PIECE - len(rest))
            whole = raw.endswith(b"\n") or len(raw) < PIECE  # less than asked for: the end of the file
            cut = len(raw) if whole else _cut(raw)
            raw, rest = raw[:cut], raw[cut:]
            if not raw and not self.within:
                return
            text = self._decode(raw)
            self.byte += cut
            if whole:
                self.line += 1
            if self.within or text:
                yield Piece(text, whole, self.byte, self.line)
            self.within = not whole

    def _objects(self, file: IO[bytes]) -> Iterator[Piece]:
        """A document an object, an object a line; a long text is cut as a long line is."""
        while raw := file.readline(MAX_JSON_LINE + 1):
            if len(raw) > MAX_JSON_LINE:
                raise self._error(f"the line is longer than {MAX_JSON_LINE / 2**20:g} MiB; split it up")
            if line := self._decode(raw):
                data = self._text_of(line)
                while len(data) > PIECE:
                    cut = _cut(data[:PIECE])
                    yield Piece(data[:cut].decode(), False, None, self.line)
                    data = data[cut:]
                yield Piece(data.decode(), True, self.byte + len(raw), self.line + 1)
            self.byte += len(raw)
            self.line += 1

    def _text_of(self, line: str) -> bytes:
        value = json_object(line, str(self.source.path), self.line)
        if self.key not in value:
            raise self._error(f"no key {self.key!r}; this line has: {', '.join(value) or 'none'}")
        text = value[self.key]
        if not isinstance(text, str):
            raise self._error(f"{self.key!r} should hold text, not {text!r:.60}")
        try:
            data = text.encode()
        except UnicodeEncodeError:
            raise self._error("the text holds half of a surrogate pair") from None
        if b"\0" in data:
            raise self._error("the text holds a NUL character; is it text?")
        return data

    def _decode(self, raw: bytes) -> str:
        """Text of a line or part of one, without the byte order mark and the spaces around it."""
        if self.byte == 0:
            if raw.startswith(UTF16):
                raise self._error("this is UTF-16; save it as UTF-8")
            raw = raw.removeprefix(BOM)
        if b"\0" in raw:
            raise self._error("the line holds a NUL byte: this is not text; leave the file out")
        try:
            return raw.decode().strip()
        except UnicodeDecodeError as error:
            raise self._error(
                f"byte {self.byte + error.start} of the file is not UTF-8 ({error.reason}); "
                "save it as UTF-8, or leave it out if it is not text"
            ) from error

    def _error(self, message: str) -> DataError:
        return DataError(message, path=self.source.path, line=self.line)


def _cut(raw: bytes) -> int:
    """Position to cut a line that goes on: before its last space, else between characters. At least 1."""
    space = max(raw.rfind(b" ", 1), raw.rfind(b"\t", 1))
    if space > 0:
        return space
    try:
        return codecs.utf_8_decode(raw, "strict", False)[1]  # all but a character of which the end is missing
    except UnicodeDecodeError:
        return len(raw)  # whoever decodes it says what is wrong
