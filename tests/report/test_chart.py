"""Charts: layout, and the SVG that a template draws of it."""

import re

import numpy as np
import pytest

from minidistil.report.chart import ROWS, Chart, line_layout, ticks
from minidistil.report.page import environment

EVIL = '</svg><script>alert("x")</script>'


def line_chart(*series, **names):
    return str(environment().get_template("charts.html").module.line_chart(*series, **names))


def x_ticks(html):
    return re.findall(r'middle">([^<]*)<', html)


def test_charts_of_short_runs_have_whole_steps():
    chart = line_chart({"a": [(10, 1.0)]}, x="step", y="a")
    assert x_ticks(chart) == ["10", "11"]
    assert 'text-anchor="end">step</text>' in chart
    chart = line_chart({"a": [(1, 1.0), (4, 2.0)]}, x="step", y="a")
    assert x_ticks(chart) == ["1", "2", "3", "4"]
    chart = line_chart({"a": [(0.25, 1.0), (0.5, 2.0)]}, x="epoch", y="a")
    assert "0.3" in x_ticks(chart)


def test_charts():
    assert line_chart({"a": []}, x="x", y="y") == ""
    assert line_chart({"a": [(1, float("nan"))]}, x="x", y="y") == ""
    one = line_chart({EVIL: [(3, 2.0)]}, x="x", y=EVIL)
    assert "<script" not in one
    assert one.count("&lt;script") == 7, "of the axis once, in the label for who cannot see three times, "
    "in the legend, and in the table's caption and head"
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


def test_a_small_difference_is_drawn_small():
    """0.2 points of accuracy take a fiftieth of the frame, and not all of it."""
    points = [(1, 0.83), (2, 0.832)]
    wide = line_layout({"a": points})
    assert abs(wide.lines["a"][0][1] - wide.lines["a"][1][1]) > 100
    chart = line_layout({"a": points}, least=0.1, bounds=(0.0, 1.0), percent=True)
    assert abs(chart.lines["a"][0][1] - chart.lines["a"][1][1]) < 8
    labels = [label for _, label in chart.rows]
    assert labels == ["75%", "80%", "85%", "90%"]
    assert (chart.rows[0][0], chart.rows[-1][0]) == (Chart.bottom, Chart.top), "it begins and ends at a line"
    top = line_layout({"a": [(1, 0.99), (2, 1.0)]}, least=0.1, bounds=(0.0, 1.0))
    assert top.rows[-1][1] == "1", "a share is not above 1"
    assert line_layout({"a": [(1, 0.0)]}, least=0.1, bounds=(0.0, 1.0)).rows[0][1] == "0"


@pytest.mark.parametrize("low", [0.1, 0.1295, 3, 41.7, 0.00002])
@pytest.mark.parametrize("length", [0.001, 0.0511, 0.1205, 7, 1234.5])
def test_an_axis_begins_and_ends_at_a_line(low, length):
    chart = line_layout({"a": [(1, low), (2, low + length)]}, least=0.1)
    assert (chart.rows[0][0], chart.rows[-1][0]) == (Chart.bottom, Chart.top)
    assert 2 <= len(chart.rows) <= 8


@pytest.mark.parametrize(("values", "first"), [((2.0, 3.0), "0"), ((0.0, 0.0), "0"), ((-1.0, 3.0), "−1")])
def test_an_axis_from_zero(values, first):
    chart = line_layout({"a": list(enumerate(values))}, zero=True)
    assert chart.rows[0][1] == first
    assert all(Chart.top <= y <= Chart.bottom for _, y in chart.lines["a"])


@pytest.mark.parametrize("x", [1.0, 1e17, 1e99, -1e99, 1e300])
@pytest.mark.parametrize("y", [0.5, -1e17, 1e99, 1e300, float("inf"), 5e-324])
def test_no_number_is_too_large_or_too_near(x, y):
    chart = line_layout(
        {"a": [(x, y), (x, float(np.nextafter(y, 0)))], "b": [(1, 1)]}, {"t": y}, percent=True
    )
    coordinates = [n for line in chart.lines.values() for point in line for n in point]
    assert all(0 <= n <= 640 for n in coordinates)
    line_layout({"a": [(x, y), (x, float(np.nextafter(y, 0)))]}, {"t": y}, zero=True)


def test_labels_of_small_numbers_have_one_form():
    chart = line_layout({"lr": [(1, 0.0), (2, 1e-4)]}, zero=True)
    assert [label for _, label in chart.rows] == ["0", "2e−5", "4e−5", "6e−5", "8e−5", "1e−4"]


def test_numbers_for_who_cannot_see_the_picture():
    html = line_chart(
        {"loss": [(1, 0.5), (2, 0.25)], "held out": [(2, 0.75)]}, x="step", y="nats", title="Loss"
    )
    label = re.search(r'aria-label="([^"]*)"', html)[1]
    assert label == "Loss: nats over step. loss: 0.5 at 1, 0.25 at 2. held out: 0.75 at 2."
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)</td></tr>', html)
    assert rows == [("1", "0.5", ""), ("2", "0.25", "0.75")]
    assert re.findall(r'<th scope="col">(.*?)</th>', html) == ["step", "loss", "held out"]
    assert re.findall("<title>(.*?)</title>", html) == ["1: 0.5", "2: 0.25", "2: 0.75"]
    assert "<figcaption>Loss</figcaption>" in html
    long = line_layout({"a": [(x, x) for x in range(1000)]})
    assert len(long.table) == ROWS
    assert (long.table[0][0], long.table[-1][0], long.points) == ("0", "999", 1000)
    assert not long.dots.get("a")


def test_the_last_point_may_be_hollow():
    points = [(10, 1.0), (20, 0.5), (23, 0.25)]
    html = line_chart({"a": points, "b": points}, x="step", y="y", title="T", open=["a"])
    circles = re.findall(r"<circle( class=\"open\")?", html)
    assert [bool(hollow) for hollow in circles] == [False, False, True, False, False, False]
    many = [(x, 1.0) for x in range(100)]
    assert line_chart({"a": many}, x="step", y="y", open=["a"]).count('class="open"') == 1
    assert "<circle" not in line_chart({"a": many}, x="step", y="y")
