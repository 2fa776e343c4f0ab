"""Attention over a picture: a dark veil, thin where the model looked, and a line around the region of half its peak and more.

The picture stays readable: its detail is seen through the veil, and the line is seen where a picture is as dark as the veil. The
veil is a picture of its own (:func:`veil`): on paper it is laid over the photograph (:func:`lit`), in a page a browser does so.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

_INK, _STRENGTH = 18, 0.66  # the veil: how grey, and how much of it where the model does not look at all
_SPREAD = 0.5  # cells: the standard deviation of the light of one cell
_HALF = 0.5  # of the peak: where the line runs
_LINE = ((0, 1.9, 0.55), (255, 0.9, 0.95))  # the line and its shadow: grey, half the width in pixels, how opaque
_MARK = (255, 90, 60)


def attention_map(alpha: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Attention weights (rows, cols) as smooth light over ``size = (width, height)`` pixels, (height, width) in 0..1.

    Light is relative: 1 at the peak. Between the centres of cells it is a mean of their weights, by a Gaussian of the distance.
    """
    peak = alpha.max()
    if not peak > 0:
        return np.zeros(size[::-1])
    down, across = (_spread(pixels, cells) for pixels, cells in zip(size[::-1], alpha.shape, strict=True))
    light = down @ (alpha / peak) @ across.T  # (height, width)
    return light / light.max()


def _spread(pixels: int, cells: int) -> np.ndarray:
    """What each cell along a side gives to each pixel, (pixels, cells); the rows sum to 1."""
    at = (np.arange(pixels) + 0.5) / pixels * cells - 0.5  # of the pixels, counted in cells
    weights = np.exp(-0.5 * ((at[:, None] - np.arange(cells)) / _SPREAD) ** 2)
    return weights / weights.sum(axis=1, keepdims=True)


def veil(alpha: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """What shows attention weights (rows, cols) over a picture of ``size = (width, height)``: its grey and its opacity ("LA")."""
    light = attention_map(np.asarray(alpha, np.float64), size)
    grey, opacity = np.full_like(light, _INK), _STRENGTH * (1 - light)
    down, across = (np.gradient(light, axis=k) if light.shape[k] > 1 else np.zeros_like(light) for k in (0, 1))
    distance = np.abs(light - _HALF) / np.maximum(np.hypot(down, across), 1e-9)  # from the line, in pixels
    for ink, half_width, most in _LINE:
        a = most * (half_width - distance + 0.5).clip(0, 1)
        both = a + opacity * (1 - a)
        grey = (ink * a + grey * opacity * (1 - a)) / np.maximum(both, 1e-9)  # one over the other
        opacity = both
    return Image.fromarray(np.stack([grey, 255 * opacity], axis=-1).round().astype(np.uint8), "LA")


def lit(picture: Image.Image, alpha: np.ndarray, mark: bool = False) -> Image.Image:
    """The picture under the veil of attention weights (rows, cols); ``mark`` frames the most attended cell."""
    over = veil(alpha, picture.size)
    shown = picture.convert("RGB")
    shown.paste(over.getchannel("L").convert("RGB"), mask=over.getchannel("A"))
    if mark:
        row, col = divmod(int(np.argmax(alpha)), alpha.shape[1])
        w, h = picture.width / alpha.shape[1], picture.height / alpha.shape[0]
        ImageDraw.Draw(shown).rectangle(
            (col * w, row * h, (col + 1) * w - 1, (row + 1) * h - 1), outline=_MARK, width=2
        )
    return shown
