"""The lecture's picture: where the model looked at each word that it said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from scratchlv.show import FAINT, INK, PAPER, clip, fit, font, lay_out
from scratchlv.show.lettering import write
from scratchlv.show.overlay import lit

_SIDE = 176  # the longer side of each picture, in pixels
_TITLE = 30  # height of a title
_FONT = 18
_GAP = 14


def attention_sheet(
    image: np.ndarray,
    words: Sequence[str],
    probabilities: Sequence[float],
    alphas: np.ndarray,
    *,
    columns: int = 6,
    mark: bool = False,
) -> Image.Image:
    """The picture, then the picture once for each word, lit where the model looked, under the word and its probability.

    Light is relative: the most attended place of each word keeps its full brightness (:mod:`scratchlv.show.overlay`).

    Args:
        image: (H, W, 3) uint8, of any size.
        words: T words; the end symbol may be the last.
        probabilities: what the model gave each word, 0 to 1.
        alphas: attention weights over a grid laid over the picture, (T, rows, cols).
        columns: pictures in a row, at most.
        mark: also frame the most attended cell.

    Raises:
        ValueError: the shapes do not go together, or a weight is negative or not finite.
    """
    image, alphas = np.asarray(image), np.asarray(alphas, np.float64)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image must be (H, W, 3) uint8, not {image.shape} {image.dtype}")
    if alphas.ndim != 3 or not len(words) == len(probabilities) == len(alphas):
        given = f"{len(words)} words, {len(probabilities)} probabilities, alphas {alphas.shape}"
        raise ValueError(f"each word needs a probability and a grid of alphas (T, rows, cols), not {given}")
    if not (np.isfinite(alphas).all() and (alphas >= 0).all()):
        raise ValueError("alphas must be finite and 0 or more")
    picture = fit(Image.fromarray(image), _SIDE)
    tiles = [tile(picture, "")]
    for t, (word, p) in enumerate(zip(words, probabilities, strict=True)):
        shown = word[:1].upper() + word[1:] if t == 0 else word
        tiles.append(tile(lit(picture, alphas[t], mark), shown, p))
    rows = -(-len(tiles) // columns)
    return lay_out(tiles, -(-len(tiles) // rows), _GAP)


def tile(picture: Image.Image, title: str, probability: float | None = None) -> Image.Image:
    """The picture under its title, with a probability behind that if there is one."""
    framed = Image.new("RGB", (picture.width, picture.height + _TITLE), PAPER)
    framed.paste(picture, (0, _TITLE))
    pen, letters = ImageDraw.Draw(framed), font(_FONT)
    suffix = "" if probability is None else f"({probability:.2f})"
    title = clip(title, picture.width - letters.getlength(suffix), _FONT)
    left = max(0.0, (picture.width - letters.getlength(title + suffix)) / 2)
    write(framed, (left, _TITLE - 8), title, INK, _FONT)
    pen.text((left + letters.getlength(title), _TITLE - 8), suffix, FAINT, letters, anchor="ls")
    return framed
