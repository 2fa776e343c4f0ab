"""Curves as a small SVG, written by hand: it needs no library, and sits inside an HTML page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Point = tuple[float, float]

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 64, 48  # margins around the plot
_COLOURS = ("#2f7ed8", "#e0702a", "#2a9d6f", "#c2478f", "#8a6fd1", "#b08a1e")  # seen on white and on black
_MOST_POINTS = 600  # of one curve: more cannot be told apart at this width


def curves_svg(
    series: Mapping[str, Sequence[Point]], title: str, x_label: str, y_label: str, *, log_y: bool = False
) -> str:
    """Lines with axes, ticks and a legend; text and axes take the colour of the page around them.

    A point that is not finite (on a log axis: not positive) is left out, and its line is broken there. A line of one
    point is a dot.
    """
    drawable = {name: [_drawable(p, log_y) for p in points] for name, points in series.items()}
    points = [p for line in drawable.values() for p in line if p is not None]
    xs, ys = [x for x, _ in points], [math.log10(y) if log_y else y for _, y in points]
    x_range, y_range = _range(xs), _range(ys, pad=0.04)

    def place(x: float, y: float) -> Point:
        y = math.log10(y) if log_y else y
        across = (x - x_range[0]) / (x_range[1] - x_range[0])
        up = (y - y_range[0]) / (y_range[1] - y_range[0])
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    y_ticks = log_ticks(*y_range) if log_y else ticks(*y_range)
    parts = [_text(_WIDTH / 2, 20, title, "middle", "font-size:15px;font-weight:600")]
    for y in y_ticks:
        at = place(x_range[0], y)[1]
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="currentColor" stroke-opacity="0.15"/>')
        parts.append(_text(_LEFT - 8, at + 4, f"{y:.0e}" if log_y and y < 1e-3 else f"{y:,.6g}", "end"))
    for x in ticks(*x_range):
        at = place(x, 10 ** y_range[0] if log_y else y_range[0])[0]
        parts.append(f'<path d="M{at:.1f} {_HEIGHT - _BOTTOM}v5" stroke="currentColor"/>')
        parts.append(_text(at, _HEIGHT - _BOTTOM + 19, f"{x:,.6g}", "middle"))
    parts.append(f'<path d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}" fill="none" stroke="currentColor"/>')
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, x_label, "middle"))
    parts.append(f'<g transform="translate(14 {(_TOP + _HEIGHT - _BOTTOM) / 2}) rotate(-90)">')
    parts.append(_text(0, 0, y_label, "middle") + "</g>")
    legend_x = float(_LEFT)
    for i, (name, line) in enumerate(drawable.items()):
        colour = _COLOURS[i % len(_COLOURS)]
        parts += _line([None if p is None else place(*p) for p in _thin(line)], colour)
        parts.append(f'<path d="M{legend_x:.0f} 42h18" stroke="{colour}" stroke-width="3"/>')
        parts.append(_text(legend_x + 24, 46, name, "start"))
        legend_x += 44 + 7.0 * len(name)
    if not points:
        parts.append(_text(_WIDTH / 2, _HEIGHT / 2, "no points yet", "middle"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
    style = "font:12px system-ui,sans-serif;width:100%;max-width:640px"
    return f'{head} aria-label="{escape(title)}" style="{style}">' + "\n".join(parts) + "</svg>"


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from ``low`` to ``high``, ``most`` at most."""
    rough = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks between ``10**low`` and ``10**high``: powers of ten, with 2 and 5 times where the range is short."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    stride = -(-len(decades) // 8)
    factors = (1, 2, 5) if high - low < 2 else (1,)
    every = [m * 10.0**d for d in decades[::stride] for m in factors]
    inside = [y for y in every if low <= math.log10(y) <= high]
    return inside if len(inside) >= 2 else [y for y in ticks(10**low, 10**high) if y > 0]


def _drawable(point: Point, log_y: bool) -> Point | None:
    x, y = float(point[0]), float(point[1])
    return (x, y) if math.isfinite(x) and math.isfinite(y) and (y > 0 or not log_y) else None


def _range(values: list[float], pad: float = 0.0) -> Point:
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # a flat line, in the middle
        margin = 0.1 * abs(low) or 1.0
        return low - margin, high + margin
    return low - pad * (high - low), high + pad * (high - low)


def _thin(points: list[Point | None]) -> list[Point | None]:
    """Every k-th point and the last, few enough to draw."""
    stride = -(-len(points) // _MOST_POINTS) or 1
    return points if stride == 1 else [*points[:-1:stride], points[-1]]


def _line(points: list[Point | None], colour: str) -> list[str]:
    runs: list[list[Point]] = [[]]
    for p in points:
        if p is None:
            runs.append([])
        else:
            runs[-1].append(p)
    parts = []
    for run in filter(None, runs):
        if len(run) == 1:
            parts.append(f'<circle cx="{run[0][0]:.1f}" cy="{run[0][1]:.1f}" r="3" fill="{colour}"/>')
        else:
            corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
            style = f'fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"'
            parts.append(f'<polyline points="{corners}" {style}/>')
    return parts


def _text(x: float, y: float, text: str, anchor: str, style: str = "") -> str:
    styled = f' style="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor"{styled}>{escape(text)}</text>'
