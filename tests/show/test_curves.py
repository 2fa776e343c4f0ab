"""Curves: lines where they belong, and axes that people can read."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from scratchlv.show.curves import curves_svg, log_ticks, ticks

SVG = "{http://www.w3.org/2000/svg}"


def polylines(svg: str) -> list[list[tuple[float, float]]]:
    lines = ElementTree.fromstring(svg).iter(f"{SVG}polyline")
    return [[tuple(map(float, p.split(","))) for p in line.get("points").split()] for line in lines]


def texts(svg: str) -> list[str]:
    return [t.text for t in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_curves_are_where_they_belong():
    svg = curves_svg({"a": [(0, 0), (5, 5), (10, 10)], "b": [(0, 10), (10, 0)]}, "T", "x", "y")
    a, b = polylines(svg)
    assert a[0][0] == b[0][0] < a[1][0] < a[2][0] == b[1][0]
    assert a[0][1] == b[1][1] > a[1][1] > a[2][1] == b[0][1]  # up is where y is smaller
    assert a[1][1] == pytest.approx((a[0][1] + a[2][1]) / 2, abs=0.2)
    assert {"T", "x", "y", "a", "b", "0", "10"} <= set(texts(svg))
    for x, y in a + b:
        assert 0 <= x <= 640 and 0 <= y <= 360


def test_a_log_axis_makes_powers_straight():
    svg = curves_svg({"a": [(i, 10.0**-i) for i in range(5)]}, "T", "x", "y", log_y=True)
    (line,) = polylines(svg)
    np.testing.assert_allclose(np.diff([y for _, y in line]), (line[-1][1] - line[0][1]) / 4, atol=0.2)
    assert {"1", "0.1", "0.001"} <= set(texts(svg))


def test_gaps_where_a_value_is_not_finite():
    nan, inf = float("nan"), float("inf")
    svg = curves_svg({"a": [(0, 1), (1, 2), (2, nan), (3, 1), (4, 2), (5, inf), (6, 1)]}, "T", "x", "y")
    assert [len(line) for line in polylines(svg)] == [2, 2] and svg.count("<circle") == 1
    assert "nan" not in svg and "inf" not in svg
    log = curves_svg({"a": [(0, 1), (1, 10), (2, 0), (3, -1)]}, "T", "x", "y", log_y=True)
    assert [len(line) for line in polylines(log)] == [2]


@pytest.mark.parametrize("points", [[], [(3, 2)], [(0, 0), (1, 0)], [(1, 5), (2, 5)], [(0, 1e-200), (1, 1e200)]])
@pytest.mark.parametrize("log_y", [False, True])
def test_strange_curves(points, log_y):
    svg = curves_svg({"a": points}, "T", "x", "y", log_y=log_y)
    numbers = re.findall(r' (?:x|y|cx|cy)="([^"]+)"', svg)
    assert np.isfinite([float(n) for n in numbers]).all()
    drawable = [p for p in points if p[1] > 0 or not log_y]
    assert ("no points yet" in svg) == (not drawable)


def test_text_is_escaped():
    svg = curves_svg({"<b>&": [(0, 1), (1, 2)]}, 'T"<script>', "<x>", "&y")
    assert "<script>" not in svg and {"<b>&", 'T"<script>', "<x>", "&y"} <= set(texts(svg))


def test_long_curves_are_thinned_but_end_where_they_end():
    svg = curves_svg({"a": [(i, i) for i in range(100_000)]}, "T", "x", "y")
    (line,) = polylines(svg)
    assert 300 < len(line) <= 601 and line[-1][0] == 624


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-3, 7, [-2, 0, 2, 4, 6]),
        (0, 90, [0, 20, 40, 60, 80]),
    ],
)
def test_ticks(low, high, expected):
    assert ticks(low, high) == expected


def test_log_ticks():
    assert log_ticks(-2, 2) == pytest.approx([0.01, 0.1, 1, 10, 100])
    assert log_ticks(-0.5, 0.5) == pytest.approx([0.5, 1, 2])
    assert 2 <= len(log_ticks(-300, 300)) <= 10
    assert len(log_ticks(0.31, 0.33)) >= 2  # a range that holds no round number
