"""A sheet of scenes, or of other pictures, with what is said of them: what a set looks like."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from scratchlv.data.scenes import Scene, draw
from scratchlv.show import FAINT, INK, PAPER, fit, lay_out, wrap
from scratchlv.show.lettering import write

STYLES = {"text": INK, "answer": (176, 42, 84), "faint": FAINT}  #: the colours a text can have

_SIDE = 208  # of each picture, in pixels
_FONT = 15
_LINE = 20  # from one line of text to the next
_BLOCK = 6  # more of it between two texts
_GAP = 18


def scenes_sheet(scenes: Sequence[Scene], captions: Sequence[object], *, columns: int = 4) -> Image.Image:
    """The pictures of ``scenes`` in rows, each above its caption; as :func:`sheet`."""
    return sheet([Image.fromarray(draw(scene)) for scene in scenes], captions, columns=columns)


def sheet(
    pictures: Sequence[Image.Image | None], captions: Sequence[object], *, columns: int = 4, side: int = _SIDE
) -> Image.Image:
    """Pictures in rows, each above its caption; None is a caption without a picture.

    A caption is anything that ``str`` turns into words, or a list of texts that stand one below the other, each with its
    style: ``[("what colour is the star?", "text"), ("red", "answer")]`` (:data:`STYLES`).

    Raises:
        ValueError: there are no pictures, not as many captions, or no such style.
    """
    if not pictures or len(pictures) != len(captions):
        raise ValueError(f"a sheet needs pictures and a caption for each, not {len(pictures)} and {len(captions)}")
    texts = [_set(caption, side) for caption in captions]
    fitted = [None if picture is None else fit(picture, side) for picture in pictures]
    top = max((picture.height for picture in fitted if picture is not None), default=-8) + 8
    height = top + max((lines[-1][0] + _LINE for lines in texts if lines), default=0)
    tiles = []
    for picture, lines in zip(fitted, texts, strict=True):
        tile = Image.new("RGB", (side, height), PAPER)
        if picture is not None:
            tile.paste(picture, ((side - picture.width) // 2, top - 8 - picture.height))
        for y, line, colour in lines:
            write(tile, (0, top + 2 + y), line, colour, _FONT, "lt")
        tiles.append(tile)
    return lay_out(tiles, min(columns, len(tiles)), _GAP)


def _set(caption: object, width: int) -> list[tuple[int, str, tuple[int, int, int]]]:
    """The lines of a caption: how far down from its top, in pixels, the words, and their colour."""
    lines = []
    y = 0
    for text, style in caption if isinstance(caption, list) else [(str(caption), "text")]:
        if style not in STYLES:
            raise ValueError(f"no style {style!r} on a sheet; there are {', '.join(STYLES)}")
        for line in wrap(text, width, _FONT):
            lines.append((y, line, STYLES[style]))
            y += _LINE
        y += _BLOCK
    return lines
