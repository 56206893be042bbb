"""Files of vectors: .npy, or .safetensors under the name `embeddings` with a hash of the texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.arrays import as_vectors
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.embeddings.similarity import prepare
from minidistil.errors import DataError, InputError, UsageError
from minidistil.files import atomic_write, read_npy
from minidistil.weights.safetensors_file import SafetensorsFile, write_safetensors

NAME = "embeddings"
TEXTS = "texts_sha256"  # in the metadata of a .safetensors file

ROWS_COMPARED = 8  # stored vectors that are embedded again and compared
# Half precision, another backend or another program change a vector by less than this part of its length, and
# quantization to 8 bits by more: such vectors belong to no encoder here.
TOLERANCE = 0.02
FORMATS = (".npy", ".safetensors")


def check_format(path: str | Path) -> str:
    """Return the suffix of a file name, or raise a UsageError if there is no such format."""
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
        A .safetensors file keeps their hash, by which `reuse_vectors` notices that the texts have changed.

    Raises
    ------
    UsageError
        A name with another suffix.
    StorageError
        The disk is full or the file cannot be written; its old content is untouched.
    """
    if check_format(path) == ".npy":
        with atomic_write(path) as temporary:
            np.save(temporary, vectors, allow_pickle=False)
    else:
        metadata = {} if texts is None else {TEXTS: _hash(texts)}
        write_safetensors(path, {NAME: vectors}, {"format": "pt", **metadata})


def read_vectors(path: str | Path) -> npt.NDArray[Any]:
    """Read vectors [N, H] of `write_vectors` or of another program.

    Raises
    ------
    UsageError
        A name with another suffix.
    DataError, WeightsError, InputError
        No such file, a damaged one, or one that holds something else.
    """
    return _read(path)[0]


def reuse_vectors(
    encoder: SentenceEncoder, texts: Sequence[str], stored: str | Path | npt.ArrayLike
) -> npt.NDArray[Any]:
    """Reuse stored vectors [N, H], if they are those of these texts and of this encoder.

    Parameters
    ----------
    encoder : SentenceEncoder
    texts : sequence of str, [N]
    stored : path, or float [N, H]
        A file as of `read_vectors`, or the result of `encode`. If the file has a hash of its texts, they must
        all be the same. Some rows, the first and the last among them, are embedded again and compared.

    Raises
    ------
    InputError
        Other vectors; the row that differs is named.
    UsageError, DataError, WeightsError
        As of `read_vectors`.
    """
    if isinstance(stored, (str, Path)):
        (vectors, digest), name = _read(stored), str(stored)
    else:
        vectors, digest, name = as_vectors("the vectors", stored), None, "the vectors"
    if vectors.shape != (len(texts), encoder.width):
        raise InputError(
            f"{name}: there are {len(vectors)} vectors of {vectors.shape[1]} numbers; {len(texts)} of "
            f"{encoder.width} are expected, of these texts and this encoder"
        )
    if digest is not None and digest != _hash(texts):
        raise InputError(f"{name}: these are vectors of other texts, or of these in another order; {AGAIN}")
    rows = np.unique(np.linspace(0, len(texts) - 1, ROWS_COMPARED).round().astype(np.int64))
    similarity = encoder.settings.similarity  # cosines do not depend on lengths
    expected = prepare(encoder.encode([texts[i] for i in rows]), similarity)
    differences = np.linalg.norm(expected - prepare(vectors[rows], similarity), axis=1)
    wrong = np.flatnonzero(differences > TOLERANCE * np.linalg.norm(expected, axis=1))
    if len(wrong):
        i = int(rows[wrong[0]])
        raise InputError(
            f"{name}: row {i} is not the vector that this encoder makes of {texts[i]!r:.60}. They are of "
            f"other texts, in another order, of another encoder, or made with other options: {AGAIN}"
        )
    return vectors


AGAIN = "make them again with `minidistil embed`"


def _read(path: str | Path) -> tuple[npt.NDArray[Any], str | None]:
    """Read vectors, and the hash of their texts if the file has it."""
    if check_format(path) == ".npy":
        return as_vectors(str(path), read_npy(path)), None
    file = SafetensorsFile(path)
    if NAME not in file:
        raise DataError(f"there is no {NAME!r} in it; there are: {', '.join(file)}", path=path)
    return as_vectors(str(path), file[NAME]), file.metadata.get(TEXTS)


def _hash(texts: Sequence[str]) -> str:
    """SHA-256 of texts."""
    return hashlib.sha256(json.dumps(list(texts), ensure_ascii=False).encode()).hexdigest()
