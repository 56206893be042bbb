"""Vectors of fewer bits: a byte or a bit for each number, as sentence-transformers has them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_choice
from minidistil.arrays import Array
from minidistil.errors import UsageError

Quantized = Literal["float32", "int8", "uint8", "binary", "ubinary"]
PRECISIONS: tuple[Quantized, ...] = ("float32", "int8", "uint8", "binary", "ubinary")


def quantize_embeddings(
    vectors: Array, precision: Quantized, ranges: npt.ArrayLike | None = None
) -> npt.NDArray[Any]:
    """Quantize vectors [N, H].

    Parameters
    ----------
    vectors : float [N, H]
    precision : {"float32", "int8", "uint8", "binary", "ubinary"}
        "int8", "uint8": 256 steps from the smallest to the largest value of each column, from -128 or from 0
        on. "binary", "ubinary": the signs of eight columns in a byte, the first in its highest bit, minus 128
        or as they are.
    ranges : float [2, H], optional
        Smallest and largest value of each column; by default those of the vectors, of which there must be two
        at least. A vector then depends on the others.

    Returns
    -------
    float32, int8 or uint8 [N, H], or int8 or uint8 [N, ceil(H / 8)]

    Raises
    ------
    UsageError
        An unknown precision; too few vectors to find ranges.
    """
    check_choice("precision", precision, PRECISIONS)
    if precision == "float32":
        return np.asarray(vectors, np.float32)
    if precision in ("binary", "ubinary"):
        bits = np.packbits(vectors > 0, axis=-1)
        return np.asarray(bits if precision == "ubinary" else (bits.astype(np.int16) - 128).astype(np.int8))
    if ranges is None:
        if len(vectors) == 0:
            return np.zeros(vectors.shape, precision)
        if len(vectors) == 1:
            raise UsageError(
                f"{precision} needs the range of each column, which a single vector does not have: encode "
                "more texts at once, or call quantize_embeddings(vectors, precision, ranges)"
            )
        ranges = np.stack([vectors.min(0), vectors.max(0)])
    low, high = np.asarray(ranges, np.float32)
    step = (high - low) / np.float32(255)
    values = np.clip(np.floor((vectors - low) / np.where(step == 0, np.float32(1), step)), 0, 255)
    return np.asarray(values.astype(np.uint8) if precision == "uint8" else (values - 128).astype(np.int8))
