"""Embeddings: a row of each table, added up: words, token types, positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidistil.arrays import Array, IntArray

Cache = tuple[Sequence[IntArray], list[tuple[int, ...]], np.dtype[Any]]


def embedding_forward(tables: Sequence[Array], ids: Sequence[IntArray]) -> tuple[Array, Cache]:
    """Look up a row of each table for each token and add them, in the order given.

    Parameters
    ----------
    tables : one or more arrays [V_i, H]
    ids : as many arrays of integers [T]
        Must lie inside their tables; `Model.check` sees to that before any kernel runs.

    Returns
    -------
    out : [T, H]
    cache : for `embedding_backward`
    """
    out = tables[0][ids[0]]  # [T, H]
    for table, rows in zip(tables[1:], ids[1:], strict=True):
        out += table[rows]
    return out, (ids, [table.shape for table in tables], tables[0].dtype)


def embedding_backward(dout: Array, cache: Cache, *dtables: Array) -> tuple[Array, ...]:
    """Gradients of the tables [V_i, H], added to those given.

    Notes
    -----
    out_t = table[id_t] + ..., so row v of a table's gradient is the sum of dout_t over all t with id_t = v.
    A plain `dtable[ids] += dout` would count a repeated id once; `np.add.at` adds every time.
    """
    ids, shapes, dtype = cache
    dtables = dtables or tuple(np.zeros(shape, dtype) for shape in shapes)
    for dtable, rows in zip(dtables, ids, strict=True):
        np.add.at(dtable, rows, dout)
    return dtables
