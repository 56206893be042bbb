"""One vector for a sequence from those of its tokens, as sentence encoders have it."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from minidistil.errors import UsageError
from minidistil.packing import Batch

Array = npt.NDArray[np.floating[Any]]
Pooling = Literal["mean", "cls", "max"]


def check_pooling(kind: str) -> None:
    """Raises UsageError unless `kind` is "mean", "cls" or "max"."""
    if kind not in get_args(Pooling):
        raise UsageError(f"pooling is {kind!r}: expected one of {', '.join(get_args(Pooling))}")


def pool_forward(x: Array, batch: Batch, kind: str = "mean") -> tuple[Array, Any]:
    """Pool the tokens of each sequence.

    Parameters
    ----------
    x : [T, H]
    batch : Batch
    kind : {"mean", "cls", "max"}
        Mean over all tokens, [CLS] and [SEP] among them; the first token; or the largest of each column
        (Reimers and Gurevych 2019, "Sentence-BERT", arXiv:1908.10084, section 3).

    Returns
    -------
    pooled : [B, H]
    cache : for `pool_backward`

    Raises
    ------
    UsageError
        An unknown kind.
    """
    check_pooling(kind)
    first = batch.first_tokens
    if kind == "cls":
        return x[first], (kind, batch, None)
    if kind == "max":
        pooled = np.maximum.reduceat(x, first) if batch.num_sequences else x[:0]
        return pooled, (kind, batch, x == pooled[batch.rows])
    pooled = np.add.reduceat(x, first) if batch.num_sequences else x[:0]
    return pooled / batch.lengths[:, None].astype(x.dtype), (kind, batch, None)


def pool_backward(dout: Array, cache: Any) -> Array:
    """dx [T, H] from dpooled [B, H].

    A mean hands each of its n tokens dout / n, [CLS] all of it. A maximum gives it to the token that was
    largest; several that were equally large share it (its derivative has a jump there, and any share is a
    subgradient).
    """
    kind, batch, largest = cache
    if kind == "cls":
        dx = np.zeros((batch.num_tokens, dout.shape[1]), dout.dtype)
        dx[batch.first_tokens] = dout
        return dx
    if kind == "max":
        ties = np.add.reduceat(largest.astype(dout.dtype), batch.first_tokens) if len(dout) else dout
        dx = np.where(largest, (dout / ties)[batch.rows], dout.dtype.type(0))
    else:
        dx = (dout / batch.lengths[:, None].astype(dout.dtype))[batch.rows]
    return dx
