"""Layout of charts: points in, coordinates out. `templates/charts.html` draws them as SVG."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

Points = Iterable[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """Coordinates of lines over a common x axis, in units of the SVG, which scales.

    Attributes
    ----------
    rows, columns : list of (float, str)
        Ticks of the y axis and of the x axis, with their labels.
    lines : dict of str to list of (x, y)
    levels : dict of str to float
        Horizontal lines to compare with.
    """

    width: ClassVar = 640
    height: ClassVar = 300
    left: ClassVar = 58  # the edges of what is between the axes
    right: ClassVar = 628
    top: ClassVar = 12
    bottom: ClassVar = 260

    rows: list[tuple[float, str]]
    columns: list[tuple[float, str]]
    lines: dict[str, list[tuple[float, float]]]
    levels: dict[str, float]


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers that cover [low, high], about `wanted` of them, 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / wanted
    if not sys.float_info.min < rough < math.inf:  # below, powers of ten round to nothing
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, math.floor(high / step + 1e-9) + 1)]


def line_layout(series: Mapping[str, Points], levels: Mapping[str, float] | None = None) -> Chart | None:
    """Lay out lines, rounded to a tenth of a unit.

    Of points that share a column of pixels the first, the last, the lowest and the highest are drawn.

    Parameters
    ----------
    series : mapping of str to (x, y) points
        Points that are not finite are left out.
    levels : mapping of str to float, optional
        Horizontal lines to compare with, such as a teacher's result.

    Returns
    -------
    Chart or None
        None if there is nothing to draw.
    """
    levels = {k: v for k, v in (levels or {}).items() if math.isfinite(v)}
    given = {k: np.array(list(points), np.float64).reshape(-1, 2) for k, points in series.items()}
    given = {k: points[np.isfinite(points).all(1)] for k, points in given.items()}
    given = {k: points for k, points in given.items() if len(points)}
    if not given:
        return None
    whole = np.concatenate(list(given.values()))
    x0, x1 = float(whole[:, 0].min()), float(whole[:, 0].max())
    heights = [float(whole[:, 1].min()), float(whole[:, 1].max()), *levels.values()]
    y0, y1 = min(heights), max(heights)
    x1, margin = (x1 if x1 > x0 else x0 + 1), 0.05 * (y1 - y0 or abs(y1) or 1)
    drawn = {k: _thinned(points, x0, x1).tolist() for k, points in given.items()}
    y0, y1 = y0 - margin, y1 + margin

    def across(value: float) -> float:
        return round(Chart.left + (value - x0) / (x1 - x0) * (Chart.right - Chart.left), 1)

    def down(value: float) -> float:
        return round(Chart.top + (y1 - value) / (y1 - y0) * (Chart.bottom - Chart.top), 1)

    steps = bool((whole[:, 0] == np.floor(whole[:, 0])).all())  # between which there is nothing
    columns = [x for x in ticks(x0, x1, 6) if not steps or x == math.floor(x)]
    return Chart(
        rows=[(down(y), f"{y:g}") for y in ticks(y0, y1)],
        columns=[(across(x), f"{x:,.0f}" if steps else f"{x:g}") for x in columns],
        lines={k: [(across(x), down(y)) for x, y in points] for k, points in drawn.items()},
        levels={k: down(y) for k, y in levels.items()},
    )


def _thinned(points: npt.NDArray[np.float64], x0: float, x1: float) -> npt.NDArray[np.float64]:
    """Choose those of points [N, 2] that make the same picture."""
    width = Chart.right - Chart.left
    if len(points) <= 4 * width:
        return points
    columns = ((points[:, 0] - x0) / (x1 - x0) * width).astype(np.int64)
    kept = []
    for order in (np.argsort(columns, kind="stable"), np.lexsort((points[:, 1], columns))):
        sorted_columns = columns[order]
        ends = np.flatnonzero(np.append(sorted_columns[1:] != sorted_columns[:-1], True))
        kept += [order[ends], order[np.append(0, ends[:-1] + 1)]]
    thinned: npt.NDArray[np.float64] = points[np.unique(np.concatenate(kept))]
    return thinned
