"""Tensors that another implementation saved: safetensors, `.npz`, or `.npy` files one by one.

Nothing is unpickled. Tensors may have names of ours, of transformers' outputs or of modules; see `our_name`.
"""

from __future__ import annotations

import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from minidistil.arrays import AnyArray
from minidistil.errors import InputError, UsageError, WeightsError
from minidistil.verify.operations import our_name
from minidistil.weights.safetensors_file import BFLOAT16, FLOATING, STORED, SafetensorsFile, decode_bfloat16

SUFFIXES = (".safetensors", ".npz", ".npy")
# Default tolerance for what is stored in half precision: four times the rounding of a number, 2^-11 and 2^-9.
HALF = {"float16": 2e-3, "bfloat16": 8e-3}
# All that NumPy was seen to raise for damaged files: it has several readers of headers, one for each version.
DAMAGED = (
    OSError, ValueError, EOFError, KeyError, TypeError, MemoryError, OverflowError, RuntimeError, SyntaxError,
    struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class Saved(Mapping[str, AnyArray]):
    """Tensors by name, each read when it is asked for.

    Attributes
    ----------
    stored : dict of str to str
        Floating-point type that each is stored in: "bfloat16", "float32".
    """

    def __init__(
        self,
        tensors: Mapping[str, Callable[[], AnyArray]],
        stored: Mapping[str, str],
    ) -> None:
        self._tensors, self.stored = dict(tensors), dict(stored)

    def __getitem__(self, name: str) -> AnyArray:
        return self._tensors[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._tensors  # and not by reading it

    def named(self, modules: Mapping[str, str], base: str) -> Saved:
        """The same tensors under our names; see `our_name`.

        Raises
        ------
        InputError
            Two of them are one tensor.
        """
        names: dict[str, str] = {}
        for name in self:
            ours = our_name(name, modules, base)
            if ours in names:
                raise InputError(f"{names[ours]!r} and {name!r} are both {ours}; give one of them")
            names[ours] = name
        return Saved(
            {ours: self._tensors[name] for ours, name in names.items()},
            {ours: self.stored[name] for ours, name in names.items() if name in self.stored},
        )

    def only(self, names: Iterable[str]) -> Saved:
        """Some of the tensors, in this order."""
        return Saved({name: self._tensors[name] for name in names}, self.stored)

    def tolerances(self) -> dict[str, float]:
        """Default tolerance of each tensor in half precision."""
        return {name: HALF[kind] for name, kind in self.stored.items() if kind in HALF}


def is_saved(source: str) -> bool:
    """True if a source is a file of tensors, NAME=FILE.npy, or a folder of .npy files, and no model."""
    path = Path(source)
    if path.is_dir():
        return not (path / "config.json").exists() and any(path.glob("*.npy"))
    return source.endswith(SUFFIXES)


def read_saved(sources: Sequence[str]) -> Saved:
    """Read files of tensors as one collection.

    Parameters
    ----------
    sources : sequence of str
        Paths of safetensors, .npz or .npy files; folders of .npy files, each called as its tensor; or
        "layer.0.attention.q=q.npy".

    Raises
    ------
    UsageError
        Another kind of file.
    WeightsError
        A file that cannot be read, is damaged, or holds other things than numbers.
    InputError
        Two tensors of one name.
    """
    tensors: dict[str, Callable[[], AnyArray]] = {}
    stored: dict[str, str] = {}
    for source in sources:
        if not is_saved(source):
            raise UsageError(
                f"{source} is no saved tensor; those are .safetensors, .npz or .npy files, folders of .npy "
                "files, or NAME=FILE.npy, and beside others a model has no place"
            )
        found = _open(source)
        if twice := found._tensors.keys() & tensors.keys():
            raise InputError(f"tensor {min(twice)!r} is given twice, the second time by {source}")
        tensors |= found._tensors
        stored |= found.stored
    return Saved(tensors, stored)


def _open(source: str) -> Saved:
    path = Path(source)
    if path.is_dir():
        return _arrays({file.stem: _numpy(file) for file in sorted(path.glob("*.npy"))}, source)
    if source.endswith(".safetensors"):
        file = SafetensorsFile(source)
        floats = {name: tensor.dtype for name, tensor in file.tensors.items() if tensor.dtype in FLOATING}
        return Saved(
            {name: tensor.read for name, tensor in file.tensors.items()},
            {name: "bfloat16" if t == BFLOAT16 else STORED[t].name for name, t in floats.items()},
        )
    if source.endswith(".npz"):
        found = _numpy(path)
        return _arrays(found if isinstance(found, dict) else {path.stem: found}, source)
    name, equals, file_name = source.partition("=")
    if not equals or path.exists():
        name, file_name = path.stem, source
    return _arrays({name: _numpy(Path(file_name))}, source)


def _numpy(path: Path) -> AnyArray | dict[str, AnyArray]:
    """Arrays of a file that NumPy reads: one, or several by name."""
    try:
        with path.open("rb") as stream:
            found = np.load(stream, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return found
            with found:
                return {name: found[name] for name in found.files}
    except DAMAGED as error:
        if isinstance(error, OSError) and error.strerror:
            raise WeightsError(f"cannot read {path}: {error.strerror}") from error
        if re.search("pickle|[Oo]bject array", str(error)):
            raise WeightsError(
                f"{path} holds Python objects, and reading those can run foreign code: save an array of "
                "numbers with np.save(path, array, allow_pickle=False)"
            ) from error
        raise WeightsError(f"{path} is not a sound NumPy file: {error or type(error).__name__}") from error


def _arrays(found: Mapping[str, AnyArray | dict[str, AnyArray]], source: str) -> Saved:
    """Arrays that NumPy read, if they hold numbers."""
    arrays: dict[str, AnyArray] = {}
    stored: dict[str, str] = {}
    for name, array in found.items():
        if not isinstance(array, np.ndarray):
            raise WeightsError(f"{source}: {name}.npy holds several arrays; call such a file .npz")
        kind = array.dtype.name
        if array.dtype.kind == "V" and array.dtype.itemsize == 2 and not array.dtype.names:
            kind, array = "bfloat16", decode_bfloat16(np.ascontiguousarray(array).view(np.uint16))
        if array.dtype.kind not in "fiub":
            raise WeightsError(f"{source}: tensor {name!r} holds {array.dtype}; numbers are expected")
        if array.dtype.kind == "f":
            stored[name] = kind
        arrays[name] = array

    def reader(array: AnyArray) -> Callable[[], AnyArray]:
        return lambda: array

    return Saved({name: reader(array) for name, array in arrays.items()}, stored)
