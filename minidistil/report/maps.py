"""Matrices as pages show them: a picture that needs no script, and every number in full for one."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array

STEPS = 63  # of a picture's colour, from none to full
BLUE, ORANGE = (0, 114, 178), (213, 94, 0)  # two of style.css, which every eye can tell apart
SWATCHES = 4  # of a legend, and one for zero


def packed(values: Array) -> dict[str, Any]:
    """A float32 or float64 array for a script: its shape, and its bytes in base64, without loss."""
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return {"shape": list(values.shape), values.dtype.name: base64.b64encode(little.tobytes()).decode()}


def csp_hash(text: str) -> str:
    """Source of a content security policy that allows a script or a style sheet of just this text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(str(text).encode()).digest()).decode()


def png(shares: npt.ArrayLike) -> str:
    """Picture of shares [R, C] from -1 to 1, a pixel each, as the address of a page's image.

    Blue, below zero orange, the fainter the nearer to zero; so it suits light and dark paper.
    """
    steps = np.rint(STEPS * np.clip(np.nan_to_num(shares), -1, 1)).astype(np.int64)
    low = min(int(steps.min(initial=0)), 0)
    palette = range(low, STEPS + 1)
    height, width = steps.shape
    pixels = np.pad((steps - low).astype(np.uint8), ((0, 0), (1, 0)))  # 0 before each row: no filter
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0),  # 8 bits, a palette
        b"PLTE": b"".join(bytes(ORANGE if step < 0 else BLUE) for step in palette),
        b"tRNS": bytes(round(255 * abs(step) / STEPS) for step in palette),
        b"IDAT": zlib.compress(pixels.tobytes(), 9),
        b"IEND": b"",
    }
    written = b"\x89PNG\r\n\x1a\n"
    for kind, content in chunks.items():
        check = struct.pack(">I", zlib.crc32(kind + content))
        written += struct.pack(">I", len(content)) + kind + content + check
    return "data:image/png;base64," + base64.b64encode(written).decode()


def legend(full: float, *, root: bool = False) -> list[tuple[float, str]]:
    """Some colours, as shares of the full one, and their values, of a scale that may grow with the root."""
    shares = [step / SWATCHES for step in range(SWATCHES + 1)]
    return [(share, f"{full * (share**2 if root else share):.3g}") for share in shares]


@dataclass(frozen=True, eq=False)
class HeatMap:
    """A matrix with names, or several of which a slider shows one.

    Attributes
    ----------
    title : str
    rows, columns : sequence of str
        Names.
    values : float array [R, C], or [N, R, C]
    between : str
        Words, and spaces, between the name of a row and that of a column, when one number is told.
    names, slider, first
        Of several matrices: the N names, the label of the slider, the one that is shown first.
    full : float, optional
        Value of the full colour; by default the largest, whatever its sign.
    scale : {"all", "row", "column"}
        Numbers that share a scale of colours.
    root : bool
        The colour grows with the square root, so that small numbers can be told apart.
    text : bool
        Rounded numbers stand in the cells.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Array
    between: str = ", "
    names: Sequence[str] = ()
    slider: str = ""
    first: int = 0
    full: float | None = None
    scale: Literal["all", "row", "column"] = "all"
    root: bool = False
    text: bool = False

    @property
    def largest(self) -> list[float]:
        """Value of the full colour: one, or one for each row or column."""
        if self.full is not None:
            return [self.full]
        axis = {"all": None, "row": -1, "column": -2}[self.scale]
        sizes = np.nan_to_num(np.abs(self.values.astype(np.float64)), posinf=0.0)
        found: list[float] = np.atleast_1d(sizes.max(axis, initial=0.0)).reshape(-1).tolist()
        return [most or 1.0 for most in found]

    @property
    def data(self) -> dict[str, Any]:
        """All of it for the script."""
        return {
            "title": self.title, "rows": list(self.rows), "columns": list(self.columns),
            "values": packed(self.values), "between": self.between, "names": list(self.names),
            "slider": self.slider, "first": self.first, "largest": self.largest, "scale": self.scale,
            "root": self.root, "text": self.text,
        }  # fmt: skip

    @property
    def _shown(self) -> Array:
        return self.values[self.first] if self.names else self.values

    @property
    def picture(self) -> str:
        """Address of the picture of what is shown first."""
        largest = np.array(self.largest)
        parts = self._shown / (largest[:, None] if self.scale == "row" else largest)
        return png(np.sign(parts) * np.sqrt(np.abs(parts)) if self.root else parts)

    @property
    def cells(self) -> list[list[str]]:
        """Rounded numbers of what is shown first."""
        return [[f"{value:.4g}" for value in row] for row in self._shown.tolist()]

    @property
    def legend(self) -> list[tuple[float, str]]:
        """Some colours and their values, see `legend`; none where scales differ."""
        return legend(*self.largest, root=self.root) if self.scale == "all" else []
