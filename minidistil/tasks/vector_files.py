"""Vectors in a file: .npy, or .safetensors under the name `embeddings`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.errors import DataError, UsageError
from minidistil.files import atomic_write, read_npy
from minidistil.tasks.embeddings import as_vectors
from minidistil.weights.safetensors_file import SafetensorsFile, write_safetensors

NAME = "embeddings"
FORMATS = (".npy", ".safetensors")


def check_format(path: str | Path) -> str:
    """The ending of a name, or a UsageError if there is no such format."""
    suffix = Path(path).suffix
    if suffix not in FORMATS:
        raise UsageError(f"{path}: vectors are kept in files that end in {' or '.join(FORMATS)}")
    return suffix


def write_vectors(path: str | Path, vectors: npt.NDArray[Any]) -> None:
    """Write vectors [N, H], wholly or not at all.

    Raises
    ------
    UsageError
        A name with another ending.
    StorageError
        The disk is full or the place cannot be written; what was there is untouched.
    """
    if check_format(path) == ".npy":
        with atomic_write(path) as temporary:
            np.save(temporary, vectors, allow_pickle=False)
    else:
        write_safetensors(path, {NAME: vectors})


def read_vectors(path: str | Path) -> npt.NDArray[Any]:
    """Vectors [N, H] that `write_vectors` wrote, or another program.

    Raises
    ------
    UsageError
        A name with another ending.
    DataError, WeightsError, InputError
        No such file, a damaged one, or one that holds something else.
    """
    if check_format(path) == ".npy":
        array = read_npy(path)
    else:
        file = SafetensorsFile(path)
        if NAME not in file:
            raise DataError(f"there is no {NAME!r} in it; there are: {', '.join(file)}", path=path)
        array = file[NAME]
    return as_vectors(str(path), array)
