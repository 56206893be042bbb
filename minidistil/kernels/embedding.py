"""Embeddings: gather a row of each table and add, and the deterministic scatter back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.kernels.engine.compile import exact
from minidistil.kernels.engine.parallel import run
from minidistil.kernels.engine.pool import awake_pool
from minidistil.kernels.engine.workspace import empty
from minidistil.ops.embedding import Cache

Array = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]


@exact
def _gather(tables: Any, ids: Any, out: Array, start: int, stop: int) -> None:
    for t in range(start, stop):
        row = out[t]
        row[:] = tables[0][ids[0, t]]
        for i in range(1, len(tables)):
            given = tables[i][ids[i, t]]
            for c in range(row.shape[0]):
                row[c] += given[c]


@exact
def _scatter(dout: Array, rows: Any, table: Array, start: int, stop: int) -> None:
    """table[rows[t]] += dout[t], tokens in order; threads share the columns, so none ever waits."""
    for t in range(dout.shape[0]):
        given, total = dout[t, start:stop], table[rows[t], start:stop]
        for c in range(given.shape[0]):
            total[c] += given[c]


@exact
def _run_gather(pool: Any, tables: Any, ids: Any, out: Array) -> None:
    run(pool, _gather, (tables, ids, out), out.shape[0], 64)


@exact
def _run_scatter(pool: Any, dout: Array, rows: Any, table: Array) -> None:
    run(pool, _scatter, (dout, rows, table), dout.shape[1], 64)


def embedding_forward(tables: Sequence[Array], ids: Sequence[IntArray]) -> tuple[Array, Cache]:
    """See `minidistil.ops.embedding.embedding_forward`. Ids must have been checked: this does not."""
    first = tables[0]
    out = empty((len(ids[0]), first.shape[1]), first.dtype)
    _run_gather(awake_pool(), tuple(_read_only(table) for table in tables), np.stack(ids), out)
    return out, (ids, [table.shape for table in tables], first.dtype)


def _read_only(table: Array) -> Array:
    """A view of the type that all tables of a kernel have in common."""
    view = np.ascontiguousarray(table).view()
    view.flags.writeable = False
    return view


def embedding_backward(dout: Array, cache: Cache, *dtables: Array) -> tuple[Array, ...]:
    """See `minidistil.ops.embedding.embedding_backward`."""
    ids, shapes, dtype = cache
    dtables = dtables or tuple(np.zeros(shape, dtype) for shape in shapes)
    for dtable, rows in zip(dtables, ids, strict=True):
        _run_scatter(awake_pool(), dout, rows, dtable)
    return dtables
