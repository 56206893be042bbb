"""Cache of compiled kernels: Numba's directories and code, in files of our own that are checked.

Numba keeps an index for each kernel, of the files that have its code for which types of arguments. Two
processes that write at once, or one that is killed in between, may leave an index that names a file of other
code; a damaged file is a traceback at every call; where nothing can be written, nothing runs. Here

- a file's name tells what is in it, and the file says it again, after a hash of its content. What does not
  agree, whether cut, damaged or foreign, counts as absent: the kernel is compiled again, and written over it;
- what cannot be written is compiled by each process for itself.

A warning reports either, once in a process.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
from contextlib import suppress
from glob import escape, glob
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import caching

from minidistil.errors import DataError
from minidistil.files import read_small

logger = logging.getLogger(__name__)

CONFIG: Any = numba.config
# What changes code besides the kernels' own files, the types of arguments and the processor.
SETTINGS = ("BOUNDSCHECK", "DEBUGINFO_DEFAULT", "LOOP_VECTORIZE", "OPT", "SLP_VECTORIZE", "USING_SVML")
DIGEST = hashlib.sha256().digest_size


def _stamp() -> str:
    """Hash of the kernels' files and of the compiler with its settings.

    Numba itself looks only at the file of the kernel, not at those of the kernels that it calls, which are
    part of it.
    """
    here = Path(__file__).parents[1]
    files = [(str(file.relative_to(here)), file.read_bytes()) for file in sorted(here.rglob("*.py"))]
    settings = [str(getattr(CONFIG, name, None)) for name in SETTINGS]
    return hashlib.sha256(
        repr((numba.__version__, llvmlite.__version__, settings, files)).encode()
    ).hexdigest()


STAMP = _stamp()
_warned: set[str] = set()


def _warn_once(what: str, message: str, *values: object) -> None:
    if what not in _warned:
        _warned.add(what)
        logger.warning(message, *values)


class _LastPlace(caching.InTreeCacheLocator):
    """Directory where Numba would keep kernels if it could write there: another user may have left some."""

    def __init__(self, py_func: Any, py_file: str) -> None:
        super().__init__(py_func, py_file)
        if CONFIG.CACHE_DIR:
            self._cache_path = os.path.join(CONFIG.CACHE_DIR, self.get_suitable_cache_subpath(py_file))

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> _LastPlace:
        return cls(py_func, py_file)


class _Places(caching.CompileResultCacheImpl):
    _locator_classes = [  # noqa: RUF012
        caching.UserProvidedCacheLocator,
        caching.InTreeCacheLocator,
        caching.UserWideCacheLocator,
        _LastPlace,
    ]


class _Files(caching.IndexDataCacheFile):
    """A file for each kernel and types of arguments: <kernel>.<stamp>-<key>.nbc."""

    def __init__(self, cache_path: str, filename_base: str, source_stamp: Any) -> None:
        super().__init__(cache_path, filename_base, source_stamp)
        self._base = filename_base

    def path(self, key: Any) -> str:
        """Path of the code for this key."""
        stamp, of_key = (
            hashlib.sha256(repr(value).encode()).hexdigest()[:16] for value in (self._source_stamp, key)
        )
        return os.path.join(self._cache_path, f"{self._base}.{stamp}-{of_key}.nbc")

    def save(self, key: Any, data: Any) -> None:
        path = self.path(key)
        content = self._dump((self._source_stamp, key, data))
        with self._open_for_write(path) as file:
            file.write(hashlib.sha256(content).digest() + content)
        current = path[: path.rindex("-")]
        for other in glob(escape(os.path.join(self._cache_path, self._base)) + ".*"):
            if not other.startswith(current):  # compiled from files as they were before
                with suppress(OSError):
                    os.unlink(other)

    def load(self, key: Any) -> Any:
        path = self.path(key)
        if not os.path.exists(path):
            return None
        content = read_small(path, DataError)
        if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
            raise DataError(f"{path} is damaged")
        stamp, of, data = pickle.loads(content[DIGEST:])
        if (stamp, of) != (self._source_stamp, key):
            raise DataError(f"{path} holds another kernel")
        return data

    def flush(self) -> None:
        pass


class KernelCache(caching.FunctionCache):
    """Cache of one kernel's compiled code, by types of arguments."""

    _impl_class = _Places

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        stamp = (self._impl.locator.get_source_stamp(), STAMP)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Stored code, or None."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # whatever reading another's bytes may raise
            _warn_once("damaged", "a compiled kernel cannot be used and is compiled again: %s", error)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store code, if a directory can be written."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn_once(
                "unkept",
                "compiled kernels cannot be kept in %s (%s), and every process compiles its own: set "
                "NUMBA_CACHE_DIR to a directory that can be written",
                self._cache_path,
                error.strerror or error,
            )
