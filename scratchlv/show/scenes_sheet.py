"""A sheet of scenes with their captions: what the embedded world looks like."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from scratchlv.data.scenes import Scene, draw
from scratchlv.show import INK, PAPER, fit, font, lay_out, wrap

_SIDE = 208  # of each picture, in pixels
_FONT = 15
_LINE = 20  # from one line of text to the next
_GAP = 18


def scenes_sheet(scenes: Sequence[Scene], captions: Sequence[object], *, columns: int = 4) -> Image.Image:
    """The pictures of ``scenes`` in rows, each above its caption (anything that ``str`` turns into words).

    Raises:
        ValueError: there are no scenes, or not as many captions.
    """
    if not scenes or len(scenes) != len(captions):
        raise ValueError(f"a sheet needs scenes and a caption for each, not {len(scenes)} and {len(captions)}")
    texts = [wrap(str(caption), _SIDE, _FONT) for caption in captions]
    height = _SIDE + 10 + _LINE * max(map(len, texts))
    tiles = []
    for scene, lines in zip(scenes, texts, strict=True):
        tile = Image.new("RGB", (_SIDE, height), PAPER)
        tile.paste(fit(Image.fromarray(draw(scene)), _SIDE), (0, 0))
        for i, line in enumerate(lines):
            ImageDraw.Draw(tile).text((0, _SIDE + 8 + i * _LINE), line, INK, font(_FONT))
        tiles.append(tile)
    return lay_out(tiles, min(columns, len(tiles)), _GAP)
