"""Embeddings: gather three rows and add, and the deterministic scatter back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil import threads
from minidistil.kernels.engine.compile import exact
from minidistil.kernels.engine.parallel import run
from minidistil.kernels.engine.workspace import empty
from minidistil.ops.embedding import Cache

Array = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]


@exact
def _gather(
    ids: Any, positions: Any, types: Any, word: Array, position: Array, token_type: Array, out: Array,
    start: int, stop: int,
) -> None:  # fmt: skip
    for t in range(start, stop):
        row, w, p = out[t], word[ids[t]], position[positions[t]]
        for c in range(row.shape[0]):
            row[c] = w[c]
        if len(token_type):
            s = token_type[types[t]]
            for c in range(row.shape[0]):
                row[c] += s[c]
        for c in range(row.shape[0]):
            row[c] += p[c]


@exact
def _scatter(dout: Array, rows: Any, table: Array, start: int, stop: int) -> None:
    """table[rows[t]] += dout[t], tokens in order; threads share the columns, so none ever waits."""
    for t in range(dout.shape[0]):
        given, total = dout[t, start:stop], table[rows[t], start:stop]
        for c in range(given.shape[0]):
            total[c] += given[c]


@exact
def _run_gather(
    pool: Any,
    ids: Any,
    positions: Any,
    types: Any,
    word: Array,
    position: Array,
    token_type: Array,
    out: Array,
) -> None:
    run(pool, _gather, (ids, positions, types, word, position, token_type, out), out.shape[0], 64)


@exact
def _run_scatter(pool: Any, dout: Array, rows: Any, table: Array) -> None:
    run(pool, _scatter, (dout, rows, table), dout.shape[1], 64)


def embedding_forward(
    input_ids: IntArray,
    position_ids: IntArray,
    token_type_ids: IntArray,
    word: Array,
    position: Array,
    token_type: Array | None = None,
) -> tuple[Array, Cache]:
    """See `minidistil.ops.embedding.embedding_forward`. Ids must have been checked: this does not."""
    out = empty((len(input_ids), word.shape[1]), word.dtype)
    types = word[:0] if token_type is None else token_type
    _run_gather(threads.pool(), input_ids, position_ids, token_type_ids, word, position, types, out)
    tables = (word, position) if token_type is None else (word, position, token_type)
    return out, (input_ids, position_ids, token_type_ids, tuple(t.shape for t in tables), word.dtype)


def embedding_backward(
    dout: Array,
    cache: Cache,
    dword: Array | None = None,
    dposition: Array | None = None,
    dtoken_type: Array | None = None,
) -> tuple[Array, Array, Array | None]:
    """See `minidistil.ops.embedding.embedding_backward`."""
    input_ids, position_ids, token_type_ids, shapes, dtype = cache
    dword = np.zeros(shapes[0], dtype) if dword is None else dword
    dposition = np.zeros(shapes[1], dtype) if dposition is None else dposition
    _run_scatter(threads.pool(), dout, input_ids, dword)
    _run_scatter(threads.pool(), dout, position_ids, dposition)
    if len(shapes) == 3:
        dtoken_type = np.zeros(shapes[2], dtype) if dtoken_type is None else dtoken_type
        _run_scatter(threads.pool(), dout, token_type_ids, dtoken_type)
    return dword, dposition, dtoken_type
