"""Layout of charts: points in, coordinates out. `templates/charts.html` draws them as SVG."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

Points = Iterable[tuple[float, float]]

DOTS = 40  # points of a line that are drawn one by one
ROWS = 40  # rows of a chart's table
LARGEST = 1e100  # no number of a run is; the arithmetic of a layout could overflow
NO_LENGTH = 1e-9  # of an axis, relative to its numbers: rounding could take it away


class Dot(NamedTuple):
    """A point that is drawn, with its numbers as text."""

    x: float
    y: float
    text: str


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
    dots : dict of str to list of Dot
        Points of the lines that have few.
    summary : str
        Both ends of each line, as a text in place of the picture.
    table : list of (str, list of str)
        The same numbers: x, and the value of each line there.
    points : int
        Different x; the table has `ROWS` of them at most, at equal distances.
    """

    width: ClassVar = 640
    height: ClassVar = 316
    left: ClassVar = 92  # the edges of what is between the axes; labels grow where the chart is small
    right: ClassVar = 604
    top: ClassVar = 36
    bottom: ClassVar = 258

    rows: list[tuple[float, str]]
    columns: list[tuple[float, str]]
    lines: dict[str, list[tuple[float, float]]]
    levels: dict[str, float]
    dots: dict[str, list[Dot]] = field(default_factory=dict)
    summary: str = ""
    table: list[tuple[str, list[str]]] = field(default_factory=list)
    points: int = 0


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers that cover [low, high], about `wanted` of them, 1, 2 or 5 times a power of ten apart."""
    step = _step(low, high, wanted)
    if step is None:
        return [low]
    first = math.ceil(low / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _step(low: float, high: float, wanted: int) -> float | None:
    rough = (high - low) / wanted
    if not sys.float_info.min < rough < math.inf:  # below, powers of ten round to nothing
        return None
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)


def line_layout(
    series: Mapping[str, Points],
    levels: Mapping[str, float] | None = None,
    *,
    zero: bool = False,
    least: float = 0.0,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    percent: bool = False,
    first: float | None = None,
) -> Chart | None:
    """Lay out lines, rounded to a tenth of a unit. The y axis begins and ends at a tick.

    Of points that share a column of pixels the first, the last, the lowest and the highest are drawn.

    Parameters
    ----------
    series : mapping of str to (x, y) points
        Points that are not finite, or as large as `LARGEST`, are left out.
    levels : mapping of str to float, optional
        Horizontal lines to compare with, such as a teacher's result.
    zero : bool
        Whether the y axis begins at 0, if nothing is below.
    least : float
        Least length of the y axis: less difference than that is not drawn as if it were much.
    bounds : (float, float)
        Lowest and highest value that y can have: `least` does not go beyond, if the points do not.
    percent : bool
        Whether numbers are shown as percentages.
    first : float, optional
        Beginning of the x axis, if no point is before it; by default the first point.

    Returns
    -------
    Chart or None
        None if there is nothing to draw.
    """
    levels = {k: v for k, v in (levels or {}).items() if abs(v) < LARGEST}
    given = {k: np.array(list(points), np.float64).reshape(-1, 2) for k, points in series.items()}
    given = {k: points[(np.abs(points) < LARGEST).all(1)] for k, points in given.items()}
    given = {k: points for k, points in given.items() if len(points)}
    if not given:
        return None
    whole = np.concatenate(list(given.values()))
    x0, x1 = float(whole[:, 0].min()), float(whole[:, 0].max())
    if first is not None:
        x0 = min(x0, first)
    heights = [float(whole[:, 1].min()), float(whole[:, 1].max()), *levels.values()]
    x1 = x1 if x1 - x0 > NO_LENGTH * abs(x0) else x0 + max(1.0, 1e-6 * abs(x0))
    y0, y1 = _y_axis(min(heights), max(heights), zero, least, bounds)
    drawn = {k: _thinned(points, x0, x1).tolist() for k, points in given.items()}

    def across(value: float) -> float:
        return round(Chart.left + (value - x0) / (x1 - x0) * (Chart.right - Chart.left), 1)

    def down(value: float) -> float:
        return round(Chart.top + (y1 - value) / (y1 - y0) * (Chart.bottom - Chart.top), 1)

    steps = bool((whole[:, 0] == np.floor(whole[:, 0])).all())  # between which there is nothing

    def x_text(x: float) -> str:
        return f"{x:,.0f}" if steps else _number(x)

    def y_text(y: float, digits: int = 4) -> str:
        return f"{_number(100 * y, digits)}%" if percent else _number(y, digits)

    columns = [x for x in ticks(x0, x1, 6) if not steps or x == math.floor(x)]
    few = {k: points for k, points in given.items() if len(points) <= DOTS}
    by_x = [{float(x): float(y) for x, y in points} for points in given.values()]
    return Chart(
        rows=[(down(y), label) for y, label in _labelled(ticks(y0, y1), percent)],
        columns=[(across(x), x_text(x)) for x in columns],
        lines={k: [(across(x), down(y)) for x, y in points] for k, points in drawn.items()},
        levels={k: down(y) for k, y in levels.items()},
        dots={
            k: [Dot(across(x), down(y), f"{x_text(x)}: {y_text(y)}") for x, y in points.tolist()]
            for k, points in few.items()
        },
        summary=" ".join(
            [
                *(
                    f"{k}: {y_text(points[0, 1])} at {x_text(points[0, 0])}"
                    + (f", {y_text(points[-1, 1])} at {x_text(points[-1, 0])}." if len(points) > 1 else ".")
                    for k, points in given.items()
                ),
                *(f"{k}: {y_text(y)}, a level to compare with." for k, y in levels.items()),
            ]
        ),
        table=[
            (x_text(x), [y_text(found[x]) if x in found else "" for found in by_x])
            for x in _some_of(whole[:, 0])
        ],
        points=len(np.unique(whole[:, 0])),
    )


def _y_axis(
    low: float, high: float, zero: bool, least: float, bounds: tuple[float, float]
) -> tuple[float, float]:
    """Ends of the y axis: at ticks around the points."""
    if zero and low >= 0:
        low = 0.0
    inside = bounds[0] <= low and high <= bounds[1]
    if high - low < least:
        middle = (low + high) / 2
        low, high = middle - least / 2, middle + least / 2
        if inside and low < bounds[0]:
            low, high = bounds[0], bounds[0] + least
        elif inside and high > bounds[1]:
            low, high = bounds[1] - least, bounds[1]
    if high - low <= NO_LENGTH * max(abs(low), abs(high)):
        margin = 0.05 * (abs(high) or 1)
        low, high = (0.0 if zero and low >= 0 else low - margin), high + margin
    while (step := _step(low, high, 5)) is not None:
        ends = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
        before, (low, high) = (low, high), (float(f"{ends[0]:.12g}"), float(f"{ends[1]:.12g}"))
        if (low, high) == before or _step(
            low, high, 5
        ) == step:  # a longer axis may have its ticks further apart
            break
    return low, high


def _labelled(values: list[float], percent: bool) -> list[tuple[float, str]]:
    """Ticks with their labels; all with an exponent, if one has to have one."""
    if percent:
        return [(y, f"{_number(100 * y, 6)}%") for y in values]
    labels = [_number(y, 6) for y in values]
    if any("e" in label for label in labels):
        short = ((y, f"{y:.5e}".split("e")) for y in values)
        labels = [f"{float(m):g}e{int(e)}".replace("-", "−") if y else "0" for y, (m, e) in short]
    return list(zip(values, labels, strict=True))


def _number(value: float, digits: int = 4) -> str:
    """A number with a proper minus and a short exponent."""
    return f"{value:.{digits}g}".replace("e-0", "e-").replace("e+0", "e").replace("-", "−")


def _some_of(x: npt.NDArray[np.float64]) -> list[float]:
    """Different values, sorted; of many `ROWS` at equal distances, the first and the last among them."""
    found = np.unique(x)
    if len(found) > ROWS:
        found = found[np.linspace(0, len(found) - 1, ROWS).round().astype(np.int64)]
    some: list[float] = found.tolist()
    return some


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
