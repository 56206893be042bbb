"""Embeddings: word + position + token type, the first thing a BERT does."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
Cache = tuple[IntArray, IntArray, IntArray, tuple[tuple[int, ...], ...], np.dtype[Any]]


def embedding_forward(
    input_ids: IntArray,
    position_ids: IntArray,
    token_type_ids: IntArray,
    word: Array,
    position: Array,
    token_type: Array | None = None,
) -> tuple[Array, Cache]:
    """Look up three tables and add the rows.

    Parameters
    ----------
    input_ids, position_ids, token_type_ids : integers [T]
        Must lie inside their tables; `Model.check` sees to that before any kernel runs.
    word : [V, H]
    position : [P, H]
    token_type : [S, H], optional
        DistilBERT has none; `token_type_ids` are then ignored.

    Returns
    -------
    out : [T, H]
    cache : for `embedding_backward`
    """
    out = word[input_ids]  # [T, H]
    if token_type is not None:
        out += token_type[token_type_ids]
    out += position[position_ids]
    tables = (word, position) if token_type is None else (word, position, token_type)
    return out, (input_ids, position_ids, token_type_ids, tuple(t.shape for t in tables), word.dtype)


def embedding_backward(
    dout: Array,
    cache: Cache,
    dword: Array | None = None,
    dposition: Array | None = None,
    dtoken_type: Array | None = None,
) -> tuple[Array, Array, Array | None]:
    """Gradients of the tables, added to those given.

    Returns
    -------
    dword : [V, H]
    dposition : [P, H]
    dtoken_type : [S, H], or None without that table

    Notes
    -----
    out_t = word[id_t] + ..., so row v of dword is the sum of dout_t over all t with id_t = v. A plain
    `dword[ids] += dout` would count a repeated id once; `np.add.at` adds every time.
    """
    input_ids, position_ids, token_type_ids, shapes, dtype = cache
    dword = np.zeros(shapes[0], dtype) if dword is None else dword
    dposition = np.zeros(shapes[1], dtype) if dposition is None else dposition
    np.add.at(dword, input_ids, dout)
    np.add.at(dposition, position_ids, dout)
    if len(shapes) == 3:
        dtoken_type = np.zeros(shapes[2], dtype) if dtoken_type is None else dtoken_type
        np.add.at(dtoken_type, token_type_ids, dout)
    return dword, dposition, dtoken_type
