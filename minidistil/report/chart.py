"""Charts as SVG, written out: no script, no network, sharp on paper and on a phone."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 12, 40
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito, for every eye
DASHES = ("", "6 3", "2 3", "8 3 2 3")  # and for print without colour

Points = Iterable[tuple[float, float]]


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers that cover [low, high], about `wanted` of them, 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / wanted
    if not sys.float_info.min < rough < math.inf:  # below, powers of ten round to nothing
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, math.floor(high / step + 1e-9) + 1)]


def line_chart(
    series: Mapping[str, Points], *, x: str, y: str, levels: Mapping[str, float] | None = None
) -> str:
    """Lines over a common x axis, with a legend below.

    Of points that share a column of pixels the first, the last, the lowest and the highest are drawn.

    Parameters
    ----------
    series : mapping of str to (x, y) points
        Points that are not finite are left out.
    x, y : str
        Names of the axes.
    levels : mapping of str to float, optional
        Horizontal lines to compare with, such as a teacher's result.

    Returns
    -------
    str
        <figure> with an SVG that scales; every text escaped. Empty if there is nothing to draw.
    """
    levels = {k: v for k, v in (levels or {}).items() if math.isfinite(v)}
    given = {k: np.array(list(points), np.float64).reshape(-1, 2) for k, points in series.items()}
    given = {k: points[np.isfinite(points).all(1)] for k, points in given.items()}
    given = {k: points for k, points in given.items() if len(points)}
    if not given:
        return ""
    whole = np.concatenate(list(given.values()))
    x0, x1 = float(whole[:, 0].min()), float(whole[:, 0].max())
    heights = [float(whole[:, 1].min()), float(whole[:, 1].max()), *levels.values()]
    y0, y1 = min(heights), max(heights)
    x1, margin = (x1 if x1 > x0 else x0 + 1), 0.05 * (y1 - y0 or abs(y1) or 1)
    drawn = {k: _thinned(points, x0, x1).tolist() for k, points in given.items()}
    y0, y1 = y0 - margin, y1 + margin

    def across(value: float) -> float:
        return LEFT + (value - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)

    def down(value: float) -> float:
        return TOP + (y1 - value) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y, quote=True)}">']
    for value in ticks(y0, y1):
        parts.append(f'<path class="grid" d="M{LEFT} {down(value):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{down(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    steps = (whole[:, 0] == np.floor(whole[:, 0])).all()  # between which there is nothing
    for value in ticks(x0, x1, 6):
        if not steps or value == math.floor(value):
            label = f"{value:,.0f}" if steps else f"{value:g}"
            place = f'x="{across(value):.1f}" y="{HEIGHT - BOTTOM + 18}"'
            parts.append(f'<text {place} text-anchor="middle">{label}</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    parts.append(
        f'<text x="{(LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x)}</text>'
    )
    legend = []
    for i, (name, points) in enumerate(drawn.items()):
        colour, dash = COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]
        path = "L".join(f"{across(a):.1f} {down(b):.1f}" for a, b in points)
        parts.append(f'<path class="line" stroke="{colour}" stroke-dasharray="{dash}" d="M{path}"/>')
        if len(points) == 1:
            a, b = points[0]
            parts.append(f'<circle cx="{across(a):.1f}" cy="{down(b):.1f}" r="3" fill="{colour}"/>')
        legend.append(f'<span><i style="background:{colour}"></i>{escape(name)}</span>')
    for name, value in levels.items():
        parts.append(f'<path class="level" d="M{LEFT} {down(value):.1f}H{WIDTH - RIGHT}"/>')
        legend.append(f'<span><i class="dashed"></i>{escape(name)}</span>')
    parts.append("</svg>")
    return f"<figure>{''.join(parts)}<figcaption>{''.join(legend)}</figcaption></figure>"


def _thinned(points: npt.NDArray[np.float64], x0: float, x1: float) -> npt.NDArray[np.float64]:
    """Of points [N, 2] that many, and those of them, that make the same picture."""
    width = WIDTH - LEFT - RIGHT
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


def heat_map(
    rows: Sequence[Sequence[float]], *, row_names: Sequence[str], column_names: Sequence[str]
) -> str:
    """A table of numbers from 0 to 1, darker where larger; readable as text as well."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in column_names)
    lines = []
    for name, row in zip(row_names, rows, strict=True):
        cells = "".join(
            f'<td style="background:rgba(0,114,178,{min(max(value, 0.0), 1.0) * 0.75:.2f})'
            f'{";color:#fff" if value > 0.75 else ""}">{value:.2f}</td>'
            for value in row
        )
        lines.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    return f'<div class="wide"><table class="heat"><tr><td></td>{head}</tr>{"".join(lines)}</table></div>'
