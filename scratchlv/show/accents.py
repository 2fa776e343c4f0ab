"""Letters with accents: Pillow's own font has none, so an accent is set above (or under) its bare letter."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import Image, ImageDraw

from scratchlv.show import font, text_width

_MARKS = {"\u0300": "`", "\u0301": "´", "\u0302": "^", "\u0303": "~", "\u0308": "··", "\u0327": ","}


def write(
    brush: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, colour: tuple[int, int, int], size: int
) -> None:
    """Write a line of text whose letters may bear accents; ``xy`` is its left upper corner, as for ``brush.text``.

    A mark that is not grave, acute, circumflex, tilde, diaeresis or cedilla is left away.
    """
    bare = ""
    marks = []
    for character in unicodedata.normalize("NFD", text):
        if unicodedata.combining(character):
            marks.append((len(bare) - 1, _MARKS.get(character, "")))
        else:
            bare += character
    brush.text(xy, bare, colour, font(size))
    for at, mark in marks:
        _set_mark(brush, xy, bare, max(at, 0), mark, colour, size)


def _set_mark(brush, xy: tuple[float, float], bare: str, at: int, mark: str, colour, size: int) -> None:
    """Centre a mark on the letter ``bare[at]``, a pixel above it; the cedilla hangs below it as a comma does."""
    left, top, right, _ = _ink(bare[at], size)
    mark_left, _, mark_right, mark_bottom = _ink(mark, size)
    x = text_width(bare[:at], size) + (left + right) / 2 - (mark_left + mark_right) / 2
    y = 0 if mark == "," else top - 1 - mark_bottom
    brush.text((xy[0] + x, xy[1] + y), mark, colour, font(size))


@lru_cache
def _ink(text: str, size: int) -> tuple[int, int, int, int]:
    """The box of what is black, from where the text begins; the font's own box reaches down to the line always."""
    canvas = Image.new("L", (4 * size, 3 * size))
    ImageDraw.Draw(canvas).text((size, size), text, 255, font(size))
    left, top, right, bottom = canvas.getbbox() or (size,) * 4
    return left - size, top - size, right - size, bottom - size
