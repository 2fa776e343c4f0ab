"""Max pooling, the specification: the largest value of each window, and which one it was."""

from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.kernels.building_blocks.windows import Padding, Pair, Windows, pooling_windows


class Cache(NamedTuple):
    argmax: Array  # (N, H', W', C) uint8: the place in the window, row by row, of the value that was taken
    shape: tuple[int, int, int, int]  # of x
    windows: Windows


def forward(
    x: Array,
    *,
    size: Pair = 2,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    train: bool = True,
) -> tuple[Array, Cache | None]:
    """The maximum of every window of ``x`` (N, H, W, C) of ``size``, windows ``stride`` (default: size) apart.

    ``y`` is (N, H', W', C) with H' = ⌊(H + top + bottom − k) / s⌋ + 1: rows that fill no window are dropped. With ``ceil_mode``
    they make one more, if it begins in the picture or the padding before it (⌈·⌉ instead of ⌊·⌋). ``size`` and
    ``stride`` are a number or (rows, columns), ``padding`` that or ((top, bottom), (left, right)). Padding never wins: it
    is as −∞. Of equal values the first in the window, row by row, is taken, as PyTorch does. NaN counts as the largest value.

    Raises:
        ValueError: a window has more than 256 places (they are kept in a byte), none fits, or a setting is none; ``padding`` is
            more than half of the window, or, given for each side, as large as the window.
    """
    w = layout(x.shape, size, stride, padding, ceil_mode)
    places = _places(x, w, -np.inf)  # (kh kw, N, H', W', C)
    y, argmax = places.max(0), places.argmax(0)  # (N, H', W', C)
    if not w.plain:  # of a window of -inf alone: the first pixel, not the padding before it
        of_picture = _places(np.ones_like(x, bool, shape=(1, *w.picture, 1)), w, False)
        argmax = np.where(y == -np.inf, of_picture.argmax(0), argmax)
    return y, Cache(argmax.astype(np.uint8), x.shape, w) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    """``dx`` (N, H, W, C): ``dy`` (N, H', W', C), each at the place it was taken from."""
    argmax, (N, H, W, C), w = cache
    (top, bottom), (left, right) = w.reach()
    dpadded = np.zeros_like(dy, shape=(N, top + H + bottom, left + W + right, C))
    for place, (_, _, (rows, columns)) in enumerate(w.taps()):
        dpadded[:, rows, columns] += np.where(argmax == place, dy, 0)  # +=: overlapping windows may take the same value
    return (dpadded[:, top : top + H, left : left + W],)


def layout(
    shape: tuple[int, ...], size: Pair, stride: Pair | None = None, padding: Padding = 0, ceil_mode: bool = False
) -> Windows:
    """The windows over an x of this shape."""
    w = pooling_windows((shape[1], shape[2]), size, stride, padding, ceil_mode)
    if w.size[0] * w.size[1] > 256:
        raise ValueError(f"size must make at most 256 places, 16x16; it is {size}")
    return w


def output_shape(shape: tuple[int, ...], size: Pair, stride: Pair | None = None) -> tuple[int, int, int, int]:
    """(N, H', W', C) for an x of this shape without padding."""
    return shape[0], *layout(shape, size, stride).grid, shape[3]


def _places(x: Array, w: Windows, outside: float) -> Array:
    """For each place in the window, row by row, what stands there in all windows: (kh kw, N, H', W', C)."""
    padded = x if w.plain else np.pad(x, ((0, 0), *w.reach(), (0, 0)), constant_values=outside)
    return np.stack([padded[:, rows, columns] for _, _, (rows, columns) in w.taps()])
