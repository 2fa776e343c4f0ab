"""Pictures for people: attention word by word, sheets of scenes, curves, a report in one file."""

from __future__ import annotations

import functools
import unicodedata
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageFont

if TYPE_CHECKING:
    from scratchlv.show.views import alignment, attention, hops

PAPER, INK, FAINT = (255, 255, 255), (32, 33, 36), (110, 114, 120)


@functools.cache  # Pillow unpacks it each time
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font: there on every machine."""
    return ImageFont.load_default(size)


def text_width(text: str, size: int) -> float:
    """In pixels, as :mod:`scratchlv.show.lettering` sets it: in bare letters, measured large."""
    bare = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return font(4 * size).getlength(bare) / 4


def wrap(text: str, width: float, size: int) -> list[str]:
    """Break a text into lines of at most ``width`` pixels; a longer word is cut, and ends in an ellipsis."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(clip(word, width, size))
    return lines


def clip(text: str, width: float, size: int) -> str:
    """The text, or as much of its beginning as fits in ``width`` pixels with an ellipsis."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "...", size) > width:
        text = text[:-1]
    return text + "..."


def fit(image: Image.Image, side: int) -> Image.Image:
    """The picture in colour, scaled so that its longer side is ``side`` pixels."""
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def lay_out(tiles: list[Image.Image], columns: int, gap: int) -> Image.Image:
    """Put tiles of one size on white paper, row by row."""
    width, height = tiles[0].size
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), PAPER)
    for i, tile in enumerate(tiles):
        row, column = divmod(i, columns)
        sheet.paste(tile, (gap + column * (width + gap), gap + row * (height + gap)))
    return sheet


def __getattr__(name: str) -> Any:
    """The views of notebooks, which are made of what stands above."""
    if name in ("attention", "alignment", "hops"):
        from scratchlv.show import views

        return getattr(views, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "FAINT",
    "INK",
    "PAPER",
    "alignment",
    "attention",
    "clip",
    "fit",
    "font",
    "hops",
    "lay_out",
    "text_width",
    "wrap",
]
