"""Pooling: one vector for a sequence from the vectors of its tokens, as in sentence encoders."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_type
from minidistil.arrays import Array, IntArray
from minidistil.batch import Batch
from minidistil.errors import UsageError

Pooling = Literal["mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
KINDS: tuple[str, ...] = get_args(Pooling)


def pooling_kinds(pooling: str) -> tuple[str, ...]:
    """Names of the kinds of a pooling: "mean", or several with "+" between them, "cls+mean".

    Raises
    ------
    UsageError
        An unknown one.
    """
    check_type("pooling", pooling, str)
    kinds = tuple(pooling.split("+"))
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(
                f"pooling is {kind!r}: expected one of {', '.join(KINDS)}, or several with + between"
            )
    return kinds


class _Tokens(NamedTuple):
    """The tokens that are pooled: those after the first `skip` of each sequence, and the last in any case.

    Attributes
    ----------
    keep : bool [T], or None if all are
    rows : int [T']
        The sequence of each.
    first, lengths : int [B]
    positions : int [T']
        Of each in its sequence, the prompt counted.
    """

    keep: npt.NDArray[np.bool_] | None
    rows: IntArray
    first: IntArray
    lengths: IntArray
    positions: IntArray


def _tokens(batch: Batch, skip: int) -> _Tokens:
    if not skip:
        return _Tokens(None, batch.sequence_ids, batch.cls_rows, batch.lengths, batch.token_index)
    left_out = np.minimum(skip, batch.lengths - 1)
    keep = batch.token_index >= left_out[batch.sequence_ids]
    lengths = batch.lengths - left_out
    return _Tokens(
        keep, batch.sequence_ids[keep], np.cumsum(lengths) - lengths, lengths, batch.token_index[keep]
    )


def pool_forward(x: Array, batch: Batch, pooling: str = "mean", *, skip: int = 0) -> tuple[Array, Any]:
    """Pool the tokens of each sequence.

    Parameters
    ----------
    x : [T, H]
    batch : Batch
    pooling : str
        Over the n tokens of a sequence, [CLS] and [SEP] among them: "mean", "max" of each column, the first
        ("cls") or the "lasttoken" (Reimers and Gurevych 2019, "Sentence-BERT", arXiv:1908.10084, section 3);
        the sum divided by the root of n, "mean_sqrt_len_tokens"; the mean weighted by positions counted from
        1, "weightedmean" (Muennighoff 2022, "SGPT", arXiv:2202.08904, section 3). Of several, "cls+mean",
        vectors are put side by side, in their order.
    skip : int
        Number of tokens at the beginning, those of a prompt, that are left out; the last token never is. A
        weight stays that of the token's position in the whole sequence.

    Returns
    -------
    pooled : [B, K H] for K kinds
    cache : for `pool_backward`

    Raises
    ------
    UsageError
        An unknown pooling.
    """
    kinds, tokens = pooling_kinds(pooling), _tokens(batch, skip)
    rows = x if tokens.keep is None else x[tokens.keep]
    parts = [_pool(rows, tokens, kind) for kind in kinds]
    cache = [(kind, largest) for kind, (_, largest) in zip(kinds, parts, strict=True)]
    pooled = parts[0][0] if len(parts) == 1 else np.concatenate([part for part, _ in parts], axis=1)
    return pooled, (cache, tokens, len(x))


def pool_backward(dout: Array, cache: Any) -> Array:
    """dx [T, H] from dpooled [B, K H].

    Notes
    -----
    A mean hands each of its n tokens dout / n, or dout / sqrt(n); a weighted one token t the share
    t / (1 + ... + n). [CLS] or the last token gets all of it. A maximum gives it to the token that was
    largest; several that were equally large share it (its derivative has a jump there, and any share is a
    subgradient). Tokens that were left out get nothing, and what several kinds give is added.
    """
    kinds, tokens, count = cache
    parts = zip(np.split(dout, len(kinds), axis=1), kinds, strict=True)
    first, *more = (_unpool(part, tokens, *kind) for part, kind in parts)
    drows = sum(more, start=first)
    if tokens.keep is None:
        return drows
    dx = np.zeros((count, drows.shape[1]), dout.dtype)
    dx[tokens.keep] = drows
    return dx


def _pool(x: Array, tokens: _Tokens, kind: str) -> tuple[Array, npt.NDArray[np.bool_] | None]:
    """Pool by one kind; with the maximum also a mask of the tokens that have it."""
    if kind == "cls":
        return x[tokens.first], None
    if kind == "lasttoken":
        return x[tokens.first + tokens.lengths - 1], None
    some = len(tokens.first) > 0
    if kind == "max":
        pooled = np.maximum.reduceat(x, tokens.first) if some else x[:0]
        return pooled, x == pooled[tokens.rows]
    weights, divisor = _weights(tokens, kind, x.dtype)
    weighted = x if weights is None else x * weights
    pooled = np.add.reduceat(weighted, tokens.first) if some else x[:0]
    return pooled / divisor, None


def _unpool(dout: Array, tokens: _Tokens, kind: str, largest: npt.NDArray[np.bool_] | None) -> Array:
    """dx [T', H] of one kind."""
    if kind in ("cls", "lasttoken"):
        dx = np.zeros((len(tokens.rows), dout.shape[1]), dout.dtype)
        dx[tokens.first + (tokens.lengths - 1 if kind == "lasttoken" else 0)] = dout
        return dx
    if largest is not None:
        ties = np.add.reduceat(largest.astype(dout.dtype), tokens.first) if len(dout) else dout
        return np.where(largest, (dout / ties)[tokens.rows], dout.dtype.type(0))
    weights, divisor = _weights(tokens, kind, dout.dtype)
    dx = (dout / divisor)[tokens.rows]
    return dx if weights is None else dx * weights


def _weights(tokens: _Tokens, kind: str, dtype: np.dtype[Any]) -> tuple[Array | None, Array]:
    """Weights [T', 1] of a kind of mean, None if all are 1, and divisors [B, 1] of their sums."""
    lengths = tokens.lengths[:, None].astype(dtype)
    if kind == "weightedmean":
        weights = (tokens.positions + 1)[:, None].astype(dtype)
        return weights, np.add.reduceat(weights, tokens.first) if len(lengths) else lengths
    return None, np.sqrt(lengths) if kind == "mean_sqrt_len_tokens" else lengths
