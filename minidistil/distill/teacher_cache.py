"""Outputs of a teacher for fixed inputs, computed once and kept on disk.

Each output is an array with a row for each token or for each sequence:

    logits, start_logits, end_logits        scores of its head
    last_hidden_state, hidden_states.3      after the last layer, after layer 3 (0: the embeddings)
    qkv.2                                   queries, keys and values of the third layer
    pooled.mean                             one vector for a sequence, see `minidistil.ops.pooling`
    pooled.mean.3                           the same without the first three tokens, those of a prompt
    features                                of a masked LM: the input of its decoder
    top_k.50                                of a masked LM: the 50 likeliest words and their scores

They are .npy files, mapped into memory: rows that a batch does not need stay on the disk. They lie under a
hash of the teacher's weights and of the inputs, so that another teacher or other texts never meet them. An
interrupted run goes on from the last 2,048 examples.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from minidistil.arrays import AnyArray
from minidistil.batch import Batch
from minidistil.errors import InputError, StorageError
from minidistil.files import only_writer, read_json, storage_error, write_json
from minidistil.model.model import Model
from minidistil.ops.pooling import pool_forward
from minidistil.progress import Progress
from minidistil.text.dataset import Dataset

PART = 2048  # examples that an interruption can cost
TOKENS_AT_ONCE = 2048  # in a batch for the teacher
OF_ENCODER = ("last_hidden_state", "hidden_states", "qkv", "pooled")  # all others are a head's
SMALL = ("logits", "start_logits", "end_logits", "pooled")  # a few numbers a token, or one row a sequence


class FixedInputs(Protocol):
    """Examples that do not change between epochs: a `Dataset`, or one with fixed masks."""

    @property
    def lengths(self) -> npt.NDArray[np.integer[Any]]: ...
    @property
    def example_ids(self) -> npt.NDArray[np.int64]: ...
    def __len__(self) -> int: ...
    def batch(self, indices: npt.NDArray[np.int64]) -> Batch: ...
    def content_hash(self) -> str: ...


def weights_hash(model: Model) -> str:
    """SHA-256 of all parameters: the same weights, the same hash."""
    digest = hashlib.sha256(type(model).__name__.encode())
    for name, values in model.params.items():
        digest.update(name.encode())
        digest.update(values.data)
    return digest.hexdigest()


class TeacherCache:
    """A teacher's outputs for fixed inputs: `cache(batch)` gives those of the batch's examples.

    Parameters
    ----------
    teacher : Model
    data : Dataset or other fixed inputs
        Every example that will come in a batch. Targets do not count.
    directory : path
        Made if it does not exist. Several runs may share it; only one at a time may write.
    outputs : sequence of str
        By the names above.
    dtype : "float16" or other, optional
        Dtype of the files; by default the teacher's own, and nothing is lost.
    quiet : bool
        Show no progress.

    Raises
    ------
    InputError
        A value too large for `dtype`, or an output that the teacher does not have.
    WeightsError
        An output comes from a head of the teacher that nobody has trained.
    StorageError
        There is no room for it, or another process is writing the same.
    """

    def __init__(
        self,
        teacher: Model,
        data: FixedInputs,
        directory: str | Path,
        outputs: Sequence[str],
        *,
        dtype: npt.DTypeLike | None = None,
        quiet: bool = False,
    ) -> None:
        inputs = replace(data, targets={}, token_targets={}) if isinstance(data, Dataset) else data
        self.dtype = np.dtype(teacher.params.dtype if dtype is None else dtype)
        self.output_dtype = teacher.params.dtype
        key = hashlib.sha256(f"{weights_hash(teacher)} {inputs.content_hash()}".encode()).hexdigest()[:16]
        self.home = Path(directory) / key
        self._offsets = np.concatenate([[0], np.cumsum(data.lengths, dtype=np.int64)])
        self._order = np.argsort(data.example_ids, kind="stable")
        self._ids = data.example_ids[self._order]
        self._columns = {
            name: _Column(self.home / f"{name}.{self.dtype.name}.npy", by_token(teacher, output))
            for output in dict.fromkeys(outputs)
            for name in _columns(output)
        }
        if any(output.partition(".")[0] not in OF_ENCODER for output in outputs):
            teacher.check_trained()
        self._fill(teacher, inputs, list(dict.fromkeys(outputs)), quiet)
        # A bias depends on nothing but lengths; a teacher without one need not be kept.
        self._bias = None if teacher.encoder.relative_bias is None else teacher.attention_bias
        self._arrays = {name: np.load(c.path, mmap_mode="r") for name, c in self._columns.items()}

    def __repr__(self) -> str:
        return f"TeacherCache({self.home}: {', '.join(self._columns)}; {len(self._ids):,} examples)"

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return sum(column.size for column in self._columns.values())

    def __call__(self, batch: Batch) -> dict[str, Any]:
        """Outputs as `Model.forward` gives them, in the teacher's dtype.

        Those of layers are mappings of layer to array; "pooled" and "top_k" go by these names, the latter as
        a pair (words, scores), each [T, K].
        """
        rows = self._rows(batch)
        tokens = np.repeat(self._offsets[rows] - batch.cls_rows, batch.lengths)
        tokens += np.arange(batch.num_tokens)
        outputs: dict[str, Any] = {}
        for name, array in self._arrays.items():
            values = np.asarray(array[tokens if self._columns[name].by_token else rows])
            if values.dtype.kind == "f":
                values = values.astype(self.output_dtype, copy=False)
            kind, _, which = name.partition(".")
            if kind in ("hidden_states", "qkv"):
                outputs.setdefault(kind, {})[int(which)] = values
            else:
                outputs[kind] = values
        if self._bias is not None and "qkv" in outputs:
            outputs["attention_bias"] = self._bias(batch)
        if "words" in outputs:
            outputs["top_k"] = outputs.pop("words"), outputs.pop("scores")
        return outputs

    def whole(self, output: str) -> AnyArray:
        """One output for all examples, in their order, in the teacher's dtype."""
        return np.asarray(self._arrays[output]).astype(self.output_dtype)

    def _rows(self, batch: Batch) -> npt.NDArray[np.int64]:
        """Indices of the batch's examples among all of them, [B]."""
        found = np.minimum(np.searchsorted(self._ids, batch.example_ids), len(self._ids) - 1)
        rows: npt.NDArray[np.int64] = self._order[found]
        same = self._ids[found] == batch.example_ids
        same &= np.diff(self._offsets)[rows] == batch.lengths
        if not same.all():
            stranger = batch.example_ids[np.argmin(same)]
            raise InputError(f"the teacher was not asked about example {stranger}: its outputs are not kept")
        return rows

    # Running the teacher

    def _fill(self, teacher: Model, data: FixedInputs, outputs: list[str], quiet: bool) -> None:
        """Compute the missing outputs."""
        if self._restore()[0] < len(data):  # what is whole can be read beside those who write
            with only_writer(self.home):
                self._run_rest(teacher, data, outputs, quiet)

    def _restore(self) -> tuple[int, dict[str, Any]]:
        """Number of examples whose outputs are all on disk, and the record of each file."""
        state = self.home / "done.json"
        known: dict[str, Any] = {}
        with suppress(StorageError):  # a damaged one: its outputs are computed again
            known = read_json(state, StorageError) if state.exists() else {}
        for column in self._columns.values():
            column.restore(known.get(column.path.name))
        return min(column.examples for column in self._columns.values()), known

    def _run_rest(self, teacher: Model, data: FixedInputs, outputs: list[str], quiet: bool) -> None:
        """Compute the rest, a part at a time."""
        total = len(data)
        begin, known = self._restore()
        with Progress(total, "running the teacher", "example", done=begin, quiet=quiet) as progress:
            while begin < total:
                stop = min(begin - begin % PART + PART, total)
                parts: dict[str, list[AnyArray]] = {name: [] for name in self._columns}
                for rows in _in_order(data.lengths, begin, stop):
                    for name, values in self._run(teacher, data.batch(rows), outputs).items():
                        parts[name].append(values)
                    progress.update(len(rows))
                missing = {n: c for n, c in self._columns.items() if c.examples == begin}
                new = {name: np.concatenate(parts[name]) for name in missing}
                if begin == 0:
                    self._check_room(new)
                for name, column in missing.items():
                    rows_in_all = self._offsets[-1] if column.by_token else total
                    column.append(new[name], int(rows_in_all), stop)
                    known[column.path.name] = {"examples": stop, "bytes": column.size}
                write_json(self.home / "done.json", known)
                begin = stop

    def _run(self, teacher: Model, batch: Batch, outputs: list[str]) -> dict[str, AnyArray]:
        """Columns for one batch."""
        kinds = {output.partition(".")[0] for output in outputs}
        given, _ = teacher.forward(
            batch,
            hidden_states="hidden_states" in kinds,
            qkv="qkv" in kinds,
            logits=not kinds & {"features", "top_k"},
            keep_cache=False,
        )
        columns: dict[str, AnyArray] = {}
        for output in outputs:
            kind, _, which = output.partition(".")
            source = {"pooled": "last_hidden_state", "top_k": "features"}.get(kind, kind)
            if source not in given:
                raise InputError(f"{type(teacher).__name__} has no {source}")
            if kind == "top_k":
                words, scores = top_words(teacher, given["features"], int(which))
                columns |= {f"words.{which}": words, f"scores.{which}": self._kept(output, scores)}
                continue
            if kind == "pooled":
                pooling, _, skip = which.partition(".")
                values = pool_forward(given["last_hidden_state"], batch, pooling, skip=int(skip or 0))[0]
            else:
                values = given[kind][int(which)] if which else given[kind]
            columns[output] = self._kept(output, values)
        return columns

    def _kept(self, output: str, values: AnyArray) -> AnyArray:
        """Convert to the dtype of the files."""
        with np.errstate(over="ignore"):
            kept = values.astype(self.dtype)
        if not np.isfinite(kept).all():
            worst = np.abs(values).max()
            raise InputError(f"{output} reaches {worst:.3g}: too large for {self.dtype.name}")
        return kept

    def _check_room(self, first: Mapping[str, AnyArray]) -> None:
        """Refuse outputs that the disk cannot hold, before hours of work. `first`: of the first part."""
        needed = 0
        for name, values in first.items():
            rows = self._offsets[-1] if self._columns[name].by_token else len(self._ids)
            needed += int(rows) * values[:1].nbytes
        free = shutil.disk_usage(self.home).free
        if needed > free:
            raise StorageError(
                f"the teacher's outputs take {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free at "
                f"{self.home}: choose float16, fewer outputs, or another place"
            )


@dataclass
class _Column:
    """An array on disk that grows until it is whole.

    Attributes
    ----------
    path : Path
    by_token : bool
        A row for each token; otherwise for each sequence.
    examples : int
        Number of examples in it.
    size : int
        Bytes that belong to them. More may follow, of a part that was not finished.
    """

    path: Path
    by_token: bool
    examples: int = 0
    size: int = 0

    def restore(self, known: Any) -> None:
        """Continue from the record, if the file is long enough."""
        there = self.path.stat().st_size if self.path.is_file() else 0
        match known:
            case {"examples": int(examples), "bytes": int(size)} if 0 < size <= there:
                self.examples, self.size = examples, size

    def append(self, values: AnyArray, rows: int, examples: int) -> None:
        """Add rows, `rows` being those of the whole array; written with plain writes, not through the map.

        On a full disk a write fails, whereas touching a mapped page would kill the process.
        """
        try:
            with open(self.path, "r+b" if self.examples else "wb") as file:
                if self.examples == 0:
                    header = {
                        "descr": np.lib.format.dtype_to_descr(values.dtype),
                        "fortran_order": False,
                        "shape": (rows, *values.shape[1:]),
                    }
                    np.lib.format.write_array_header_1_0(file, header)
                    self.size = file.tell()
                file.truncate(self.size)
                file.seek(self.size)
                file.write(np.ascontiguousarray(values).data)
                file.flush()
                os.fsync(file.fileno())
                self.examples, self.size = examples, file.tell()
        except OSError as error:
            raise storage_error(self.path, error) from error


def by_token(teacher: Model, output: str) -> bool:
    """True if an output has a row for each token, False if for each sequence."""
    if output in ("logits", "start_logits", "end_logits"):
        return any(output in head.token_outputs for head in teacher.heads)
    return not output.startswith("pooled.")


def top_words(teacher: Model, features: AnyArray, k: int) -> tuple[AnyArray, AnyArray]:
    """The k likeliest words of each token, int32 [T, K], the likeliest first, and their logits [T, K]."""
    head: Any = teacher.heads[0]
    weight, bias = teacher.params.linear(*head.decoder_names)
    k = min(k, len(bias))
    words = np.empty((len(features), k), np.int32)
    scores = np.empty((len(features), k), features.dtype)
    for begin in range(0, len(features), 256):  # so that few logits [T, V] exist at a time
        part = slice(begin, begin + 256)
        logits, _ = teacher.backend.linear_forward(features[part], weight, bias)
        best = np.argpartition(-logits, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(logits, best, 1), axis=1, kind="stable")
        words[part] = np.take_along_axis(best, order, 1)
        scores[part] = np.take_along_axis(logits, words[part], 1)
    return words, scores


def _columns(output: str) -> tuple[str, ...]:
    """Names of the arrays that hold an output."""
    kind, _, which = output.partition(".")
    return (f"words.{which}", f"scores.{which}") if kind == "top_k" else (output,)


def _in_order(lengths: npt.NDArray[np.integer[Any]], begin: int, stop: int) -> Iterator[AnyArray]:
    """Examples `begin` to `stop` in order, in batches of about `TOKENS_AT_ONCE` tokens."""
    sums = np.cumsum(lengths[begin:stop])
    cuts = np.flatnonzero(np.diff(sums // TOKENS_AT_ONCE)) + 1
    yield from np.split(np.arange(begin, stop), cuts)
