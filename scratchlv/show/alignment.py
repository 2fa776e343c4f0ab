"""Where a translator looked: which word of the source each word of the target came from."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from scratchlv.show import INK, PAPER, clip, font

_CELLS = (18, 36)  # the side of a cell: at least, at most, in pixels
_ROOM = 720  # that the cells take together, where they can
_FONT = 16  # at most
_LONGEST = 150  # of a word, in pixels
_GAP = 14
_SLANT = 55  # degrees
_LINE = (214, 217, 222)


def alignment_picture(source: Sequence[str], target: Sequence[str], alphas: np.ndarray) -> Image.Image:
    """The matrix of attention, source along the top and target down the left: the darker a cell, the larger its weight.

    Args:
        source: S words.
        target: T words; the end symbol may be the last.
        alphas: attention weights (T, S), 0 to 1: white to black.

    Raises:
        ValueError: the shapes do not go together, or a weight is negative or not finite.
    """
    alphas = np.asarray(alphas, np.float64)
    if not source or not target or alphas.shape != (len(target), len(source)):
        given = f"{len(target)} and {len(source)} words, alphas {alphas.shape}"
        raise ValueError(f"an alignment needs target words, source words and alphas (T, S), not {given}")
    shades = shade(alphas)
    T, S = alphas.shape
    cell = min(_CELLS[1], max(_CELLS[0], _ROOM // max(T, S)))
    size = min(_FONT, round(0.62 * cell))
    above = [_slanted(lettering(clip(word, _LONGEST, size), size)) for word in source]
    beside = [lettering(clip(word, _LONGEST, size), size) for word in target]
    left = _GAP + max(word.width for word in beside) + 8
    top = _GAP + max(word.height for word in above)
    beyond = max((s + 0.5) * cell + word.width for s, word in enumerate(above)) - S * cell
    sheet = Image.new("RGB", (left + S * cell + max(_GAP, math.ceil(beyond)), top + T * cell + _GAP), PAPER)
    sheet.paste(Image.fromarray(shades).resize((S * cell, T * cell), Image.Resampling.NEAREST), (left, top))
    _grid(sheet, (left, top), cell, (T, S))
    for s, word in enumerate(above):  # a word rises from the middle of its column
        sheet.paste(INK, (left + round((s + 0.5) * cell - 0.5 * size), top - word.height), word)
    for t, word in enumerate(beside):
        middle = top + round((t + 0.5) * cell)
        sheet.paste(INK, (left - 8 - word.width, middle - word.height // 2), word)
    return sheet


def shade(alphas: np.ndarray) -> np.ndarray:
    """Attention weights (…) as colours (…, 3) uint8, from white at 0 to ink at 1.

    Raises:
        ValueError: a weight is negative or not finite.
    """
    if not (np.isfinite(alphas).all() and (alphas >= 0).all()):
        raise ValueError("alphas must be finite and 0 or more")
    paper, ink = np.array(PAPER, np.float64), np.array(INK, np.float64)
    return (paper + np.minimum(alphas, 1)[..., None] * (ink - paper)).round().astype(np.uint8)


def _grid(sheet: Image.Image, corner: tuple[int, int], cell: int, shape: tuple[int, int]) -> None:
    pen, (left, top), (T, S) = ImageDraw.Draw(sheet), corner, shape
    for s in range(S + 1):
        pen.line((left + s * cell, top, left + s * cell, top + T * cell), _LINE)
    for t in range(T + 1):
        pen.line((left, top + t * cell, left + S * cell, top + t * cell), _LINE)


def _slanted(word: Image.Image) -> Image.Image:
    return word.rotate(_SLANT, Image.Resampling.BICUBIC, expand=True)


# --- letters with accents ----------------------------------------------------------------------------------------

_FINE = 4  # drawn so many times larger, then reduced: smooth strokes
_SPELT = str.maketrans(
    {"œ": "oe", "Œ": "Oe", "æ": "ae", "Æ": "Ae", "ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "’": "'", "‘": "'"}
    | {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "–": "-", "—": "-", "…": "...", "\N{NO-BREAK SPACE}": " "}
)
_MARKS: dict[
    str, list[list[tuple[float, float]]]
] = {  # strokes, in half widths across and heights up; a point is a dot
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


def lettering(text: str, size: int) -> Image.Image:
    """A line of text as a mask to paste ink through, half as high again as ``size``.

    Pillow's font has the letters of ASCII. European letters are put together from those and their accents, which are
    drawn here; a letter that cannot be is an empty box.
    """
    letters, baseline = font(size * _FINE), round(1.12 * size * _FINE)
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
