"""Lines of text in European letters: Pillow's own font has those of ASCII, and the accents are drawn here."""

from __future__ import annotations

import math
import unicodedata

from PIL import Image, ImageDraw

from scratchlv.show import font

_BASELINE = 1.12  # from the top of a line, in sizes
_FINE = 4  # drawn so many times larger, then reduced: smooth strokes
_SPELT = str.maketrans(
    {"œ": "oe", "Œ": "Oe", "æ": "ae", "Æ": "Ae", "ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "’": "'", "‘": "'"}
    | {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "–": "-", "—": "-", "…": "...", "\N{NO-BREAK SPACE}": " "}
)
# strokes, in half widths across and heights up; a point is a dot
_MARKS: dict[str, list[list[tuple[float, float]]]] = {
    "\N{COMBINING GRAVE ACCENT}": [[(-0.9, 1), (0.5, 0)]],
    "\N{COMBINING ACUTE ACCENT}": [[(-0.5, 0), (0.9, 1)]],
    "\N{COMBINING CIRCUMFLEX ACCENT}": [[(-1, 0), (0, 1), (1, 0)]],
    "\N{COMBINING CARON}": [[(-1, 1), (0, 0), (1, 1)]],
    "\N{COMBINING TILDE}": [[(-1, 0.2), (-0.4, 0.8), (0.4, 0.2), (1, 0.8)]],
    "\N{COMBINING MACRON}": [[(-1, 0.5), (1, 0.5)]],
    "\N{COMBINING DIAERESIS}": [[(-0.9, 0.4)], [(0.9, 0.4)]],
    "\N{COMBINING DOT ABOVE}": [[(0, 0.4)]],
    "\N{COMBINING RING ABOVE}": [[(0.6, 0.5), (0, 1), (-0.6, 0.5), (0, 0), (0.6, 0.5)]],
    "\N{COMBINING CEDILLA}": [[(0, 0), (0.5, -0.7), (-0.5, -1.1)]],
}


def write(
    image: Image.Image,
    xy: tuple[float, float],
    text: str,
    colour: tuple[int, int, int],
    size: int,
    anchor: str = "ls",
) -> None:
    """Write a line of text at ``xy``, which is its left, middle or right ("l", "m", "r") and its top, middle or baseline
    ("t", "m", "s"): ``anchor`` is one of each, as in Pillow."""
    mask = lettering(text, size)
    left = xy[0] - {"l": 0, "m": mask.width / 2, "r": mask.width}[anchor[0]]
    baseline = xy[1] + {"t": 0.72, "m": 0.34, "s": 0}[anchor[1]] * size
    image.paste(colour, (round(left), round(baseline - _BASELINE * size)), mask)


def lettering(text: str, size: int) -> Image.Image:
    """A line of text as a mask to paste ink through, half as high again as ``size``.

    Pillow's font has the letters of ASCII. European letters are put together from those and their accents, which are
    drawn here; a letter that cannot be is an empty box.
    """
    letters, baseline = font(size * _FINE), round(_BASELINE * size * _FINE)
    taken_apart = unicodedata.normalize("NFD", text.translate(_SPELT))
    plain = "".join(c for c in taken_apart if not unicodedata.combining(c))
    mask = Image.new("L", (max(_FINE, math.ceil(letters.getlength(plain))), size * _FINE * 3 // 2))
    pen = ImageDraw.Draw(mask)
    pen.text((0, baseline), plain, 255, letters, anchor="ls")
    last = -1  # the letter that a mark belongs to
    for c in taken_apart:
        if not unicodedata.combining(c):
            last += 1
        elif c in _MARKS and last >= 0:
            edges = letters.getlength(plain[:last]), letters.getlength(plain[: last + 1])
            _mark(pen, c, plain[last], edges, baseline, size * _FINE)
    return mask.reduce(_FINE)


def _mark(pen: ImageDraw.ImageDraw, mark: str, letter: str, edges: tuple[float, float], baseline: int, em: int) -> None:
    """Draw an accent over a letter that stands between two edges; it takes the place of the dot of an i."""
    below = mark == "\N{COMBINING CEDILLA}"
    height = font(em).getbbox("x" if letter in "ij" else letter, anchor="ls")[1]  # above the baseline is negative
    if letter in "ij" and not below:
        pen.rectangle((edges[0], 0, edges[1], baseline + height - 1), 0)
    foot = baseline if below else baseline + height - 0.08 * em
    middle, width = sum(edges) / 2, 0.09 * em
    for stroke in _MARKS[mark]:
        points = [(middle + 0.17 * em * x, foot - 0.16 * em * y) for x, y in stroke]
        if len(points) > 1:
            pen.line(points, 255, round(width), joint="curve")
        else:
            ((x, y),) = points
            pen.ellipse((x - 0.65 * width, y - 0.65 * width, x + 0.65 * width, y + 0.65 * width), 255)
