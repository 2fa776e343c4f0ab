"""The bench as one SVG, written by hand: the roofline with a dot for each kernel, and below it time against size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from scratchlv.bench.workloads import ROOMS
from scratchlv.show.curves import log_ticks

Point = tuple[float, float]
Box = tuple[float, float, float, float]

_WIDTH, _ROOF_HEIGHT = 1000, 620
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 30, 84, 60  # margins around the roofline
_PANEL_WIDTH, _PANEL_HEIGHT, _COLUMNS = 250, 190, 4
_COLOUR = {"forward": "#2f7ed8", "backward": "#e0702a", "both": "#2a9d6f", "step": "#8a6fd1"}
_PARTS = {"forward": "forward", "backward": "backward", "both": "both together", "step": "a step"}
_LETTER, _LINE = 6.3, 13.0  # of a label, in pixels
_DOT = 4.5


class Axes:
    """Two logarithmic axes in a rectangle of the page."""

    def __init__(self, box: Box, xs: Sequence[float], ys: Sequence[float], pad: float) -> None:
        self.box = box
        self.x_range, self.y_range = _log_range(xs, pad), _log_range(ys, pad)

    def place(self, x: float, y: float) -> Point:
        left, top, right, bottom = self.box
        across = (math.log10(x) - self.x_range[0]) / (self.x_range[1] - self.x_range[0])
        up = (math.log10(y) - self.y_range[0]) / (self.y_range[1] - self.y_range[0])
        return left + across * (right - left), bottom - up * (bottom - top)

    def draw(self, x_ticks: Sequence[float], small: bool = False) -> list[str]:
        """Axes, ticks with their numbers, faint horizontal lines."""
        left, top, right, bottom = self.box
        size = "font-size:10px" if small else ""
        parts = []
        for y in log_ticks(*self.y_range):
            at = self.place(10 ** self.x_range[0], y)[1]
            parts.append(f'<path d="M{left} {at:.1f}H{right}" stroke="#000" stroke-opacity="0.1"/>')
            parts.append(_text(left - 6, at + 4, f"{y:,.6g}", "end", size))
        for x in x_ticks:
            at = self.place(x, 10 ** self.y_range[0])[0]
            parts.append(f'<path d="M{at:.1f} {bottom}v4" stroke="#333"/>')
            parts.append(_text(at, bottom + 16, f"{x:,.6g}", "middle", size))
        parts.append(f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="#333"/>')
        return parts


def page(document: dict[str, Any]) -> str:
    """The SVG of what ``--json`` writes."""
    curves = {name: parts for name, parts in document["curves"].items() if parts}
    panel_rows = -(-len(curves) // _COLUMNS)
    height = _ROOF_HEIGHT + panel_rows * _PANEL_HEIGHT + (40 if curves else 0)
    parts = _roofline(document)
    if curves:
        parts.append(_text(20, _ROOF_HEIGHT + 24, "Time against size, ms", "start", "font-size:15px;font-weight:600"))
    for k, (name, lines) in enumerate(curves.items()):
        row, column = divmod(k, _COLUMNS)
        parts += _panel(name, lines, column * _PANEL_WIDTH, _ROOF_HEIGHT + 40 + row * _PANEL_HEIGHT)
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"'
    paper = f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>'
    style = "font:12px system-ui,sans-serif"
    return f'{head} aria-label="Roofline" style="{style}">{paper}' + "\n".join(parts) + "</svg>\n"


# --- the roofline ----------------------------------------------------------------------------------------------------


def _roofline(document: dict[str, Any]) -> list[str]:
    rows = [row for row in document["rows"] if row["warm"] and row["operations"] and row["version"] != "reference"]
    peak, memory = document["ceilings"]["peak_gflops"], document["ceilings"]["memory_gbs"]
    ridge = peak / memory
    xs = [ridge / 100, ridge * 20, *(row["intensity"] for row in rows)]
    ys = [peak * 1.3, memory * ridge / 300, *(row["gflops"] for row in rows)]
    axes = Axes((_LEFT, _TOP, _WIDTH - _RIGHT, _ROOF_HEIGHT - _BOTTOM), xs, ys, pad=0.03)
    machine = document["machine"]
    where = f"{machine['processor']}, {machine['threads']} threads, {machine['date'][:10]}; both ceilings measured"
    parts = [
        _text(20, 26, "Roofline", "start", "font-size:17px;font-weight:600"),
        _text(20, 46, where, "start"),
        *_legend({row["part"] for row in rows}),
        *axes.draw(log_ticks(*axes.x_range)),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _ROOF_HEIGHT - 18, "float32 operations for each byte", "middle"),
        f'<g transform="translate(18 {(_TOP + _ROOF_HEIGHT - _BOTTOM) / 2}) rotate(-90)">{_text(0, 0, "GFLOP/s", "middle")}</g>',
    ]
    roof, taken = _roof(axes, peak, memory, ridge)
    parts += roof
    dots = [axes.place(row["intensity"], row["gflops"]) for row in rows]
    taken += [(x - _DOT, y - _DOT, x + _DOT, y + _DOT) for x, y in dots]
    for row, dot in zip(rows, dots, strict=True):
        parts.append(_dot(dot, row["part"]))
    for row, dot in sorted(zip(rows, dots, strict=True), key=lambda pair: pair[1]):
        parts += _label(_short(row), dot, taken, axes.box, _COLOUR[row["part"]])
    return parts


def _roof(axes: Axes, peak: float, memory: float, ridge: float) -> tuple[list[str], list[Box]]:
    """The two ceilings with what they are called, and where that stands."""
    low, high = 10 ** axes.x_range[0], 10 ** axes.x_range[1]
    start = max(low, 10 ** axes.y_range[0] / memory)
    corners = [axes.place(start, start * memory), axes.place(ridge, peak), axes.place(high, peak)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    parts = [f'<polyline points="{line}" fill="none" stroke="#333" stroke-width="2"/>']
    (x0, y0), (x1, y1), (x2, _) = corners
    flat = f"peak {peak:,.0f} GFLOP/s"
    parts.append(_text(x2 - 6, y1 - 8, flat, "end"))
    middle, angle = ((x0 + x1) / 2, (y0 + y1) / 2), math.degrees(math.atan2(y1 - y0, x1 - x0))
    turned = f'<g transform="translate({middle[0]:.1f} {middle[1]:.1f}) rotate({angle:.1f})">'
    parts.append(turned + _text(0, -8, f"memory {memory:,.1f} GB/s", "middle") + "</g>")
    return parts, [(x2 - 6 - _LETTER * len(flat), y1 - 20, x2, y1), *_along(corners[0], corners[1])]


def _along(a: Point, b: Point, steps: int = 40) -> list[Box]:
    """Small boxes along a line, so that no label lies on it."""
    points = [(a[0] + (b[0] - a[0]) * k / steps, a[1] + (b[1] - a[1]) * k / steps) for k in range(steps + 1)]
    return [(x - 3, y - 3, x + 3, y + 3) for x, y in points]


def _short(row: dict[str, Any]) -> str:
    """The operation; other versions than the fast one by their own name, too."""
    return row["operation"] if row["version"] == "numba_cpu" else f"{row['operation']}: {row['version'].split(' (')[0]}"


def _label(text: str, dot: Point, taken: list[Box], frame: Box, colour: str) -> list[str]:
    """The text near its dot, at the first place where it covers nothing; with a line to the dot where that is not beside it."""
    width = _LETTER * len(text)
    for distance in range(9, 400, 7):
        for k in range(16):
            angle = 2 * math.pi * k / 16
            x, y = dot[0] + distance * math.cos(angle), dot[1] + distance * math.sin(angle)
            left = x if math.cos(angle) > 0.3 else x - width if math.cos(angle) < -0.3 else x - width / 2
            box = (left, y - _LINE / 2, left + width, y + _LINE / 2)
            if not _inside(box, frame) or any(_overlap(box, other) for other in taken):
                continue
            taken.append(box)
            parts = [_text(left, y + 4, text, "start", f"font-size:11px;fill:{colour}")]
            if distance > 16:
                end = (min(max(dot[0], box[0]), box[2]), min(max(dot[1], box[1] + 2), box[3] - 2))
                line = f"M{dot[0]:.1f} {dot[1]:.1f}L{end[0]:.1f} {end[1]:.1f}"
                parts.append(f'<path d="{line}" stroke="{colour}" stroke-opacity="0.45"/>')
            return parts
    return []  # there is no room at all


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _inside(box: Box, frame: Box) -> bool:
    return frame[0] <= box[0] and frame[1] <= box[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _dot(at: Point, part: str) -> str:
    return f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{_DOT}" fill="{_COLOUR[part]}" stroke="#fff"/>'


def _legend(parts: set[str]) -> list[str]:
    drawn, x = [], float(_LEFT)
    for part, name in _PARTS.items():
        if part in parts:
            drawn += [_dot((x, 66), part), _text(x + 9, 70, name, "start")]
            x += 34 + _LETTER * len(name)
    return drawn


# --- time against size -----------------------------------------------------------------------------------------------


def _panel(name: str, lines: dict[str, list[Point]], x: float, y: float) -> list[str]:
    every = [point for points in lines.values() for point in points]
    box = (x + 48, y + 30, x + _PANEL_WIDTH - 14, y + _PANEL_HEIGHT - 44)
    axes = Axes(box, [p[0] for p in every], [p[1] for p in every], pad=0.06)
    parts = [_text(x + 48, y + 18, name, "start", "font-weight:600")]
    parts += axes.draw([p[0] for p in next(iter(lines.values()))], small=True)
    parts.append(_text((box[0] + box[2]) / 2, box[3] + 30, ROOMS[name].size_is, "middle", "font-size:10px"))
    for part, points in lines.items():
        placed = [axes.place(*point) for point in points]
        corners = " ".join(f"{px:.1f},{py:.1f}" for px, py in placed)
        parts.append(f'<polyline points="{corners}" fill="none" stroke="{_COLOUR[part]}" stroke-width="2"/>')
        parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.5" fill="{_COLOUR[part]}"/>' for px, py in placed]
    return parts


def _log_range(values: Sequence[float], pad: float) -> Point:
    low, high = math.log10(min(values)), math.log10(max(values))
    margin = pad * (high - low) if high > low else 0.1
    return low - margin, high + margin


def _text(x: float, y: float, text: str, anchor: str, style: str = "") -> str:
    styled = f' style="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#222"{styled}>{escape(text)}</text>'
