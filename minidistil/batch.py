"""A batch without padding: sequences laid end to end, and where each begins.

Inside minidistil a batch of B sequences with T tokens in all is one row of T tokens plus
`cu_seqlens` [B + 1], the cumulative lengths: sequence b is `tokens[cu[b]:cu[b + 1]]`.
No kernel then ever computes on padding. The rectangular form (`input_ids [B, L]` with an
`attention_mask`) is accepted and returned at the border, here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.arguments import Named
from minidistil.arrays import IntArray, as_array, as_int32, as_mask, check_bounds, check_field, described
from minidistil.errors import InputError


class Targets(Named):
    """Targets of a batch by name."""

    what = "target of this batch"


@dataclass(frozen=True)
class Batch:
    """Packed sequences.

    Nothing is checked when one is made, since its arrays may change afterwards: a model calls `check` before
    it computes.

    Attributes
    ----------
    input_ids : int32 [T]
        Token ids.
    cu_seqlens : int32 [B + 1]
        Cumulative sequence lengths, from 0 to T.
    token_type_ids : int32 [T]
        Segment ids (0 for the first sentence, 1 for the second).
    example_ids : int64 [B]
        Id of each sequence in its dataset. Dropout is keyed by it, so that an example gets the
        same mask whichever batch it lands in.
    columns : int32 [T]
        Column of each token in the rectangular form: its place in its sequence, where nothing is padded.
    width : int
        Number of columns of the rectangular form.
    targets : mapping of str to array
        Inputs of the losses, packed like the tokens [T, ...] or one row a sequence [B, ...].
    cu_choices : int64 [G + 1] or None
        Where sequences are the choices of examples: those of example g are the sequences from `cu_choices[g]`
        up to `cu_choices[g + 1]`. Then `targets` may have one row an example [G, ...].
    task_type_ids : int32 [T] or None
        Type of the task, which ERNIE has a table of; None: 0 for every token.
    position_ids : int32 [T] or None
        Rows of the position table that the caller chose; None: the family's own, such as the columns.
    """

    input_ids: IntArray
    cu_seqlens: IntArray
    token_type_ids: IntArray
    example_ids: IntArray
    columns: IntArray
    width: int
    targets: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    cu_choices: IntArray | None = None
    task_type_ids: IntArray | None = None
    position_ids: IntArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", Targets(self.targets))

    def __repr__(self) -> str:
        targets = f"; targets {described(self.targets)}" if self.targets else ""
        examples = "" if self.cu_choices is None else f"{self.num_examples} examples, "
        counts = f"{examples}{self.num_sequences} sequences, {self.num_tokens:,} tokens, width {self.width}"
        return f"Batch({counts}{targets})"

    def check(self) -> None:
        """Refuse fields that do not fit each other: a kernel would read and write outside memory.

        Raises
        ------
        InputError
            Naming the field.
        """
        check_field("Batch", "input_ids", self.input_ids, np.int32)
        check_field("Batch", "cu_seqlens", self.cu_seqlens, np.int32)
        tokens, sequences = len(self.input_ids), len(self.cu_seqlens) - 1
        check_bounds("Batch", "cu_seqlens", self.cu_seqlens, tokens)
        for name in ("token_type_ids", "columns"):
            check_field("Batch", name, getattr(self, name), np.int32, tokens)
        check_field("Batch", "example_ids", self.example_ids, np.int64, sequences)
        for name in ("task_type_ids", "position_ids"):
            if getattr(self, name) is not None:
                check_field("Batch", name, getattr(self, name), np.int32, tokens)
        if self.cu_choices is not None:
            check_field("Batch", "cu_choices", self.cu_choices, np.int64)
            check_bounds("Batch", "cu_choices", self.cu_choices, sequences)

    @property
    def num_tokens(self) -> int:
        return len(self.input_ids)

    @property
    def num_sequences(self) -> int:
        return len(self.cu_seqlens) - 1

    @property
    def num_examples(self) -> int:
        """Number of examples: each has its choices, or is one sequence."""
        return self.num_sequences if self.cu_choices is None else len(self.cu_choices) - 1

    @property
    def lengths(self) -> IntArray:
        """int32 [B]: number of tokens of each sequence."""
        return np.diff(self.cu_seqlens)

    @property
    def cls_rows(self) -> IntArray:
        """int32 [B]: index among the T tokens of each sequence's first token, its [CLS]."""
        return self.cu_seqlens[:-1]

    @cached_property
    def sequence_ids(self) -> IntArray:
        """int64 [T]: sequence of each token."""
        return np.repeat(np.arange(self.num_sequences), self.lengths)

    @cached_property
    def token_index(self) -> IntArray:
        """int32 [T]: index of each token in its sequence, whatever its `position_ids`."""
        return np.arange(self.num_tokens, dtype=np.int32) - self.cu_seqlens[:-1][self.sequence_ids]

    @classmethod
    def from_sequences(
        cls,
        input_ids: Sequence[npt.ArrayLike],
        token_type_ids: Sequence[npt.ArrayLike] | None = None,
        *,
        example_ids: npt.ArrayLike | None = None,
        targets: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> Batch:
        """Pack a list of token-id sequences.

        Raises
        ------
        InputError
            An empty sequence; ids that are no integers, or outside of any vocabulary; token types, or ids of
            examples, that are not as many.
        """
        ids = _sequences("sequence", input_ids)
        lengths = np.array([len(s) for s in ids], dtype=np.int32)
        if (lengths == 0).any():
            raise InputError(
                f"sequence {int(np.argmin(lengths))} has no tokens; drop it or give it [CLS] [SEP]"
            )
        cu = np.zeros(len(ids) + 1, np.int32)
        np.cumsum(lengths, out=cu[1:])
        total = int(cu[-1])
        flat = np.concatenate(ids) if ids else np.zeros(0, np.int32)
        types = np.zeros(total, np.int32)
        if token_type_ids is not None:
            kinds = _sequences("token types of sequence", token_type_ids)
            if [len(s) for s in kinds] != lengths.tolist():
                raise InputError("token_type_ids must have one for each token of each sequence")
            types[:] = np.concatenate(kinds or [types])
        columns = np.arange(total, dtype=np.int32) - np.repeat(cu[:-1], lengths)
        who = np.arange(len(ids)) if example_ids is None else as_array("example_ids", example_ids)
        if who.shape != (len(ids),):
            raise InputError(f"{who.size} example_ids for {len(ids)} sequences")
        if who.size and (who.dtype.kind not in "iu" or who.max() >= 2**63):
            raise InputError(f"example_ids must be integers that int64 holds, not {who.dtype}")
        return cls(
            input_ids=flat,
            cu_seqlens=cu,
            token_type_ids=types,
            example_ids=who.astype(np.int64, copy=False),
            columns=columns,
            width=int(lengths.max(initial=0)),
            targets=dict(targets or {}),
        )

    @classmethod
    def from_padded(
        cls,
        input_ids: npt.ArrayLike,
        attention_mask: npt.ArrayLike | None = None,
        token_type_ids: npt.ArrayLike | None = None,
        position_ids: npt.ArrayLike | None = None,
    ) -> Batch:
        """Pack the rectangular form: `input_ids [B, L]`, `attention_mask [B, L]` of 0 and 1.

        Padding may be on either side, or in between. A BERT's positions are the columns, so padding on the
        left shifts them, as in transformers.
        """
        try:
            ids = np.atleast_2d(np.asarray(input_ids))
        except (ValueError, TypeError) as error:  # rows of different lengths
            raise InputError(
                "rows of input_ids have different lengths: pad them and give an attention_mask, or use "
                "Batch.from_sequences"
            ) from error
        if ids.ndim != 2 or ids.dtype.kind not in "iu":
            raise InputError(f"input_ids must be integers of shape [B, L], not {ids.dtype} {list(ids.shape)}")

        def like_ids(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
            array = np.atleast_2d(array)
            if name == "position_ids" and array.shape == (1, ids.shape[1]):
                array = np.broadcast_to(array, ids.shape)
            if array.shape != ids.shape:
                raise InputError(f"{name} has shape {list(array.shape)}, input_ids has {list(ids.shape)}")
            return array

        def integers(name: str, value: npt.ArrayLike | None, default: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return default if value is None else like_ids(name, as_int32(name, value))

        if attention_mask is None:
            mask = np.ones(ids.shape, np.bool_)  # [B, L]
        else:
            mask = like_ids("attention_mask", as_mask("attention_mask", attention_mask))
        lengths = mask.sum(1)
        if (lengths == 0).any():
            raise InputError(
                f"row {int(np.argmin(lengths))} of attention_mask is all zeros: nothing to attend to"
            )
        columns = np.broadcast_to(np.arange(ids.shape[1], dtype=np.int32), ids.shape)
        positions = None if position_ids is None else integers("position_ids", position_ids, columns)[mask]
        types = integers("token_type_ids", token_type_ids, np.zeros(ids.shape, np.int32))
        cu = np.zeros(len(ids) + 1, np.int32)
        np.cumsum(lengths, out=cu[1:])
        wide = ids[mask]  # what stands for padding does not matter
        if wide.size and (wide.min() < 0 or wide.max() > np.iinfo(np.int32).max):
            raise InputError(
                f"token id {int(wide.min() if wide.min() < 0 else wide.max())} is outside any vocabulary"
            )
        return cls(
            input_ids=wide.astype(np.int32),
            cu_seqlens=cu,
            token_type_ids=types[mask],
            example_ids=np.arange(len(ids), dtype=np.int64),
            columns=columns[mask],
            width=ids.shape[1],
            position_ids=positions,
        )

    def with_targets(self, **targets: npt.NDArray[Any]) -> Batch:
        """The same batch with more targets."""
        return replace(self, targets={**self.targets, **targets})

    def pack(self, padded: npt.NDArray[Any], name: str = "the array") -> npt.NDArray[Any]:
        """[B, L, ...] -> [T, ...]: keep the real tokens. `name` is for the message of the InputError."""
        if padded.shape[:2] != (self.num_sequences, self.width):
            expected = f"[{self.num_sequences}, {self.width}, ...]"
            raise InputError(f"{name} must have shape {expected}, not {list(padded.shape)}")
        return padded[self.sequence_ids, self.columns]

    def unpack(self, packed: npt.NDArray[Any], fill: float = 0) -> npt.NDArray[Any]:
        """[T, ...] -> [B, L, ...], with `fill` where there is no token.

        Raises
        ------
        InputError
            Not one row for each token; columns that do not rise within a sequence, or beyond `width`.
        """
        if len(packed) != self.num_tokens:
            raise InputError(f"expected {self.num_tokens} rows, one for each token, not {len(packed)}")
        rises = self.columns[1:] > self.columns[:-1]
        rises[self.cu_seqlens[1:-1] - 1] = True
        if not rises.all() or ((self.columns < 0) | (self.columns >= self.width)).any():
            raise InputError(f"Batch: columns must rise within each sequence, from 0 to {self.width - 1}")
        out = np.full((self.num_sequences, self.width, *packed.shape[1:]), fill, packed.dtype)
        out[self.sequence_ids, self.columns] = packed
        return out

    def unpack_choices(self, by_sequence: npt.NDArray[Any], fill: float = 0) -> npt.NDArray[Any]:
        """[B] -> [G, C], C the largest number of choices, with `fill` where an example has fewer."""
        rows, columns = self._choices
        out = np.full((self.num_examples, int(columns.max(initial=-1)) + 1), fill, by_sequence.dtype)
        out[rows, columns] = by_sequence
        return out

    def pack_choices(self, by_example: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """[G, C] -> [B]."""
        return np.asarray(by_example[self._choices])

    @property
    def num_choices(self) -> IntArray:
        """int64 [G]: sequences of each example."""
        if self.cu_choices is None:
            raise InputError(
                "choices are compared within an example: give input_ids of shape [B, C, L], or a Batch with "
                "cu_choices"
            )
        return np.diff(self.cu_choices)

    @cached_property
    def _choices(self) -> tuple[IntArray, IntArray]:
        """Example of each sequence, and number of the choice in it; int64 [B] each."""
        rows = np.repeat(np.arange(self.num_examples), self.num_choices)
        return rows, np.arange(self.num_sequences) - np.asarray(self.cu_choices)[rows]


def _sequences(what: str, rows: Sequence[npt.ArrayLike]) -> list[IntArray]:
    try:
        return [_integers(what, i, row) for i, row in enumerate(rows)]
    except TypeError as error:
        raise InputError(
            f"lists of integers are expected, one for each sequence, not {rows!r:.60}"
        ) from error


def _integers(what: str, i: int, values: npt.ArrayLike) -> IntArray:
    """Ids of one sequence, int32 [n], if they are integers that fit."""
    if isinstance(values, np.ndarray) and values.dtype == np.int32 and values.ndim == 1:
        return values  # as data sets have them, for every batch
    array = as_array(f"{what} {i}", values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InputError(f"{what} {i} must be integers [n], not {array.dtype} {list(array.shape)}")
    return as_int32(f"{what} {i}", array)
