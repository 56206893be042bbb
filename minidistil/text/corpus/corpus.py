"""A corpus: text encoded once, in a directory of files that are mapped into memory.

    tokens.bin    ids of all documents end to end, little-endian uint16 (uint32 for over 65,536 ids),
                  without [CLS] and [SEP]
    offsets.bin   uint64 [N + 1]: document i is tokens[offsets[i]:offsets[i + 1]]
    counts.npy    int64 [V]: how often each id occurs
    meta.json     what it was made of: tokenizer, files with size and SHA-256, settings; written last

`minidistil.text.corpus.writer` makes it.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Int64
from minidistil.errors import ConfigError, DataError
from minidistil.files import read_json, read_npy
from minidistil.text.tokenizer import CHUNK, Tokenizer

VERSION = 1
TOKENS, OFFSETS, COUNTS = "tokens.bin", "offsets.bin", "counts.npy"
META, PROGRESS = "meta.json", "progress.json"
PLAN = {
    "version": int,
    "tokenizer": str,
    "settings": dict,
    "sources": list,
}  # entries of what is written down
KINDS = {"dtype": str, "documents": int, "tokens": int, "sha256": dict}
DAMAGED = "it is damaged; remove the directory to begin again"
BLOCK = 1 << 20  # offsets looked at together

Ids = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class Corpus:
    """N encoded documents, mapped: what is not read takes no memory. Small ones may be in memory.

    Attributes
    ----------
    directory : Path
    tokens : uint16 or uint32 [T]
        Read-only.
    offsets : int64 [N + 1]
        Read-only. Document i is `tokens[offsets[i]:offsets[i + 1]]`, never empty.
    counts : int64 [V]
    meta : mapping
        Contents of meta.json.
    maps : tuple
        The files, for `release`.
    """

    directory: Path
    tokens: Ids
    offsets: Int64
    counts: Int64
    meta: Mapping[str, Any]
    maps: tuple[mmap.mmap, ...] = ()

    @classmethod
    def open(cls, directory: str | Path, tokenizer: Tokenizer | None = None) -> Self:
        """Map a finished corpus.

        Parameters
        ----------
        directory : path
        tokenizer : Tokenizer, optional
            If given, it must be the one that the corpus was encoded with.

        Raises
        ------
        DataError
            No corpus, an unfinished one, or files that are not as long as they should be.
        ConfigError
            It was encoded with another tokenizer, or by another version.
        """
        directory = Path(directory)
        meta = read_record(directory / META, KINDS)
        if meta is None:
            unfinished = (directory / PROGRESS).exists()
            raise DataError(
                "the corpus is not finished: encode it again, and it goes on from where it was"
                if unfinished
                else f"there is no corpus here: no {META}",
                path=directory,
            )
        if meta["plan"]["version"] != VERSION:
            raise ConfigError(
                f"{directory} has format {meta['plan']['version']}, not {VERSION}: encode the text again"
            )
        if tokenizer is not None and tokenizer.content_hash() != meta["plan"]["tokenizer"]:
            raise ConfigError(f"{directory} was encoded with another tokenizer: encode the text again")
        if meta["dtype"] not in ("<u2", "<u4") or min(meta["documents"], meta["tokens"]) < 1:
            raise DataError(f"has no such tokens: {DAMAGED}", path=directory / META)
        files, maps = {}, []
        for name, dtype, length in (
            (TOKENS, meta["dtype"], meta["tokens"]),
            (OFFSETS, "<u8", meta["documents"] + 1),
        ):
            path, expected = directory / name, length * np.dtype(dtype).itemsize
            size = path.stat().st_size if path.exists() else 0
            if size != expected:
                raise DataError(f"has {size} bytes instead of {expected}; encode the text again", path=path)
            with open(path, "rb") as file:
                maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            # A plain array over the map: slicing a np.memmap costs microseconds more.
            files[name] = np.frombuffer(maps[-1], dtype)
        if not _lie_end_to_end(files[OFFSETS].view("<i8"), meta["tokens"]):
            raise DataError(f"is no list of documents: {DAMAGED}", path=directory / OFFSETS)
        counts = read_npy(directory / COUNTS)
        if counts.ndim != 1 or counts.dtype.kind not in "iu" or counts.sum() != meta["tokens"]:
            raise DataError(f"does not count the tokens: {DAMAGED}", path=directory / COUNTS)
        return cls(
            directory=directory,
            tokens=files[TOKENS],
            offsets=files[OFFSETS].view("<i8"),  # NumPy makes floats of uint64 and int64 together
            counts=counts,
            meta=meta,
            maps=tuple(maps),
        )

    @classmethod
    def in_memory(cls, tokenizer: Tokenizer, texts: Sequence[str], source: str | Path) -> Self:
        """Encode texts that are there already, each a document; those without a token are left out.

        Parameters
        ----------
        source : path
            Name for messages.
        """
        parts = [tokenizer.encode_flat(texts[i : i + CHUNK]) for i in range(0, len(texts), CHUNK)]
        dtype = "<u2" if tokenizer.num_ids <= 1 << 16 else "<u4"
        tokens = np.concatenate([np.zeros(0, dtype), *(ids.astype(dtype) for ids, _ in parts)])
        lengths = np.concatenate([np.zeros(0, np.int64), *(sizes for _, sizes in parts)])
        offsets = np.append(0, np.cumsum(lengths[lengths > 0]))
        return cls(
            directory=Path(source),
            tokens=tokens,
            offsets=offsets,
            counts=np.bincount(tokens, minlength=tokenizer.num_ids),
            meta={
                "plan": {"tokenizer": tokenizer.content_hash()},
                "sha256": {
                    TOKENS: hashlib.sha256(tokens.data).hexdigest(),
                    OFFSETS: hashlib.sha256(offsets.astype("<u8").data).hexdigest(),
                },
            },
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def num_tokens(self) -> int:
        return len(self.tokens)

    def document(self, i: int) -> Ids:
        """Ids of document i, uint16 or uint32 [length]."""
        i = range(len(self))[i]
        return self.tokens[self.offsets[i] : self.offsets[i + 1]]

    def release(self) -> None:
        """Give up the memory that what was read takes, until it is read again: it is still in the files."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for mapped in self.maps:
                mapped.madvise(mmap.MADV_DONTNEED)

    def content_hash(self) -> str:
        """SHA-256 of tokens and offsets, as they were when they had been written."""
        return hashlib.sha256(json.dumps(self.meta["sha256"], sort_keys=True).encode()).hexdigest()


def read_record(path: Path, kinds: Mapping[str, type]) -> dict[str, Any] | None:
    """Record of a corpus by its writer; None if there is no such file.

    Parameters
    ----------
    path : Path
    kinds : mapping of str to type
        Entries that it has beside its plan.

    Raises
    ------
    DataError
        It is damaged.
    """
    if not os.path.lexists(path):
        return None
    record: dict[str, Any] = read_json(path, DataError)
    for where, wanted, table in (("", kinds, record), ("plan.", PLAN, record.get("plan"))):
        for key, kind in wanted.items():
            if not isinstance(table, dict) or type(table.get(key)) is not kind:
                raise DataError(f"has no {where}{key}: {DAMAGED}", path=path)
    if not all(isinstance(s, dict) and isinstance(s.get("name"), str) for s in record["plan"]["sources"]):
        raise DataError(f"plan.sources are no files: {DAMAGED}", path=path)
    return record


def _lie_end_to_end(offsets: Int64, tokens: int) -> bool:
    """True if documents fill so many tokens, none of them empty; read in parts, for they may be many."""
    parts = (offsets[begin : begin + BLOCK + 1] for begin in range(0, len(offsets), BLOCK))
    ends = offsets[0] == 0 and offsets[-1] == tokens
    return bool(ends and all((np.diff(part) > 0).all() for part in parts))
