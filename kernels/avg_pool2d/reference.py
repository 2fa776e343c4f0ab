"""Average pooling, the specification: y[h, w] = the mean of x[s·h − p : s·h − p + k, s·w − p : s·w − p + k]."""

from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.kernels.building_blocks.windows import Padding, Pair, Sides, Windows, pooling_windows


class Cache(NamedTuple):
    shape: tuple[int, int, int, int]  # of x
    windows: Windows
    count_include_pad: bool


def forward(
    x: Array,
    *,
    size: Pair | None,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    train: bool = True,
) -> tuple[Array, Cache | None]:
    """Means over windows of ``size``, every ``stride`` (``size`` if None): (N, H, W, C) to (N, H', W', C).

    ``size=None`` is the mean over the whole image, (N, 1, 1, C). H' = ⌊(H + top + bottom − k) / s⌋ + 1, and W' alike: pixels
    at the end that fill no window are dropped; with ``ceil_mode`` they make one more, if it begins in the picture
    or the padding before it. ``size`` and ``stride`` are a number or (rows, columns), ``padding`` that or
    ((top, bottom), (left, right)): zeros, which count as places of the window, or with ``count_include_pad=False``
    do not. What hangs over the padding never counts.

    Raises:
        ValueError: no window fits, or a setting is none; ``padding`` is more than half of the window, or, given for each side,
            as large as the window.
    """
    w = layout(x.shape, size, stride, padding, ceil_mode)
    padded = x if w.plain else np.pad(x, _around(w.reach()))
    y = _total(padded, w) / _places(x, w, count_include_pad)  # (N, H', W', C)
    return y, Cache(x.shape, w, count_include_pad) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    """``dx`` (N, H, W, C): each place of a window receives an equal share of the window's gradient."""
    (N, H, W, C), w, count_include_pad = cache
    (top, bottom), (left, right) = w.reach()
    dpadded = np.zeros_like(dy, shape=(N, top + H + bottom, left + W + right, C))
    share = dy / _places(dy, w, count_include_pad)
    for _, _, (rows, columns) in w.taps():
        dpadded[:, rows, columns] += share  # windows may overlap: gradients add
    return (dpadded[:, top : top + H, left : left + W],)


def layout(
    shape: tuple[int, ...], size: Pair | None, stride: Pair | None, padding: Padding = 0, ceil_mode: bool = False
) -> Windows:
    """The windows over an x of this shape."""
    picture = shape[1], shape[2]
    return pooling_windows(picture, picture if size is None else size, stride, padding, ceil_mode)


def counted_ends(w: Windows, count_include_pad: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """Of rows and of columns: the first place that counts, and the last + 1."""
    if not count_include_pad:
        return (0, 0), w.picture
    (top, bottom), (left, right) = w.padding
    return (-top, -left), (w.picture[0] + bottom, w.picture[1] + right)


def _total(x: Array, w: Windows) -> Array:
    """The sum of every window of ``x``, which reaches as far as the windows do."""
    return sum(x[:, rows, columns] for _, _, (rows, columns) in w.taps())  # (N, H', W', C)


def _places(x: Array, w: Windows, count_include_pad: bool) -> Array:
    """How many places each window counts, (1, H', W', 1): the sums of a picture of ones in ones, or zeros."""
    counted = np.pad(np.ones_like(x, shape=(1, *w.picture, 1)), _around(w.padding), constant_values=count_include_pad)
    (_, bottom), (_, right) = w.padding
    (_, below), (_, beyond) = w.reach()
    return _total(np.pad(counted, _around(((0, below - bottom), (0, beyond - right)))), w)


def _around(padding: Sides) -> tuple[tuple[int, int], ...]:
    return (0, 0), *padding, (0, 0)
