"""Tokenised examples in flat arrays, and packed batches cut from them."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_names
from minidistil.arrays import as_array, check_bounds, check_field, described
from minidistil.batch import Batch
from minidistil.errors import InputError, UsageError
from minidistil.losses import IGNORE_INDEX
from minidistil.prefetch import prefetch
from minidistil.text.tokenizer import Tokenizer, Truncation

# Texts tokenised ahead of the model: milliseconds of the tokenizer's time, seconds of its own. It waits for
# the first of them, so there they are few, and then twice as many each time.
FIRST_PART, PART = 128, 512

# What heads and objectives take.
TARGETS = (
    "labels", "next_sentence_label", "sentence_order_label", "start_positions", "end_positions",
    "teacher_logits", "teacher_start_logits", "teacher_end_logits", "teacher_pooled", "compared",
)  # fmt: skip
OWN = "; with_targets adds what an objective of your own needs"
FROM_TEXTS = ("tokenizer", "texts", "pairs", "max_length", "truncation")


@dataclass(frozen=True, eq=False)
class Dataset:
    """N tokenised examples, laid end to end.

    Attributes
    ----------
    input_ids, token_type_ids : int32 [T]
    offsets : int64 [N + 1]
        Example i is `input_ids[offsets[i]:offsets[i + 1]]`.
    example_ids : int64 [N]
        Stable id of each example; a subset keeps it, and random numbers are keyed by it.
    targets : mapping of str to array [N, ...]
        Inputs of the losses, a row for each example: labels, a teacher's logits.
    token_targets : mapping of str to array [T, ...]
        The same for each token: tags.
    """

    input_ids: npt.NDArray[np.int32]
    token_type_ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    example_ids: npt.NDArray[np.int64]
    targets: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    token_targets: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_field("Dataset", "input_ids", self.input_ids, np.int32)
        check_field("Dataset", "token_type_ids", self.token_type_ids, np.int32, self.num_tokens)
        check_field("Dataset", "offsets", self.offsets, np.int64)
        check_bounds("Dataset", "offsets", self.offsets, self.num_tokens, empty=True)
        check_field("Dataset", "example_ids", self.example_ids, np.int64, len(self))
        check_targets(self.targets, len(self), "examples")
        check_targets(self.token_targets, self.num_tokens, "tokens")

    def __repr__(self) -> str:
        targets = described({**self.targets, **self.token_targets})
        counts = f"{len(self):,} examples, {self.num_tokens:,} tokens"
        return f"Dataset({counts}{'; targets ' if targets else ''}{targets})"

    @classmethod
    def from_texts(
        cls,
        tokenizer: Tokenizer,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = True,
        **targets: npt.ArrayLike,
    ) -> Self:
        """Tokenise texts (see `Tokenizer.encode`).

        Parameters
        ----------
        **targets : array [N, ...]
            A row for each text, under the names of `TARGETS`; what an objective of your own needs has other
            names, and is added by `with_targets`.

        Raises
        ------
        UsageError
            A target of another name.
        InputError
            See `Tokenizer.encode`; not as many rows as texts.
        """
        check_names("from_texts", "argument", targets, [*FROM_TEXTS, *TARGETS], OWN)
        encodings = tokenizer.iter_encode(texts, pairs, max_length=max_length, truncation=truncation)
        return cls._of(tokenizer, encodings).with_targets(**targets)

    @classmethod
    def in_parts(
        cls,
        tokenizer: Tokenizer,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = True,
    ) -> Iterator[Self]:
        """As `from_texts`, some texts at a time; those of the next part are tokenised while one is used."""
        encodings = tokenizer.iter_encode(texts, pairs, max_length=max_length, truncation=truncation)

        def parts() -> Iterator[Self]:
            first, size = 0, FIRST_PART
            while len(part := cls._of(tokenizer, islice(encodings, size), first)):
                yield part
                first, size = first + len(part), min(2 * size, PART)

        return prefetch(parts())

    @classmethod
    def _of(cls, tokenizer: Tokenizer, encodings: Iterable[Any], first: int = 0) -> Self:
        """A dataset of the tokenizer's encodings, numbered from `first`."""
        ids: list[npt.NDArray[np.int32]] = []
        types: list[npt.NDArray[np.int32]] = []
        for encoding in encodings:
            ids.append(np.array(encoding.ids, np.int32))
            types.append(tokenizer.types_of(encoding))
        nothing = np.zeros(0, np.int32)
        return cls(
            input_ids=np.concatenate([nothing, *ids]),
            token_type_ids=np.concatenate([nothing, *types]),
            offsets=_offsets(np.array([len(row) for row in ids], np.int64)),
            example_ids=np.arange(first, first + len(ids), dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """int64 [N]: tokens in each example."""
        return np.diff(self.offsets)

    @property
    def num_tokens(self) -> int:
        return len(self.input_ids)

    def batch(self, indices: npt.ArrayLike) -> Batch:
        """The examples at `indices`, packed, with their rows of every target."""
        part = self.subset(indices)
        cuts = part.offsets[1:-1]
        return Batch.from_sequences(
            np.split(part.input_ids, cuts) if len(part) else [],
            np.split(part.token_type_ids, cuts) if len(part) else [],
            example_ids=part.example_ids,
            targets={**part.targets, **part.token_targets},
        )

    def subset(self, indices: npt.ArrayLike) -> Self:
        """The examples at `indices` (integers, or a mask), in that order, under their own ids."""
        rows = rows_at(indices, len(self))
        starts, lengths = self.offsets[rows], self.lengths[rows]
        offsets = _offsets(lengths)
        # Token j of the result is token j - offsets[i] of its example i, which began at starts[i].
        tokens = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return replace(
            self,
            input_ids=self.input_ids[tokens],
            token_type_ids=self.token_type_ids[tokens],
            offsets=offsets,
            example_ids=self.example_ids[rows],
            targets={name: values[rows] for name, values in self.targets.items()},
            token_targets={name: values[tokens] for name, values in self.token_targets.items()},
        )

    def with_targets(self, **targets: npt.ArrayLike) -> Self:
        """The same examples with more targets."""
        more = {name: as_array(name, values) for name, values in targets.items()}
        return replace(self, targets={**self.targets, **more})

    def with_token_targets(self, **targets: npt.ArrayLike) -> Self:
        """The same examples with more targets of tokens."""
        more = {name: as_array(name, values) for name, values in targets.items()}
        return replace(self, token_targets={**self.token_targets, **more})

    def without_targets(self, *names: str) -> Self:
        """The same examples without some targets, if they have them."""
        return replace(
            self,
            targets={name: values for name, values in self.targets.items() if name not in names},
            token_targets={name: values for name, values in self.token_targets.items() if name not in names},
        )

    def concatenate(self, *others: Self) -> Self:
        """The examples of several datasets, end to end.

        Ids continue: those of the first stay, those of each other one begin above the largest before. A
        target that only some have is filled up with labels that count for nothing: -100, of floats NaN.

        Raises
        ------
        InputError
            Targets of one name with rows of different shapes or kinds; or one to be filled up that is
            neither of signed integers nor of floats.
        """
        parts = (self, *others)
        ids, first = [self.example_ids], 1 + int(self.example_ids.max(initial=-1))
        for part in others:
            ids.append(part.example_ids + first)
            first = 1 + int(ids[-1].max(initial=first - 1))
        return replace(
            self,
            input_ids=np.concatenate([part.input_ids for part in parts]),
            token_type_ids=np.concatenate([part.token_type_ids for part in parts]),
            offsets=_offsets(np.concatenate([part.lengths for part in parts])),
            example_ids=np.concatenate(ids),
            targets=_end_to_end([part.targets for part in parts], [len(part) for part in parts]),
            token_targets=_end_to_end(
                [part.token_targets for part in parts], [part.num_tokens for part in parts]
            ),
        )

    def content_hash(self) -> str:
        """SHA-256 over tokens, example ids and targets: the same on every machine for the same data."""
        columns: dict[str, npt.NDArray[Any]] = {
            "input_ids": self.input_ids,
            "token_type_ids": self.token_type_ids,
            "offsets": self.offsets,
            "example_ids": self.example_ids,
            **{f"target {name}": self.targets[name] for name in sorted(self.targets)},
            **{f"token target {name}": self.token_targets[name] for name in sorted(self.token_targets)},
        }
        return _digest(columns.items())


@dataclass(frozen=True, eq=False)
class MultipleChoiceDataset:
    """N examples over the sequences of a dataset.

    Attributes
    ----------
    sequences : Dataset
        Of all examples, end to end. What is random is keyed by their ids.
    offsets : int64 [N + 1]
        Example i is the sequences from `offsets[i]` up to `offsets[i + 1]`, at least one.
    targets : mapping of str to array [N, ...]
        A row for each example.
    """

    sequences: Dataset
    offsets: npt.NDArray[np.int64]
    targets: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_field("MultipleChoiceDataset", "offsets", self.offsets, np.int64)
        # Each example has at least one sequence, and each sequence an example.
        check_bounds("MultipleChoiceDataset", "offsets", self.offsets, len(self.sequences))
        check_targets(self.targets, len(self), "examples")

    def __repr__(self) -> str:
        targets = f"; targets {described(self.targets)}" if self.targets else ""
        return f"MultipleChoiceDataset({len(self):,} examples, {len(self.sequences):,} sequences{targets})"

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """int64 [N]: tokens in each example, all its sequences together."""
        ends = np.append(0, np.cumsum(self.sequences.lengths))
        return np.diff(ends[self.offsets])

    def batch(self, indices: npt.ArrayLike) -> Batch:
        """The examples at `indices`, packed, with `cu_choices` and their rows of every target."""
        rows = rows_at(indices, len(self))
        sizes = np.diff(self.offsets)[rows]
        cu = np.append(0, np.cumsum(sizes))  # int64
        # Sequence j of the batch is sequence j - cu[i] of its example i, which began at offsets[rows[i]].
        members = np.arange(cu[-1]) + np.repeat(self.offsets[rows] - cu[:-1], sizes)
        batch = replace(self.sequences.batch(members), cu_choices=cu)
        return batch.with_targets(**{name: values[rows] for name, values in self.targets.items()})

    def concatenate(self, *others: Self) -> Self:
        """The examples of several datasets, end to end; see `Dataset.concatenate`."""
        parts = (self, *others)
        return replace(
            self,
            sequences=self.sequences.concatenate(*(part.sequences for part in others)),
            offsets=_offsets(np.concatenate([np.diff(part.offsets) for part in parts])),
            targets=_end_to_end([part.targets for part in parts], [len(part) for part in parts]),
        )

    def content_hash(self) -> str:
        """SHA-256 over sequences, groups and targets."""
        columns = [("offsets", self.offsets), *sorted(self.targets.items())]
        return _digest(columns, self.sequences.content_hash())


def check_targets(targets: Mapping[str, npt.NDArray[Any]], rows: int, of: str) -> None:
    """Refuse targets of another number of rows, or under a name that is all but one of `TARGETS`.

    Raises
    ------
    InputError, UsageError
    """
    for name, values in targets.items():
        if not isinstance(values, np.ndarray) or not values.ndim:
            raise InputError(f"target {name!r} must be an array of a row for each of the {rows} {of}")
        if len(values) != rows:
            raise InputError(f"target {name!r} has {len(values)} rows for {rows} {of}")
        if name not in TARGETS and (near := difflib.get_close_matches(name, TARGETS, 1, 0.8)):
            raise UsageError(f"target {name!r} is one that nothing takes: did you mean {near[0]}?")


def rows_at(indices: npt.ArrayLike, length: int) -> npt.NDArray[np.int64]:
    """Rows of `length` that integers (negative ones count from the end) or a mask select.

    Raises
    ------
    InputError
        No such row, or neither integers nor a mask.
    """
    chosen = as_array("indices", indices)
    try:
        rows: npt.NDArray[np.int64] = np.arange(length)[chosen if chosen.size else np.zeros(0, np.int64)]
    except IndexError as error:
        raise InputError(f"indices of {length} examples: {error}") from error
    return rows


def _end_to_end(
    parts: Sequence[Mapping[str, npt.NDArray[Any]]], rows: Sequence[int]
) -> dict[str, npt.NDArray[Any]]:
    """Targets of several datasets, each with so many rows, end to end; see `Dataset.concatenate`."""
    found: dict[str, npt.NDArray[Any]] = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        given = [part[name] for part in parts if name in part]
        forms = dict.fromkeys((values.dtype.kind, values.shape[1:]) for values in given)
        if len(forms) > 1:
            both = " and ".join(f"{kind}{list(shape)}" for kind, shape in forms)
            raise InputError(f"target {name!r} has rows of several forms: {both}")
        (kind, shape), dtype = next(iter(forms)), np.result_type(*given)
        if len(given) < len(parts) and kind not in "if":
            raise InputError(
                f"target {name!r} is {dtype}, and not every dataset has it: only signed integers and floats "
                "can say that there is no label"
            )
        none = np.nan if kind == "f" else IGNORE_INDEX
        found[name] = np.concatenate(
            [
                part[name] if name in part else np.full((n, *shape), none, dtype)
                for part, n in zip(parts, rows, strict=True)
            ]
        )
    return found


def _offsets(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _digest(columns: Iterable[tuple[str, npt.NDArray[Any]]], before: str = "") -> str:
    """SHA-256 of named arrays, little-endian, after a text."""
    digest = hashlib.sha256(before.encode())
    for name, values in columns:
        little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        digest.update(f"{name} {little.dtype.str} {little.shape}\n".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()
