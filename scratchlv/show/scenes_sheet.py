"""A sheet of scenes with what is said of them: what the embedded world looks like."""

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
    """The pictures of ``scenes`` in rows, each above its caption.

    A caption is anything that ``str`` turns into words, or a list of texts that stand one below the other, each with its
    style: ``[("what colour is the star?", "text"), ("red", "answer")]`` (:data:`STYLES`).

    Raises:
        ValueError: there are no scenes, not as many captions, or no such style.
    """
    if not scenes or len(scenes) != len(captions):
        raise ValueError(f"a sheet needs scenes and a caption for each, not {len(scenes)} and {len(captions)}")
    texts = [_set(caption) for caption in captions]
    height = _SIDE + 8 + max((lines[-1][0] + _LINE for lines in texts if lines), default=0)
    tiles = []
    for scene, lines in zip(scenes, texts, strict=True):
        tile = Image.new("RGB", (_SIDE, height), PAPER)
        tile.paste(fit(Image.fromarray(draw(scene)), _SIDE), (0, 0))
        for y, line, colour in lines:
            write(tile, (0, _SIDE + 10 + y), line, colour, _FONT, "lt")
        tiles.append(tile)
    return lay_out(tiles, min(columns, len(tiles)), _GAP)


def _set(caption: object) -> list[tuple[int, str, tuple[int, int, int]]]:
    """The lines of a caption: how far down from its top, in pixels, the words, and their colour."""
    lines = []
    y = 0
    for text, style in caption if isinstance(caption, list) else [(str(caption), "text")]:
        if style not in STYLES:
            raise ValueError(f"no style {style!r} on a sheet; there are {', '.join(STYLES)}")
        for line in wrap(text, _SIDE, _FONT):
            lines.append((y, line, STYLES[style]))
            y += _LINE
        y += _BLOCK
    return lines
