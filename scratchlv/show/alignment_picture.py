"""Where a translator looked: which word of the source each word of the target came from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from scratchlv.show import INK, PAPER, clip
from scratchlv.show.lettering import lettering

_CELLS = (18, 36)  # the side of a cell: at least, at most, in pixels
_ROOM = 720  # that the cells take together, where they can
_FONT = 16  # at most
_LONGEST = 150  # of a word, in pixels
_GAP = 14
_SLANT = 55  # degrees
_LINE = (214, 217, 222)
_COPIED = (196, 30, 58)


def alignment_picture(
    source: Sequence[str], target: Sequence[str], alphas: np.ndarray, copied: np.ndarray | None = None
) -> Image.Image:
    """The matrix of attention, source along the top and target down the left: the darker a cell, the larger its weight.

    Args:
        source: S words.
        target: T words; the end symbol may be the last.
        alphas: attention weights (T, S), 0 to 1: white to black.
        copied: (T,), how much of each target word was copied, 0 to 1: the more, the redder are it and its row.

    Raises:
        ValueError: the shapes do not go together, or a weight is negative or not finite.
    """
    alphas = np.asarray(alphas, np.float64)
    if not source or not target or alphas.shape != (len(target), len(source)):
        given = f"{len(target)} and {len(source)} words, alphas {alphas.shape}"
        raise ValueError(f"an alignment needs target words, source words and alphas (T, S), not {given}")
    T, S = alphas.shape
    inks = _inks(np.zeros(T) if copied is None else np.asarray(copied, np.float64))
    shades = shade(alphas, inks[:, None])
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
        colour = tuple(inks[t].round().astype(int).tolist())
        sheet.paste(colour, (left - 8 - word.width, middle - word.height // 2), word)
    return sheet


def _inks(copied: np.ndarray) -> np.ndarray:
    """The colours (T, 3) of rows: ink at 0, red at 1."""
    ink, red = np.array(INK, np.float64), np.array(_COPIED, np.float64)
    return ink + copied[:, None] * (red - ink)


def shade(alphas: np.ndarray, ink: np.ndarray | tuple[int, ...] = INK) -> np.ndarray:
    """Attention weights (…) as colours (…, 3) uint8, from white at 0 to ``ink`` at 1.

    Raises:
        ValueError: a weight is negative or not finite.
    """
    if not (np.isfinite(alphas).all() and (alphas >= 0).all()):
        raise ValueError("alphas must be finite and 0 or more")
    paper = np.array(PAPER, np.float64)
    return (paper + np.minimum(alphas, 1)[..., None] * (ink - paper)).round().astype(np.uint8)


def _grid(sheet: Image.Image, corner: tuple[int, int], cell: int, shape: tuple[int, int]) -> None:
    pen, (left, top), (T, S) = ImageDraw.Draw(sheet), corner, shape
    for s in range(S + 1):
        pen.line((left + s * cell, top, left + s * cell, top + T * cell), _LINE)
    for t in range(T + 1):
        pen.line((left, top + t * cell, left + S * cell, top + t * cell), _LINE)


def _slanted(word: Image.Image) -> Image.Image:
    return word.rotate(_SLANT, Image.Resampling.BICUBIC, expand=True)
