"""Charts: layout, and the SVG that a template draws of it."""

import re

from minidistil.report.chart import ticks
from minidistil.report.page import environment

EVIL = '</svg><script>alert("x")</script>'


def line_chart(*series, **names):
    return str(environment().get_template("charts.html").module.line_chart(*series, **names))


def test_charts_of_short_runs_have_whole_steps():
    chart = line_chart({"a": [(10, 1.0)]}, x="step", y="a")
    assert re.findall(r'middle">([^<]*)<', chart) == ["10", "11", "step"]
    chart = line_chart({"a": [(1, 1.0), (4, 2.0)]}, x="step", y="a")
    assert re.findall(r'middle">([^<]*)<', chart) == ["1", "2", "3", "4", "step"]
    chart = line_chart({"a": [(0.25, 1.0), (0.5, 2.0)]}, x="epoch", y="a")
    assert "0.3" in re.findall(r'middle">([^<]*)<', chart)


def test_charts():
    assert line_chart({"a": []}, x="x", y="y") == ""
    assert line_chart({"a": [(1, float("nan"))]}, x="x", y="y") == ""
    one = line_chart({EVIL: [(3, 2.0)]}, x="x", y=EVIL)
    assert "<script" not in one
    assert one.count("&lt;script") == 2, "in the legend and in the label for who cannot see"
    assert "<circle" in one
    flat = line_chart({"a": [(0, 1.0), (1, 1.0)]}, x="x", y="y", levels={"t": 1.0})
    numbers = [float(n) for n in re.findall(r"[\d.]+(?= |\")", flat.split('class="line"')[1].split("/>")[0])]
    assert all(0 <= n <= 640 for n in numbers)
    many = line_chart({str(i): [(0, i), (1, i)] for i in range(8)}, x="x", y="y")
    assert re.findall(r'<g class="hue-(\d) dash-(\d)"', many)[5:] == [("5", "0"), ("0", "1"), ("1", "1")]
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert ticks(0.11, 0.52) == [0.2, 0.3, 0.4, 0.5]
    assert ticks(1, 1) == [1]
    assert ticks(0, 1e-12) == [0, 2e-13, 4e-13, 6e-13, 8e-13, 1e-12]
    assert ticks(0, 5e-324) == [0]
