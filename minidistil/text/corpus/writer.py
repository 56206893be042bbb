"""Encoding of text files into a corpus: streamed through the tokenizer, and resumable at any point.

Lines stream through `Tokenizer.encode_flat` into tokens.bin and offsets.bin, which only grow. After every
8 MiB of text they are flushed to the disk, and then `progress.json` is replaced by one that says how long
they were and where in which file to go on. Whoever finds a `progress.json` cuts both files to those lengths
and goes on from there. What is written depends on the text and the tokenizer only, so a run that was killed,
however often, ends with the same bytes. Counts and hashes are taken from the finished files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Int64
from minidistil.errors import ConfigError, DataError
from minidistil.files import atomic_write, only_writer, sha256_file, storage_error, write_json
from minidistil.prefetch import map_ahead
from minidistil.progress import Progress
from minidistil.settings import build
from minidistil.text.corpus.corpus import (
    COUNTS,
    META,
    OFFSETS,
    PROGRESS,
    TOKENS,
    VERSION,
    Corpus,
    read_record,
)
from minidistil.text.corpus.files import Source, SourceReader, find_sources
from minidistil.text.tokenizer import Tokenizer

BATCH = 1 << 19  # bytes of text a call of the Rust library: its encodings take some 50 times as much memory
BATCH_PIECES = 1 << 14
PART = 1 << 23  # bytes of text between two commits: some seconds of work
BLOCK = 1 << 18  # tokens counted at a time: bincount makes eight bytes of each
THREADS = 2  # while one thread waits for the Rust library, the other makes arrays of what it had


def encode_corpus(
    tokenizer: Tokenizer,
    inputs: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    leave_out: Path | None = None,
    text_key: str = "text",
    quiet: bool = False,
) -> Corpus:
    """Encode text files into a corpus, continue one that was stopped, or open the finished one.

    Parameters
    ----------
    tokenizer : Tokenizer
    inputs : path, or several
        Files and directories, which are searched through (see `corpus_files.find_sources`). Names that end in
        .jsonl, .ndjson or .json have an object a line; all others are plain text, a document a line. Either
        may be packed (.gz). Blank documents are skipped. A long line is encoded in pieces of 64 KiB, cut at
        spaces: to BERT's tokenizers, which never look across a space, that makes no difference. Only what has
        no space in 64 KiB is cut elsewhere.
    out : path
        Directory of the corpus.
    leave_out : path, optional
        A directory not to search for text; by default `out`.
    text_key : str
        Key of the text in a JSON object.
    quiet : bool
        Show no progress.

    Raises
    ------
    DataError
        Nothing to encode, or something that is not text (file and line named).
    ConfigError
        `out` holds a corpus of something else; the message says what differs.
    StorageError
        The disk is full, or another process is writing the same corpus.
    """
    out = Path(out)
    sources = find_sources(inputs, leave_out=leave_out or out, quiet=quiet)
    plan = {
        "version": VERSION,
        "tokenizer": tokenizer.content_hash(),
        "settings": {"text_key": text_key},
        "sources": [{"name": s.name, "size": s.size, "sha256": s.sha256} for s in sources],
    }
    with only_writer(out):
        for name in (META, PROGRESS):
            before = read_record(out / name, {"state": dict} if name == PROGRESS else {})
            if before is None or before["plan"] == plan:
                continue
            if name == PROGRESS and before["state"] == vars(_State()):
                for begun in (TOKENS, OFFSETS, PROGRESS):  # nothing of that was kept yet
                    (out / begun).unlink(missing_ok=True)
            else:
                raise ConfigError(
                    f"{out} holds a corpus of something else: {_difference(before['plan'], plan)}. "
                    "Choose another directory, or remove this one"
                )
        if not (out / META).exists():
            _Writer(tokenizer, sources, text_key, out, plan).run(quiet)
        (out / PROGRESS).unlink(missing_ok=True)
    return Corpus.open(out)


@dataclass
class _State:
    """Content of progress.json besides the plan: what is safely written, and where to go on."""

    tokens: int = 0
    documents: int = 0
    file: int = 0
    byte: int = 0
    line: int = 1
    within: bool = False  # a document whose first tokens may be written, but not its end


@dataclass
class _Batch:
    """Pieces that are encoded together, and how things stand after them."""

    texts: list[str] = field(default_factory=list)
    ends: list[bool] = field(default_factory=list)
    file: int = 0
    byte: int | None = 0
    line: int = 1
    bytes_read: int = 0  # bytes of all files


class _Writer:
    """Makes a corpus, from the beginning or from the last commit."""

    def __init__(
        self, tokenizer: Tokenizer, sources: list[Source], key: str, out: Path, plan: dict[str, Any]
    ) -> None:
        self.tokenizer, self.sources, self.key, self.out, self.plan = tokenizer, sources, key, out, plan
        self.num_ids = tokenizer.num_ids
        self.dtype = np.dtype("<u2" if self.num_ids <= 1 << 16 else "<u4")
        saved = read_record(out / PROGRESS, {"state": dict})
        self.state = _State() if saved is None else build(_State, saved["state"], str(out / PROGRESS))
        if saved is None:
            for name in (TOKENS, OFFSETS):
                if (out / name).exists():
                    raise ConfigError(
                        f"{out / name} exists and is no part of a corpus: choose another directory"
                    )
            self._save_state()

    def run(self, quiet: bool) -> None:
        total = sum(source.size for source in self.sources)
        before = sum(source.size for source in self.sources[: self.state.file]) + self.state.byte
        megabytes = min(before, total) // 10**6
        try:
            with (
                self._at_the_end(TOKENS, self.state.tokens * self.dtype.itemsize) as tokens,
                self._at_the_end(OFFSETS, 8 * (self.state.documents + 1)) as offsets,
                Progress(total // 10**6, "encoding text", "MB", done=megabytes, quiet=quiet) as progress,
            ):
                if self.state.documents == 0:
                    offsets.seek(0)
                    offsets.write(np.zeros(1, "<u8").tobytes())
                self._encode(tokens, offsets, progress)
        except OSError as error:
            raise storage_error(self.out, error) from error
        if self.state.documents == 0:
            for name in (TOKENS, OFFSETS, PROGRESS):
                (self.out / name).unlink(missing_ok=True)
            names = ", ".join(source.name for source in self.sources[:3])
            more = f" and {len(self.sources) - 3} more" if len(self.sources) > 3 else ""
            raise DataError(f"there is no text in {names}{more}")
        self._finish()

    def _at_the_end(self, name: str, size: int) -> IO[bytes]:
        """A file cut to what was committed, open for more."""
        path = self.out / name
        path.touch()
        if path.stat().st_size < size and self.state != _State():
            raise DataError(
                f"is shorter than {PROGRESS} says; remove the directory to begin again", path=path
            )
        file = open(path, "r+b")  # noqa: SIM115
        file.truncate(size)
        file.seek(size)
        return file

    def _encode(self, tokens: IO[bytes], offsets: IO[bytes], progress: Progress) -> None:
        state = self.state
        written, documents = state.tokens, state.documents  # of them, `state` counts what is committed
        offsets.seek(8 * documents)
        last = int(np.frombuffer(offsets.read(8) or bytes(8), "<u8")[0]) if documents else 0
        offsets.seek(8 * (documents + 1))
        since = 0
        for batch, ids, lengths in self._encoded():
            tokens.write(ids.astype(self.dtype).tobytes())
            stops = (written + np.cumsum(lengths))[np.array(batch.ends, bool)]
            stops = stops[np.diff(stops, prepend=last) > 0]  # documents of which a token is left
            offsets.write(stops.astype("<u8").tobytes())
            written, documents = written + len(ids), documents + len(stops)
            last = int(stops[-1]) if len(stops) else last
            since += sum(map(len, batch.texts))
            if since >= PART and batch.byte is not None:
                within = not batch.ends[-1]
                self.state = _State(written, documents, batch.file, batch.byte, batch.line, within)
                self._commit(tokens, offsets)
                since = 0
            progress.update(max(batch.bytes_read // 10**6 - progress.done, 0))
        self.state = _State(written, documents, len(self.sources))
        self._commit(tokens, offsets)

    def _commit(self, *files: IO[bytes]) -> None:
        for file in files:
            file.flush()
            os.fsync(file.fileno())
        self._save_state()

    def _save_state(self) -> None:
        write_json(self.out / PROGRESS, {"plan": self.plan, "state": vars(self.state)})

    def _encoded(self) -> Iterator[tuple[_Batch, npt.NDArray[np.int32], Int64]]:
        """Batches in order, encoded by threads that are at most THREADS batches ahead."""
        for batch, (ids, lengths) in map_ahead(self._encode_texts, self._batches(), THREADS):
            yield batch, ids, lengths

    def _encode_texts(self, batch: _Batch) -> tuple[npt.NDArray[np.int32], Int64]:
        return self.tokenizer.encode_flat(batch.texts)

    def _batches(self) -> Iterator[_Batch]:
        state, batch, size, before = self.state, _Batch(), 0, 0
        for number, source in enumerate(self.sources):
            if number >= state.file:
                reader = SourceReader(source, self.key)
                if number == state.file:
                    reader.seek(state.byte, state.line, state.within)
                for piece in reader:
                    batch.texts.append(piece.text)
                    batch.ends.append(piece.ends)
                    size += len(piece.text)
                    if size >= BATCH or len(batch.texts) >= BATCH_PIECES:
                        batch.file, batch.byte, batch.line = number, piece.byte, piece.line
                        batch.bytes_read = before + reader.bytes_read
                        yield batch
                        batch, size = _Batch(), 0
            before += source.size
        if batch.texts:
            batch.byte, batch.bytes_read = None, before  # what follows is the last commit
            yield batch

    def _finish(self) -> None:
        """Counts and hashes of the finished files, then meta.json, which makes them a corpus."""
        counts = np.zeros(self.num_ids, np.int64)
        for block in _blocks(self.out / TOKENS, self.dtype):
            counts += np.bincount(block, minlength=self.num_ids)
        with atomic_write(self.out / COUNTS) as temporary:
            np.save(temporary, counts)
        meta = {
            "plan": self.plan,
            "dtype": self.dtype.str,
            "documents": self.state.documents,
            "tokens": self.state.tokens,
            "sha256": {name: sha256_file(self.out / name) for name in (TOKENS, OFFSETS)},
        }
        write_json(self.out / META, meta)


def _blocks(path: Path, dtype: np.dtype[Any]) -> Iterator[npt.NDArray[Any]]:
    with open(path, "rb") as file:
        while len(block := np.fromfile(file, dtype, BLOCK)):
            yield block


def _difference(before: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """Name the part of the plan that has changed."""
    for part, words in (("version", "its format is another"), ("tokenizer", "the tokenizer was another")):
        if before.get(part) != plan[part]:
            return words
    if before["settings"] != plan["settings"]:
        return f"its settings were {before['settings']}, now they are {plan['settings']}"
    old, new = ({s["name"]: s for s in p["sources"]} for p in (before, plan))
    for name in [*new, *old]:
        if name not in old:
            return f"{name} was not among its files"
        if name not in new:
            return f"its file {name} is not among those given"
        if old[name] != new[name]:
            return f"{name} has changed"
    return "its files were in another order"
