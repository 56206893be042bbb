"""The result of every loss, and arithmetic that several share."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array
from minidistil.errors import InputError


class Loss(NamedTuple):
    """A loss as a sum, so that it adds up exactly over micro-batches and ranks.

    Attributes
    ----------
    sum : float
        Sum over the items that count, accumulated in float64.
    count : int, or float where items have weights
        Number of items: tokens, masked tokens, sequences, or single labels. May be 0.
    grad : array, shaped like the first input
        Gradient of `sum`, not of the mean. Whoever knows the count of the whole optimiser step divides.
    """

    sum: float
    count: int | float  # type: ignore[assignment]  # hides tuple.count, which a loss has no use for
    grad: Array

    @property
    def mean(self) -> float:
        return self.sum / self.count if self.count else 0.0


def log_softmax(z: Array) -> Array:
    """Logarithm of the softmax of every row: z - log(sum(exp(z))).

    Parameters
    ----------
    z : [N, C]

    Returns
    -------
    [N, C], all <= 0

    Notes
    -----
    The largest entry m of a row is taken out first, log(sum(exp(z))) = m + log(sum(exp(z - m))): every
    exponent is then <= 0 and one of them is 0, so exp cannot overflow and log never sees zero.
    """
    shifted: Array = z - z.max(-1, keepdims=True)  # [N, C]
    shifted -= np.log(np.exp(shifted).sum(-1, keepdims=True))  # [N, C] - [N, 1]
    return shifted


def times_log(p: Array, log_q: Array) -> Array:
    """p * log q, entry by entry, where 0 * log 0 is its limit 0: a class given no chance costs nothing.

    Only an exact 0 is replaced, so that NaN and Inf stay visible.
    """
    return np.where(p == 0, 0, p * log_q)


def kept_rows(mask: npt.ArrayLike | None, n: int) -> Any:
    """An index of the rows that count: all of them, or those where `mask` [N] is true.

    Raises
    ------
    InputError
        `mask` is not bool of shape [N].
    """
    if mask is None:
        return slice(None)
    array = np.asarray(mask)
    if array.dtype != np.bool_ or array.shape != (n,):
        raise InputError(
            f"mask must be bool of shape [{n}], one entry a row, not {array.dtype} {list(array.shape)}"
        )
    return array


def integer_labels(labels: npt.ArrayLike, n: int) -> npt.NDArray[Any]:
    """`labels` as an array, if they are integers of shape [n].

    Raises
    ------
    InputError
        Otherwise.
    """
    y = np.asarray(labels)
    if y.shape != (n,) or not (np.issubdtype(y.dtype, np.integer) or n == 0):
        raise InputError(f"labels must be integers of shape [{n}], one a row, not {y.dtype} {list(y.shape)}")
    return y


def unit_rows(x: Array, eps: float) -> tuple[Array, Array]:
    """Every row divided by its length sqrt(|x|^2 + eps): eps keeps a zero row zero.

    Returns
    -------
    u : [N, H]
    lengths : [N, 1]
    """
    lengths = np.sqrt((x * x).sum(-1, keepdims=True) + eps)  # [N, 1]
    return x / lengths, lengths


def unit_rows_backward(du: Array, u: Array, lengths: Array) -> Array:
    """Gradient of `unit_rows`.

    Notes
    -----
    Forward, u = x / r with r = sqrt(|x|^2 + eps), so dr/dx = x / r = u and

        dx = du / r - (du.x / r^2) dr/dx = (du - (du.u) u) / r

    The part along u is taken out: a longer x has the same direction.
    """
    along: Array = (du * u).sum(-1, keepdims=True)  # [N, 1]
    return (du - along * u) / lengths
