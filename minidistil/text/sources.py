"""Bytes and lines of text files, of standard input and of .gz files, in bounded memory.

A line, and a file that must be read whole, have a largest size; so has what a packed file may unpack to.
Every error names the file and the line.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, cast

from minidistil.errors import DataError

STDIN = "-"
LONGEST_LINE = 1 << 26  # bytes: a line, a cell or a JSON object must be held whole
LONGEST_FILE = 1 << 30  # bytes of a file that is read whole: one JSON value, a document, a piped parquet
MOST_BLANK = 1_000_000  # blank lines one after another
# A .gz may unpack to so many bytes, and beyond that to so many times its own size: deflate reaches 1,032 on
# what is all the same, text some ten.
UNPACKED_FREELY, UNPACKED_TIMES = 1 << 26, 500


def shown_name(path: str | Path) -> str:
    """Name of a file in messages."""
    return "standard input" if str(path) == STDIN else str(path)


@contextmanager
def opened(path: str | Path, name: str) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes; errors of the system and of unpacking become a DataError."""
    try:
        if name != str(path):
            with _piped(_stdin(), name) as piped:
                yield piped
        elif name.lower().endswith(".gz"):
            with open(path, "rb") as packed:
                yield unpacked(packed, name)
        else:
            with open(path, "rb") as file:
                yield file
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"not a whole gzip file: {error}", path=name) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path=name) from error


def _stdin() -> IO[bytes]:
    if sys.stdin is None or getattr(sys.stdin, "closed", False):
        raise DataError("it is closed: there is nothing to read from", path=shown_name(STDIN))
    return sys.stdin.buffer


def _piped(file: Any, name: str) -> Any:
    """Content of standard input, unpacked if it begins as a gzip file does."""
    packed = hasattr(file, "peek") and file.peek(2)[:2] == b"\x1f\x8b"
    return nullcontext(unpacked(file, name) if packed else file)


def unpacked(packed: IO[bytes], name: str) -> IO[bytes]:
    """Content of a gzip file, refused where it is out of all proportion to it."""
    return io.BufferedReader(_Unpacked(packed, name), 1 << 17)


class _Counted:
    """Reads packed bytes, and counts them."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed, self.count = packed, 0

    def read(self, size: int = -1) -> bytes:
        some = self._packed.read(size)
        self.count += len(some)
        return some


class _Unpacked(io.RawIOBase):
    """Reader of a gzip file that bounds the ratio of output to input."""

    def __init__(self, packed: IO[bytes], name: str) -> None:
        self.packed, self._name, self._out = packed, name, 0
        self._in = _Counted(packed)
        self._gzip = gzip.GzipFile(fileobj=cast(IO[bytes], self._in))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._out

    def seek(self, offset: int, whence: int = 0) -> int:
        """Forward only, by reading what is skipped."""
        while (
            whence == 0 and self._out < offset and self.readinto(bytearray(min(offset - self._out, 1 << 17)))
        ):
            pass
        return self._out

    def readinto(self, into: Any) -> int:
        some = self._gzip.read1(len(into))
        into[: len(some)] = some
        self._out += len(some)
        if self._out > max(UNPACKED_FREELY, UNPACKED_TIMES * self._in.count):
            raise DataError(
                f"it unpacks to more than {UNPACKED_TIMES} times its size, which no text does; unpack it "
                "first if it is one",
                path=self._name,
            )
        return len(some)


def lines_of(path: str | Path, name: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers from 1; `name` is for messages.

    Raises
    ------
    DataError
        No such file, not UTF-8, a NUL byte, a line longer than `LONGEST_LINE`.
    """
    with opened(path, name) as file:
        yield from decoded(file, name)


def decoded(
    file: IO[bytes], name: str, decode: Callable[[bytes], str] = bytes.decode
) -> Iterator[tuple[int, str]]:
    """Decoded lines with their endings, numbered from 1; errors as of `lines_of`."""
    number = blank = 0

    def wrong(what: str) -> DataError:
        return DataError(what, path=name, line=number)

    while raw := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(raw) > LONGEST_LINE:
            raise wrong(f"the line is longer than {LONGEST_LINE:,} bytes, the most that is read")
        if number == 1:
            if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise wrong("this is UTF-16; save it as UTF-8")
            raw = raw.removeprefix(b"\xef\xbb\xbf")  # a byte order mark
        blank = blank + 1 if len(raw) < 3 and raw.isspace() else 0
        if blank > MOST_BLANK:
            raise wrong(f"more than {MOST_BLANK:,} blank lines: this is no text")
        if b"\0" in raw:
            raise wrong("there is a NUL byte in it: this is no text, or UTF-16; save it as UTF-8")
        try:
            line = decode(raw)
        except UnicodeDecodeError as error:
            what = f"byte {error.start} of the line is not UTF-8 ({error.reason}); save the file as UTF-8"
            raise wrong(what) from error
        yield number, line


def read_text(path: str | Path) -> str:
    """A whole file as one text, every character as it stands but a byte order mark.

    Raises
    ------
    DataError
        No such file, not UTF-8, larger than `LONGEST_FILE`.
    """
    return "".join(line for _, line in bounded(lines_of(path, shown_name(path)), shown_name(path)))


def bounded(lines: Iterator[tuple[int, str]], name: str) -> Iterator[tuple[int, str]]:
    """Lines that are kept all together: a DataError beyond `LONGEST_FILE`."""
    size = 0
    for number, line in lines:
        size += len(line)
        if size > LONGEST_FILE:
            raise _too_large(name)
        yield number, line


def read_bytes(file: IO[bytes], name: str) -> bytes:
    """All bytes of an open file; a DataError beyond `LONGEST_FILE`."""
    content = file.read(LONGEST_FILE + 1)
    if len(content) > LONGEST_FILE:
        raise _too_large(name)
    return content


def _too_large(name: str) -> DataError:
    return DataError(f"larger than {LONGEST_FILE:,} bytes, the most that is read at once", path=name)
