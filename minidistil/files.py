"""Writing files so that nothing already saved is ever lost.

A file is written beside its final place, flushed to the disk, and only then renamed over the old
one. POSIX renames are atomic: whoever looks sees the old file or the new one, never half of one,
and after a crash, a kill or a full disk the old one is still there.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from minidistil.arguments import check_type
from minidistil.errors import ConfigError, DataError, MinidistilError, StorageError

SMALL = 256 << 20  # bytes: the largest tokenizer.json known has 35 MB
KINDS: dict[type, str] = {dict: "an object", list: "an array"}  # of JSON
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # as JSON escapes it; two make a character, one alone does not
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # no space, no quota, beyond a limit on file size


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Write a file wholly or not at all: `with atomic_write(p) as temporary: temporary.write_bytes(...)`.

    Missing parent directories are made. A symbolic link is replaced, not followed, so that saving
    into a download cache cannot change the files it shares.

    Parameters
    ----------
    path : str or Path
        The final place.

    Yields
    ------
    Path
        The file to write, in the same directory and with the same suffix. When the block ends well
        it becomes `path`; otherwise it is removed. Do nothing but the writing inside the block:
        its OSErrors are taken for failures to write.

    Raises
    ------
    StorageError
        The disk is full, or the place cannot be written. What was at `path` is untouched.
    """
    path = _absolute(path)
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        with suppress(OSError):  # renamed, never written, or in a place that is none
            temporary.unlink()


def read_npy(path: str | Path) -> Any:
    """An array of a .npy file; no pickle is ever loaded.

    Raises
    ------
    DataError
        No such file, or a damaged one.
    """
    from tokenize import TokenError
    from zipfile import BadZipFile

    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, BadZipFile, TokenError) as error:
        raise DataError(f"cannot be read: {error}", path=path) from error


def read_small(path: str | Path, error: type[MinidistilError] = ConfigError, *, limit: int = SMALL) -> bytes:
    """Content of a file that is read whole, such as a config or a vocabulary.

    Only of a regular file: a FIFO would wait for a writer, a device might never end.

    Parameters
    ----------
    path : str or Path
        Links are followed.
    error : class of MinidistilError
        Raised, with the path in its message.
    limit : int
        Most bytes.

    Raises
    ------
    error
        No such file, no regular file, one that is larger than `limit`, or one that cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise error(f"{path} is not a regular file")
            content = file.read(limit + 1)
    except OSError as reason:  # of a directory too
        raise error(f"cannot read {path}: {reason.strerror or reason}") from reason
    except ValueError as reason:  # a NUL in the path
        raise error(f"cannot read {str(path)!r}: {reason}") from reason
    if len(content) > limit:
        raise error(f"{path} has more than {limit >> 20} MB: it is not what its name says")
    return content


def read_text(path: str | Path, error: type[MinidistilError] = ConfigError, *, limit: int = SMALL) -> str:
    """Text of a file in UTF-8, without a byte-order mark; the rest as of `read_small`."""
    try:
        return read_small(path, error, limit=limit).decode().removeprefix("\ufeff")
    except UnicodeDecodeError as reason:
        raise error(f"{path} is not UTF-8 text: byte {reason.start} is invalid") from reason


def read_json(
    path: str | Path, error: type[MinidistilError] = ConfigError, *, kind: type = dict, limit: int = SMALL
) -> Any:
    """Content of a JSON file of the kind that is expected.

    Parameters
    ----------
    path, error, limit
        As of `read_small`.
    kind : dict, list or object
        Type of the content; `object` is any.

    Raises
    ------
    error
        As of `read_small`; no JSON, JSON nested too deeply, another kind.
    """
    text = read_text(path, error, limit=limit)
    try:
        value = json.loads(text)
        if SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as reason:
        raise error(f"{path} holds half of a surrogate pair, which is not text") from reason
    except (ValueError, RecursionError) as reason:  # a number of 5,000 digits is a ValueError
        why = "it is nested too deeply" if isinstance(reason, RecursionError) else reason
        raise error(f"{path} is not JSON: {why}") from reason
    if not isinstance(value, kind):
        raise error(f"{path} must hold {KINDS[kind]} of JSON, not {type(value).__name__}")
    return value


def to_json(value: object, **options: Any) -> str:
    """Strict JSON, with null for NaN and infinity; options as of `json.dumps`."""
    return json.dumps(_defined(value), ensure_ascii=False, allow_nan=False, **options)


def _defined(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _defined(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_defined(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: str | Path, value: object) -> None:
    """Write JSON for people and programs, wholly or not at all; errors as of `atomic_write`."""
    with atomic_write(path) as temporary:
        temporary.write_text(_pretty(_defined(value)) + "\n", encoding="utf-8")


def _pretty(value: Any, indent: str = "") -> str:
    """JSON with a line for each entry, a list of plain values in one."""
    deeper = indent + "  "
    if isinstance(value, dict) and value:
        keys = (key if isinstance(key, str) else json.dumps(key) for key in value)
        items = zip(keys, value.values(), strict=True)
        lines = [f"{deeper}{to_json(key)}: {_pretty(item, deeper)}" for key, item in items]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        return "[\n" + ",\n".join(deeper + _pretty(item, deeper) for item in value) + f"\n{indent}]"
    return to_json(value)


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Write a directory wholly or not at all.

    Parameters
    ----------
    path : str or Path
        The final place. If it exists, the new files replace those of the same name, each
        atomically and only once all of them are safely on the disk, config.json the last: a
        directory that was new has one when it is whole. Other files there stay.

    Yields
    ------
    Path
        An empty directory to fill. When the block ends badly it is removed.

    Raises
    ------
    StorageError
        The disk is full, or the place cannot be written. What was at `path` is untouched.
    """
    path = _absolute(path)
    # Inside the target if there is one: its parent may be read-only, or another file system.
    staging = (path if path.is_dir() else path.parent) / f".{path.name}-{secrets.token_hex(4)}"
    try:
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file is in the place of the directory", str(path))
        staging.mkdir(parents=True)
        yield staging
        written = sorted(staging.rglob("*"))
        for item in (*written, staging):
            _sync(item)
        if staging.parent == path.parent:
            os.rename(staging, path)
            _sync(path.parent)
        else:
            for item in sorted(written, key=lambda item: item.name == "config.json"):
                target = path / item.relative_to(staging)
                if item.is_dir():
                    target.mkdir(exist_ok=True)
                else:
                    os.replace(item, target)
            for directory in {(path / item.relative_to(staging)).parent for item in written}:
                _sync(directory)
            for left in path.glob(f".{path.name}-{'[0-9a-f]' * 8}"):  # by one that was killed
                shutil.rmtree(left, ignore_errors=True)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def temporary_directory(prefix: str = "minidistil-") -> Iterator[Path]:
    """A directory that exists while the block lasts.

    Raises
    ------
    StorageError
        There is no place for one, or its disk is full; the message names the folder and TMPDIR.
    """
    folder = ""
    try:
        folder = f" in {tempfile.gettempdir()}"
        with tempfile.TemporaryDirectory(prefix=prefix) as place:
            yield Path(place)
    except OSError as error:
        ours = not folder or str(error.filename or "").startswith(tempfile.gettempdir())
        if not ours and error.errno not in FULL:
            raise
        reason = error.strerror or error
        raise StorageError(
            f"temporary files cannot be written{folder}: {reason}. TMPDIR names another place"
        ) from error


@contextmanager
def only_writer(directory: Path) -> Iterator[None]:
    """Lock a directory, made if it is missing, against a second process.

    The lock goes with its process, however that ends. Its file, and directories that were made and are
    still empty, are removed.

    Raises
    ------
    StorageError
        Another process, or another thread, has it, or the directory cannot be written.
    """
    directory = _absolute(directory)
    made = [place for place in (directory, *directory.parents) if not place.exists()]
    lock = directory / ".lock"
    try:
        file = _locked(lock)
    except OSError as error:
        raise storage_error(directory, error) from error
    with file:
        try:
            yield
        finally:
            with suppress(OSError):  # the directory is gone, or its system removes no open file
                if _is_at(file, lock):
                    lock.unlink()
                for place in made:
                    place.rmdir()


def _locked(path: Path) -> IO[bytes]:
    """The open file at `path`, which this process alone has locked."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "ab")  # noqa: SIM115
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise StorageError(f"another process is writing {path.parent}; wait for it to end") from error
        except (ImportError, OSError):  # Windows; a file system without locks
            return file
        if _is_at(file, path):
            return file
        file.close()  # whoever had it has removed it since it was opened


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def storage_error(path: Path, error: OSError) -> StorageError:
    """The error to raise when writing `path` failed with `error`."""
    if error.errno in FULL:
        reason = f"the disk is full ({error.strerror}): free some space, or choose another place"
    else:
        reason = str(error)
    return StorageError(f"cannot write {path}: {reason}. What was there before is untouched.")


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _absolute(path: str | Path) -> Path:
    check_type("the path to write to", path, (str, os.PathLike))
    try:
        return Path(os.path.abspath(path))  # not resolve(): a link at the end is itself the thing to replace
    except FileNotFoundError as error:
        raise StorageError(f"{path} is nowhere: the working directory does not exist any more") from error


def _sync(path: Path) -> None:
    """Have a file's content, or a directory's names, reach the disk."""
    windows = os.name == "nt"
    if windows and path.is_dir():
        return  # cannot be opened there
    descriptor = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
