"""Charts as SVG, written out: no script, no network, sharp on paper and on a phone."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 12, 40
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito, for every eye
DASHES = ("", "6 3", "2 3", "8 3 2 3")  # and for print without colour

Points = Sequence[tuple[float, float]]


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
    drawn = {k: [p for p in points if all(map(math.isfinite, p))] for k, points in series.items()}
    drawn = {k: points for k, points in drawn.items() if points}
    if not drawn:
        return ""
    xs = [p[0] for points in drawn.values() for p in points]
    ys = [p[1] for points in drawn.values() for p in points] + list(levels.values())
    x0, x1, y0, y1 = min(xs), max(xs), min(ys), max(ys)
    x1, margin = (x1 if x1 > x0 else x0 + 1), 0.05 * (y1 - y0 or abs(y1) or 1)
    y0, y1 = y0 - margin, y1 + margin

    def across(value: float) -> float:
        return LEFT + (value - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)

    def down(value: float) -> float:
        return TOP + (y1 - value) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y, quote=True)}">']
    for value in ticks(y0, y1):
        parts.append(f'<path class="grid" d="M{LEFT} {down(value):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{down(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in ticks(x0, x1, 6):
        parts.append(
            f'<text x="{across(value):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{value:g}</text>'
        )
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
