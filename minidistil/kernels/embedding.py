"""Embeddings: gather a row of each table and add, and the deterministic scatter back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidistil.arrays import Array, IntArray
from minidistil.kernels.engine.compile import strict
from minidistil.kernels.engine.parallel import run
from minidistil.kernels.engine.pool import awake_pool
from minidistil.kernels.engine.workspace import empty
from minidistil.ops.embedding import Cache


@strict
def _gather(rows: Any, table: Array, add: bool, out: Array, start: int, stop: int) -> None:
    """out[t] = table[rows[t]], or += that."""
    for t in range(start, stop):
        total, row = out[t], table[rows[t]]
        if add:
            for c in range(total.shape[0]):
                total[c] += row[c]
        else:
            for c in range(total.shape[0]):
                total[c] = row[c]


@strict
def _scatter(dout: Array, rows: Any, table: Array, start: int, stop: int) -> None:
    """table[rows[t]] += dout[t], tokens in order; threads share the columns, so none ever waits."""
    for t in range(dout.shape[0]):
        row, total = dout[t, start:stop], table[rows[t], start:stop]
        for c in range(row.shape[0]):
            total[c] += row[c]


@strict
def _run_gather(pool: Any, rows: Any, table: Array, add: bool, out: Array) -> None:
    run(pool, _gather, (rows, table, add, out), out.shape[0], 64)


@strict
def _run_scatter(pool: Any, dout: Array, rows: Any, table: Array) -> None:
    run(pool, _scatter, (dout, rows, table), dout.shape[1], 64)


def embedding_forward(tables: Sequence[Array], ids: Sequence[IntArray]) -> tuple[Array, Cache]:
    """See `minidistil.ops.embedding.embedding_forward`. Ids must have been checked: this does not."""
    out = empty((len(ids[0]), tables[0].shape[1]), tables[0].dtype)
    for i, (table, rows) in enumerate(zip(tables, ids, strict=True)):
        _run_gather(awake_pool(), rows, table, i > 0, out)
    return out, (ids, [table.shape for table in tables], out.dtype)


def embedding_backward(dout: Array, cache: Cache, *dtables: Array) -> tuple[Array, ...]:
    """See `minidistil.ops.embedding.embedding_backward`."""
    ids, shapes, dtype = cache
    dtables = dtables or tuple(np.zeros(shape, dtype) for shape in shapes)
    for dtable, rows in zip(dtables, ids, strict=True):
        _run_scatter(awake_pool(), dout, rows, dtable)
    return dtables
