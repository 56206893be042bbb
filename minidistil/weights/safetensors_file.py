"""The safetensors format, read by hand.

    8 bytes   N, the length of the header, little-endian
    N bytes   JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
    the rest  the tensors' bytes, row-major, little-endian, with neither gaps nor overlaps

Reading is our own code, because the `safetensors` package's NumPy binding cannot give bfloat16,
and because we want errors that name the file and the tensor. Writing is the package's.
Format: the section of that name in the README of the safetensors package.

Nothing is mapped into memory: where a mapped file is cut short the process dies of a signal, and where it is
overwritten numbers change under a model. A read that comes short is an error, and so is one from a file that
has changed since it was opened.
"""

from __future__ import annotations

import json
import os
import re
import stat
import threading
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import save_file

from minidistil.arrays import AnyArray
from minidistil.errors import WeightsError
from minidistil.files import atomic_write

MAX_HEADER = 100_000_000  # bytes; the limit of the reference implementation
MAX_DIMS = 32  # what every NumPy can reshape to
_AT_ONCE = 1 << 28  # bytes; systems read at most 2^31 - 4096 in a call
_SEEKING = threading.Lock()
BFLOAT16 = "BF16"

# How each dtype's bytes are stored. BF16 is the upper half of a float32: its bits are read.
STORED: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    BFLOAT16: np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
# Bits of an element in dtypes that NumPy lacks. A file may hold such tensors; only reading one is an error.
UNREADABLE = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    "C64": 64,
}
FLOATING = frozenset({"F64", "F32", "F16", BFLOAT16})


class _Bytes:
    """The bytes of an open file, as long as it does not change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(path, flags)
            weakref.finalize(self, os.close, self._descriptor)
            self.state = self._stat()
        except OSError as error:
            raise WeightsError(f"cannot read {path}: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise WeightsError(f"cannot read {path}: it is not a regular file")

    def read(self, start: int, out: memoryview, name: str = "") -> None:
        """Fill `out` with the bytes from `start` on, all of them and of the file that was opened."""
        try:
            while out.nbytes and (count := _read_at(self._descriptor, out[:_AT_ONCE], start)):
                out, start = out[count:], start + count
            changed = out.nbytes > 0 or self._stat() != self.state
        except OSError as error:
            raise WeightsError(f"cannot read {self.path}: {error.strerror}") from error
        if changed:
            what = f", before tensor {name!r} was read" if name else ""
            raise WeightsError(
                f"{self.path} has changed since it was opened{what}: load it again. (A file in use may be "
                f"replaced by another of its name, as minidistil does, but not written into.)"
            )

    def _stat(self) -> tuple[int, int]:
        """Size and time of the last change, in nanoseconds; a file that is replaced has both as before."""
        found = os.fstat(self._descriptor)
        return found.st_size, found.st_mtime_ns


@dataclass(frozen=True)
class Tensor:
    """A tensor in a file, not read yet.

    Attributes
    ----------
    file : bytes of the file
    name : str
    dtype : str
        What it is stored in, in the format's words: "F32", "BF16".
    shape : tuple of int
    start, stop : int
        Its bytes in the file.
    """

    file: _Bytes
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    def holds(self, dtype: np.dtype[Any]) -> bool:
        """True if it is stored in this very dtype."""
        return STORED.get(self.dtype) == dtype

    def read(self) -> AnyArray:
        """An array, read-only, in float32 if it is stored in bfloat16."""
        stored = self._stored()
        array = decode_bfloat16(stored) if self.dtype == BFLOAT16 else stored
        array.flags.writeable = False
        return array

    def read_into(self, out: AnyArray) -> None:
        """Copy floating-point numbers into `out` (same shape, float32 or float64), converting on the way."""
        if self.holds(out.dtype) and out.flags.c_contiguous:
            self.read_part(0, out)
        elif self.dtype == BFLOAT16 and out.dtype == np.float32:
            bits = out.view(np.uint32)
            np.copyto(bits, self._stored())
            bits <<= 16
        else:
            with np.errstate(over="ignore"):  # float64 beyond float32 becomes Inf, which the caller looks for
                np.copyto(out, self.read(), casting="same_kind")

    def read_part(self, first: int, out: AnyArray) -> None:
        """Copy elements, in row-major order from number `first` on, into `out` of the stored dtype."""
        self.file.read(self.start + first * out.itemsize, _bytes_of(out), self.name)

    def raw(self) -> npt.NDArray[np.uint8]:
        """The bytes, of any dtype, as they lie in the file."""
        array = np.empty(self.stop - self.start, np.uint8)
        self.file.read(self.start, array.data, self.name)
        return array

    def _stored(self) -> AnyArray:
        """An array of what it is stored as."""
        if self.dtype not in STORED:
            raise WeightsError(
                f"{self.file.path}: tensor {self.name!r} is {_short(self.dtype)}; "
                f"these can be read: {', '.join(STORED)}"
            )
        array = np.empty(self.shape, STORED[self.dtype])
        self.file.read(self.start, _bytes_of(array), self.name)
        return array


class TensorMap(Mapping[str, AnyArray]):
    """Arrays by name, each read when it is asked for; `tensors` has them unread."""

    tensors: dict[str, Tensor]

    def __getitem__(self, name: str) -> AnyArray:
        return self.tensors[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __contains__(self, name: object) -> bool:
        return name in self.tensors  # and not by reading it


class SafetensorsFile(TensorMap):
    """The tensors of one file: a mapping of name to array that reads only what is asked for.

    The file stays open, so that replacing it by another changes nothing here.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    path : Path
    tensors : dict of str to Tensor
    metadata : dict of str to str
        The file's own notes, such as {"format": "pt"}.

    Raises
    ------
    WeightsError
        The file cannot be opened, or is damaged: its header is checked whole before any tensor is read.
        Of reading a tensor: it is stored in a dtype that cannot be read, or the file has changed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.metadata: dict[str, str] = {}
        self._file = _Bytes(self.path)
        size = self._file.state[0]
        if size < 8:
            self._fail(f"has {size} bytes; even an empty safetensors file has 10")
        first = self._header(0, 8)
        if first == b"version ":
            self._fail("is a pointer of Git LFS instead of the weights; run: git lfs pull")
        length = int.from_bytes(first, "little")
        if length > MAX_HEADER:
            self._fail(f"says its header has {length} bytes, beyond the limit of {MAX_HEADER}")
        if 8 + length > size:
            self._fail(f"says its header has {length} bytes, but only {size - 8} follow: it is cut short")
        self.tensors = self._parse(self._header(8, length), 8 + length)
        self._check_layout(8 + length, size)

    def _header(self, start: int, length: int) -> bytearray:
        content = bytearray(length)
        self._file.read(start, memoryview(content))
        return content

    def _fail(self, problem: str) -> NoReturn:
        raise WeightsError(f"{self.path} is not a sound safetensors file: it {problem}")

    def _parse(self, header: bytearray, start: int) -> dict[str, Tensor]:
        if not header.startswith(b"{"):
            self._fail(f"has a header that begins with {bytes(header[:8])!r} where '{{' was expected")
        try:
            values = json.loads(header.decode(), object_pairs_hook=self._unique)
        except (ValueError, RecursionError) as error:
            raise WeightsError(f"{self.path} is not a sound safetensors file: header: {error}") from error
        metadata = values.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            self._fail("has a __metadata__ that does not map names to text")
        self.metadata = metadata
        return {name: self._parse_entry(name, value, start) for name, value in values.items()}

    def _unique(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(pairs)
        if len(out) != len(pairs):
            twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
            self._fail(f"holds {_short(twice)} twice")
        return out

    def _parse_entry(self, name: str, value: Any, start: int) -> Tensor:
        keys = {"dtype", "shape", "data_offsets"}
        if not isinstance(value, dict) or set(value) != keys:
            self._fail(
                f"describes tensor {name!r} by {_short(value)}; dtype, shape and data_offsets were expected"
            )
        dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
        if not isinstance(dtype, str):
            self._fail(f"stores tensor {name!r} as {_short(dtype)}; the name of a dtype was expected")
        if not _naturals(shape) or len(shape) > MAX_DIMS:
            self._fail(
                f"gives tensor {name!r} the shape {_short(shape)}; a list of integers >= 0 was expected"
            )
        if not _naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
            self._fail(
                f"gives tensor {name!r} the data_offsets {_short(offsets)}; [start, stop] was expected"
            )
        bits = 8 * STORED[dtype].itemsize if dtype in STORED else UNREADABLE.get(dtype)
        if (bits or 8) * prod(size for size in shape if size) >= 2**66:
            self._fail(f"gives tensor {name!r} the shape {_short(shape)}, which no memory holds")
        given = offsets[1] - offsets[0]
        if bits is not None and bits * prod(shape) != 8 * given:
            needed = bits * prod(shape) / 8
            self._fail(f"gives tensor {name!r} {given} bytes, but {dtype} {shape} takes {needed:.16g}")
        return Tensor(self._file, name, dtype, tuple(shape), start + offsets[0], start + offsets[1])

    def _check_layout(self, start: int, size: int) -> None:
        """Every byte after the header, which ends at `start`, belongs to exactly one tensor."""
        position, previous = start, "the header"
        for name, tensor in sorted(self.tensors.items(), key=lambda item: (item[1].start, item[1].stop)):
            begin, stop = tensor.start - start, tensor.stop - start
            if tensor.start != position:
                gap = tensor.start - position
                what = "overlaps" if gap < 0 else f"leaves {gap} bytes after"
                self._fail(f"is laid out wrongly: tensor {name!r} at byte {begin} {what} {previous}")
            if tensor.stop > size:
                self._fail(
                    f"ends at byte {size - start} of its data, before the end of tensor {name!r} at {stop}"
                )
            position, previous = tensor.stop, f"tensor {name!r}"
        if position != size:
            self._fail(f"has {size - position} bytes after {previous}, its last")


def _bytes_of(array: AnyArray) -> memoryview:
    """The memory of a contiguous array."""
    return array.reshape(-1).view(np.uint8).data


def _read_at(descriptor: int, out: memoryview, place: int) -> int:
    """Fill part of `out`; the number of bytes. Forked processes share a descriptor's position, so no seek."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [out], place)
    with _SEEKING:  # Windows, which has no fork
        os.lseek(descriptor, place, os.SEEK_SET)
        content = os.read(descriptor, out.nbytes)
    out[: len(content)] = content
    return len(content)


def decode_bfloat16(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """bfloat16 is float32 without its lower 16 bits, so decoding is exact."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def write_safetensors(
    path: str | Path, tensors: Mapping[str, AnyArray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write one file, atomically.

    Parameters
    ----------
    path : str or Path
    tensors : mapping of str to array
    metadata : mapping of str to str, optional
        Default {"format": "pt"}, without which transformers refuses a file.

    Raises
    ------
    StorageError
        The disk is full or the place cannot be written; the old file is untouched.
    """
    dense = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    with atomic_write(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # of any new file here; safetensors 0.8 makes one for its owner alone
        try:
            save_file(dense, temporary, dict(metadata or {"format": "pt"}))
        except SafetensorError as error:
            # The package reports a failed write in words only: "os error 28", in old versions "code: 28".
            if code := re.search(r"(?:os error|code:) (\d+)", str(error)):
                raise OSError(int(code[1]), str(error)) from error
            raise
        temporary.chmod(mode)


def _naturals(value: Any) -> bool:
    # type() and not isinstance(): JSON's true would pass for 1.
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
