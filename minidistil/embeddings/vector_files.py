"""Vectors in a file: .npy, or .safetensors under the name `embeddings`.

A .safetensors file also tells of which texts they are, by a hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.embeddings.search import prepared
from minidistil.embeddings.vectors import as_vectors
from minidistil.errors import DataError, InputError, UsageError
from minidistil.files import atomic_write, read_npy
from minidistil.weights.safetensors_file import SafetensorsFile, write_safetensors

NAME = "embeddings"
TEXTS = "texts_sha256"  # in the metadata of a .safetensors file

ROWS_COMPARED = 8  # of vectors made before with those that the encoder makes now
# Half precision, another backend or another program change a vector less than this part of its length.
# Eight bits change it more: they belong to no encoder here.
TOLERANCE = 0.02
FORMATS = (".npy", ".safetensors")


def check_format(path: str | Path) -> str:
    """The ending of a name, or a UsageError if there is no such format."""
    suffix = Path(path).suffix
    if suffix not in FORMATS:
        raise UsageError(f"{path}: vectors are kept in files that end in {' or '.join(FORMATS)}")
    return suffix


def write_vectors(path: str | Path, vectors: npt.NDArray[Any], texts: Sequence[str] | None = None) -> None:
    """Write vectors [N, H], wholly or not at all.

    Parameters
    ----------
    path : str or Path
    vectors : float [N, H]
    texts : sequence of str, [N]
        What they are vectors of. A .safetensors file then has a hash of them, by which `known_vectors` sees
        whether these are still the texts.

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
        told = {} if texts is None else {TEXTS: _hash(texts)}
        write_safetensors(path, {NAME: vectors}, {"format": "pt", **told})


def read_vectors(path: str | Path) -> npt.NDArray[Any]:
    """Vectors [N, H] that `write_vectors` wrote, or another program.

    Raises
    ------
    UsageError
        A name with another ending.
    DataError, WeightsError, InputError
        No such file, a damaged one, or one that holds something else.
    """
    return _read(path)[0]


def known_vectors(
    encoder: SentenceEncoder, texts: Sequence[str], given: str | Path | npt.ArrayLike
) -> npt.NDArray[Any]:
    """Vectors that were made before, [N, H], if they are those of these texts and of this encoder.

    Parameters
    ----------
    encoder : SentenceEncoder
    texts : sequence of str, [N]
    given : path, or float [N, H]
        A file as of `read_vectors`, or what `encode` gave. Of a file that tells its texts, all must be the
        same. Some rows, the first and the last among them, are made anew and compared in any case.

    Raises
    ------
    InputError
        Other vectors; the row that differs is named.
    UsageError, DataError, WeightsError
        As of `read_vectors`.
    """
    if isinstance(given, (str, Path)):
        (vectors, told), name = _read(given), str(given)
    else:
        vectors, told, name = as_vectors("the vectors", given), None, "the vectors"
    if vectors.shape != (len(texts), encoder.width):
        raise InputError(
            f"{name}: there are {len(vectors)} vectors of {vectors.shape[1]} numbers; {len(texts)} of "
            f"{encoder.width} are expected, of these texts and this encoder"
        )
    if told is not None and told != _hash(texts):
        raise InputError(f"{name}: these are vectors of other texts, or of these in another order; {AGAIN}")
    rows = np.unique(np.linspace(0, len(texts) - 1, ROWS_COMPARED).round().astype(np.int64))
    similarity = encoder.embedding.similarity  # of cosines lengths do not count
    made = prepared(encoder.encode([texts[i] for i in rows]), similarity)
    apart = np.linalg.norm(made - prepared(vectors[rows], similarity), axis=1)
    differs = np.flatnonzero(apart > TOLERANCE * np.linalg.norm(made, axis=1))
    if len(differs):
        i = int(rows[differs[0]])
        raise InputError(
            f"{name}: row {i} is not the vector that this encoder makes of {texts[i]!r:.60}. They are of "
            f"other texts, in another order, of another encoder, or made with other options: {AGAIN}"
        )
    return vectors


AGAIN = "make them again with `minidistil embed`"


def _read(path: str | Path) -> tuple[npt.NDArray[Any], str | None]:
    """Vectors, and the hash of their texts if the file has it."""
    told = None
    if check_format(path) == ".npy":
        array = read_npy(path)
    else:
        file = SafetensorsFile(path)
        if NAME not in file:
            raise DataError(f"there is no {NAME!r} in it; there are: {', '.join(file)}", path=path)
        array, told = file[NAME], file.metadata.get(TEXTS)
    return as_vectors(str(path), array), told


def _hash(texts: Sequence[str]) -> str:
    """SHA-256 of texts."""
    return hashlib.sha256(json.dumps(list(texts), ensure_ascii=False).encode()).hexdigest()
