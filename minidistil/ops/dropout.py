"""Dropout (Srivastava et al. 2014), with masks computed from counters instead of stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array, IntArray
from minidistil.errors import UsageError
from minidistil.ops.philox import derive_key, philox


class Mask(NamedTuple):
    """Coordinates of one dropout site, which determine for each element whether it is dropped.

    Attributes
    ----------
    rate : float
        Probability of dropping an element, in [0, 1).
    key : two 32-bit integers
        Hash of (seed, step, layer, site).
    example : int64 [T]
        Id in the dataset of each row's example.
    position : int32 [T]
        Index of each row in its example.
    """

    rate: float
    key: tuple[int, int]
    example: IntArray
    position: IntArray


@dataclass(frozen=True)
class Dropout:
    """Dropout of one optimiser step: names the masks of all its sites.

    The same (seed, step) gives every example the same masks, whatever batch, thread or rank it is in.
    """

    seed: int
    step: int

    def __post_init__(self) -> None:
        for name in ("seed", "step"):
            if not isinstance(value := getattr(self, name), int | np.integer):
                raise UsageError(f"the {name} of a Dropout is an integer, not {value!r}")

    def mask(self, rate: float, layer: int, site: int, example: IntArray, position: IntArray) -> Mask | None:
        """The mask of one site of one layer; None where nothing is dropped."""
        return Mask(rate, derive_key(self.seed, self.step, layer, site), example, position) if rate else None


def threshold(rate: float) -> int:
    """Threshold: a random 32-bit word below it drops its element."""
    return min(round(rate * 2**32), 2**32 - 1)


def keep_mask(mask: Mask, columns: int, plane: int = 0) -> npt.NDArray[np.bool_]:
    """bool [T, columns]: True where an element survives.

    Each counter (i, position, example, plane) yields four words. With n = ceil(columns / 4) counters a
    row, word w of counter i decides on column w n + i. `plane` tells attention heads apart.
    """
    counters = np.arange(-(-columns // 4))[None, :]  # [1, n]
    words = philox(counters, mask.position[:, None], mask.example[:, None], plane, mask.key)
    return np.concatenate(words, axis=1)[:, :columns] >= np.uint32(threshold(mask.rate))  # [T, columns]


keep = keep_mask  # the name of before


def dropout_forward(x: Array, mask: Mask | None) -> tuple[Array, Mask | None]:
    """Zero a random `rate` of the elements and scale the others by 1 / (1 - rate).

    Parameters
    ----------
    x : [T, H]
    mask : Mask or None
        None: no dropout, `x` itself is returned.
    """
    if mask is None:
        return x, None
    return x * (keep_mask(mask, x.shape[-1]) * x.dtype.type(1 / (1 - mask.rate))), mask


def dropout_backward(dout: Array, cache: Mask | None) -> Array:
    """Gradient of dropout: the same mask, computed again from its coordinates."""
    return dropout_forward(dout, cache)[0]
