"""Average pooling, the specification: y[h, w] = the mean of x[s·h : s·h + k, s·w : s·w + k]."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array


class Cache(NamedTuple):
    shape: tuple[int, int, int, int]  # of x
    size: int | None
    stride: int | None


def forward(x: Array, *, size: int | None, stride: int | None = None, train: bool = True) -> tuple[Array, Cache | None]:
    """Means over windows of ``size`` x ``size``, every ``stride`` (``size`` if None): (N, H, W, C) to (N, H', W', C).

    ``size=None`` is the mean over the whole image, (N, 1, 1, C). H' = (H - size) // stride + 1, and W' alike: pixels
    at the end that fill no window are dropped.

    Raises:
        ValueError: no window fits into the image.
    """
    kernel, step, grid = geometry(x.shape, size, stride)
    y = sum(x[window] for window in windows(kernel, step, grid)) / (kernel[0] * kernel[1])  # (N, H', W', C)
    return y, Cache(x.shape, size, stride) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    """``dx`` (N, H, W, C): each pixel of a window receives an equal share of the window's gradient."""
    kernel, step, grid = geometry(*cache)
    dx = np.zeros_like(dy, shape=cache.shape)
    share = dy / (kernel[0] * kernel[1])
    for window in windows(kernel, step, grid):
        dx[window] += share  # windows may overlap: gradients add
    return (dx,)


def geometry(shape: tuple, size: int | None, stride: int | None) -> tuple[tuple, tuple, tuple]:
    """(kernel, step, grid), each as (rows, columns)."""
    kernel = (shape[1], shape[2]) if size is None else (size, size)
    step = kernel if stride is None else (stride, stride)
    if min(*kernel, *step) < 1 or kernel[0] > shape[1] or kernel[1] > shape[2]:
        raise ValueError(f"a {kernel[0]}x{kernel[1]} window, stride {step[0]}, on a {shape[1]}x{shape[2]} image")
    return kernel, step, tuple((n - k) // s + 1 for n, k, s in zip(shape[1:3], kernel, step, strict=True))


def windows(kernel: tuple[int, int], step: tuple[int, int], grid: tuple[int, int]) -> Iterator[tuple[slice, ...]]:
    """For each place (i, j) inside a window, the pixels at that place of all windows: a strided (H', W') grid."""
    for place in np.ndindex(*kernel):
        yield slice(None), *(slice(k, k + s * (n - 1) + 1, s) for k, s, n in zip(place, step, grid, strict=True))
