"""The picture: labels lie on nothing, and a kernel at the ceiling is drawn on it."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from scratchlv.bench import plot

from .examples import document, timed


def test_labels_lie_on_nothing():
    """Forty dots in a heap."""
    frame, rng = (0.0, 0.0, 1000.0, 600.0), np.random.default_rng(0)
    dots = [(500 + 20 * x, 300 + 20 * y) for x, y in rng.random((40, 2))]
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in dots]
    for k, dot in enumerate(dots):
        assert plot._label(f"operation {k}", dot, taken, frame, "#000")
    assert len(taken) == 80
    for k, box in enumerate(taken[40:], 40):
        assert plot._inside(box, frame)
        assert not any(plot._overlap(box, other) for other in taken[:k])


def test_a_kernel_at_the_ceiling_is_drawn_on_it():
    axes = plot.Axes((0, 0, 100, 100), [0.1, 100], [1, 1000], pad=0)
    assert axes.place(0.1, 1) == pytest.approx((0, 100))
    assert axes.place(100, 1000) == pytest.approx((100, 0))
    row = timed(1.0).to_json() | {"intensity": 2.0, "gflops": 20.0}
    page = ElementTree.fromstring(plot.page({**document(), "rows": [row]}))
    svg = "{http://www.w3.org/2000/svg}"
    corners = [tuple(map(float, p.split(","))) for p in page.find(f"{svg}polyline").get("points").split()]
    dots = [(float(c.get("cx")), float(c.get("cy"))) for c in page.iter(f"{svg}circle") if float(c.get("cy")) > 80]
    (x0, y0), (x1, y1), _ = corners
    assert dots[0][1] == pytest.approx(y0 + (dots[0][0] - x0) / (x1 - x0) * (y1 - y0), abs=0.2)  # 2 flop/byte × 10 GB/s
