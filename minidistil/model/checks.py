"""Checks in front of the kernels and losses: of a batch, of gradients before the backward pass, of targets.

A kernel trusts what it is given, and reads and writes outside memory where that does not fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_names, did_you_mean
from minidistil.arrays import Array, as_array
from minidistil.batch import Batch
from minidistil.errors import InputError, UsageError
from minidistil.losses import IGNORE_INDEX
from minidistil.model.context import Cache
from minidistil.model.modules import PositionTable, Table
from minidistil.model.terms import described
from minidistil.ops.dropout import Dropout
from minidistil.parameters import Parameters

if TYPE_CHECKING:
    from minidistil.model.packed_model import PackedModel


# How messages speak of ids, and of their table.
ID_NAMES = {
    "input_ids": ("token id", "vocabulary"),
    "position_ids": ("position", "positions"),
    "token_type_ids": ("token type", "token types"),
    "task_type_ids": ("task type", "task types"),
}

OF_ENCODER = ("last_hidden_state", "attention_bias")  # outputs that no head gives


def check_batch(batch: Batch, tables: Iterable[Table]) -> None:
    """Refuse a batch whose fields do not fit, or whose ids lie outside a model's tables.

    Raises
    ------
    UsageError
        No `Batch`.
    InputError
        Naming the field; or the sequence and the first bad value.
    """
    if not isinstance(batch, Batch):
        raise UsageError(
            f"a Batch is expected, not {type(batch).__name__}: arrays go to the model itself, as "
            "model(input_ids, attention_mask), and model.pack makes a Batch of them"
        )
    batch.check()
    for table in tables:
        ids = table.ids_of(batch)
        outside = ids.view(np.uint32) >= table.rows  # as unsigned, what is negative is beyond it too
        if np.count_nonzero(outside):
            t = int(np.flatnonzero(outside)[0])
            where = f"sequence {batch.sequence_ids[t]}, token {batch.token_index[t]}"
            what, those = ID_NAMES[table.ids]
            advice = ""
            if isinstance(table, PositionTable):
                advice = f"; truncate the text to {table.rows - table.first} tokens"
            raise InputError(f"{where}: {what} {ids[t]} is outside the model's {table.rows} {those}{advice}")


def check_dropout(dropout: Dropout | None) -> None:
    """Raise a UsageError unless `dropout` names masks; a rate does not."""
    if not isinstance(dropout, Dropout | None):
        raise UsageError(
            f"dropout is a Dropout(seed, step), which names the masks, or None, not {dropout!r:.40}; "
            "the rates are in the model's config"
        )


def check_backward(cache: Cache, model: PackedModel, grads: Parameters) -> None:
    """Raise a UsageError unless a model can go back from `cache`, and add to `grads`."""
    if not isinstance(cache, Cache):
        raise UsageError(f"cache is what forward gave with keep_cache=True, not {type(cache).__name__}")
    same = cache.kind is type(model) and cache.config == model.config
    if not same or cache.dtype != model.params.dtype:
        raise UsageError("cache is from the forward pass of another model")
    check_batch(cache.batch, model.encoder.embeddings.tables)  # its arrays may have changed since
    model.params.check_like(grads)


def checked_douts(douts: Mapping[str, Any], cache: Cache) -> dict[str, Any]:
    """Gradients of outputs as kernels take them: in the model's dtype, row after row.

    Raises
    ------
    UsageError
        An output that the forward pass did not have.
    InputError
        Another shape than the output's, or no numbers.
    """
    layers, (tokens, width) = len(cache.layers) - 1, cache.shapes["last_hidden_state"]
    inside = {"hidden_states": (layers + 1, width), "qkv": (layers, 3 * width)}
    check_names("backward", "gradient of", douts, [*cache.shapes, *inside])
    found: dict[str, Any] = {}
    for name, dout in douts.items():
        if name not in inside:
            found[name] = _gradient(name, dout, cache.shapes[name], cache.dtype)
            continue
        count, columns = inside[name]
        if not isinstance(dout, Mapping) or not all(i in range(count) for i in dout):
            raise UsageError(
                f"the gradient of {name} is a mapping of numbers from 0 to {count - 1} to arrays, not "
                f"{dict.fromkeys(dout, ...) if isinstance(dout, Mapping) else type(dout).__name__}"
            )
        found[name] = {
            int(i): _gradient(f"{name}[{i}]", part, (tokens, columns), cache.dtype)
            for i, part in dout.items()
        }
    return found


def _gradient(name: str, value: npt.ArrayLike, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    array = as_array(f"the gradient of {name}", value)
    if array.shape != shape or array.dtype.kind not in "iuf":
        given = None if value is None else f"{array.dtype} {list(array.shape)}"
        raise InputError(
            f"the gradient of {name} must be numbers of shape {list(shape)}, as the output is, not {given}"
        )
    return np.ascontiguousarray(array, dtype)


def target(batch: Batch, name: str) -> npt.NDArray[Any]:
    """A target of the batch, or an error that says which are there."""
    if name not in batch.targets:
        have = ", ".join(sorted(batch.targets)) or "none"
        raise InputError(f"the loss of this model needs {name!r}; the batch has: {have}")
    return np.asarray(batch.targets[name])


def integer_target(batch: Batch, name: str, rows: int) -> npt.NDArray[Any]:
    """A target of the batch, if it holds `rows` integers.

    Raises
    ------
    InputError
        Naming it.
    """
    values = target(batch, name)
    if values.shape != (rows,) or (rows and values.dtype.kind not in "iu"):
        raise InputError(
            f"{name} must be integers of shape [{rows}], not {values.dtype} {list(values.shape)}"
        )
    return values


def class_target(batch: Batch, name: str, rows: int, classes: int) -> npt.NDArray[Any]:
    """A target of the batch, if it holds `rows` classes, from 0 to `classes` - 1 or -100 for none.

    Raises
    ------
    InputError
        Naming it, and the first label that is none.
    """
    values = integer_target(batch, name, rows)
    bad = np.flatnonzero((values != IGNORE_INDEX) & ((values < 0) | (values >= classes)))
    if len(bad):
        raise InputError(
            f"{name}: label {values[bad[0]]} at index {bad[0]} is out of range: expected 0 to {classes - 1}, "
            f"or {IGNORE_INDEX} for a row without a label"
        )
    return values


def output_of(outputs: Mapping[str, Any], name: str, rows: int) -> Array:
    """An output of `rows` rows, or an InputError."""
    if name not in outputs:
        raise InputError(f"the loss is of the output {name!r}{did_you_mean(name, outputs)}")
    values: Array = outputs[name]
    if len(values) != rows:
        raise InputError(f"the output {name!r} has {len(values)} rows, and the batch {rows}")
    return values


def require_finite(*outputs: Array) -> None:
    """Raise an InputError for outputs of a model that are NaN or infinite."""
    if not all(np.isfinite(part).all() for part in outputs):
        raise InputError("the model's outputs hold a NaN or an Inf: its weights are damaged, or it diverged")


# Heads of a user's own


def checked_outputs(head: object, found: Any) -> tuple[dict[str, Any], Any]:
    """Outputs of a head by name, and its cache.

    Raises
    ------
    UsageError
        Its `forward` gave something else.
    """
    pair = isinstance(found, tuple) and len(found) == 2
    if pair and isinstance(found[0], dict) and all(isinstance(x, np.ndarray) for x in found[0].values()):
        return found[0], found[1]
    raise UsageError(
        f"{type(head).__name__}.forward must give its outputs, a dict of arrays by name, and a cache for "
        f"backward, not {described(found)}"
    )


def add_input_gradient(dx: Array, head: object, found: Any) -> bool:
    """Add what the `backward` of a head gave to `dx`; False if that is None.

    Raises
    ------
    InputError
        An array of another shape than the head's input, or no numbers.
    """
    if found is None:
        return False
    if not isinstance(found, np.ndarray) or found.shape != dx.shape or found.dtype.kind != "f":
        raise InputError(
            f"{type(head).__name__}.backward must give the gradient of its input, {dx.dtype} "
            f"{list(dx.shape)}, not {described(found)}"
        )
    dx += found
    return True


def check_answered(douts: Mapping[str, Any], cache: Cache, answered: bool) -> None:
    """Raise a UsageError if heads were given gradients, and the `backward` of none of them gave one."""
    asked = [name for name in cache.shapes if name in douts and name not in OF_ENCODER]
    if asked and not answered:
        raise UsageError(
            f"the gradient of {asked[0]!r} went nowhere: the head's backward gave None; expected is the "
            "gradient of its input"
        )
