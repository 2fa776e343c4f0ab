"""Max pooling, the specification: the largest value of each window, and which one it was."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array


class Cache(NamedTuple):
    argmax: Array  # (N, H', W', C) uint8: the place in the window, row by row, of the value that was taken
    shape: tuple[int, int, int, int]  # of x
    size: int
    stride: int


def forward(x: Array, *, size: int = 2, stride: int | None = None, train: bool = True) -> tuple[Array, Cache | None]:
    """The maximum of every ``size`` × ``size`` window of ``x`` (N, H, W, C), windows ``stride`` (default: size) apart.

    ``y`` is (N, H', W', C) with H' = ⌊(H − size) / stride⌋ + 1: rows that fill no window are dropped. Of equal values
    the first in the window, row by row, is taken, as PyTorch does. NaN counts as the largest value.

    Raises:
        ValueError: the window is larger than ``x``, or larger than 16 × 16 (its places are kept in a byte).
    """
    stride = stride or size
    _, out_h, out_w, _ = output_shape(x.shape, size, stride)
    windows = np.stack([x[:, rows, cols] for rows, cols in places(out_h, out_w, size, stride)])  # (size², N, H', W', C)
    y = windows.max(0)  # (N, H', W', C)
    return y, Cache(windows.argmax(0).astype(np.uint8), x.shape, size, stride) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    """``dx`` (N, H, W, C): ``dy`` (N, H', W', C), each at the place it was taken from."""
    argmax, shape, size, stride = cache
    dx = np.zeros_like(dy, shape=shape)
    for place, (rows, cols) in enumerate(places(dy.shape[1], dy.shape[2], size, stride)):
        dx[:, rows, cols] += np.where(argmax == place, dy, 0)  # +=: overlapping windows may take the same value
    return (dx,)


def places(out_h: int, out_w: int, size: int, stride: int) -> Iterator[tuple[slice, slice]]:
    """For each place in the window, row by row: the rows and columns of x that stand there in all windows."""
    for i in range(size):
        for j in range(size):
            yield slice(i, i + stride * (out_h - 1) + 1, stride), slice(j, j + stride * (out_w - 1) + 1, stride)


def output_shape(shape: tuple[int, ...], size: int, stride: int) -> tuple[int, int, int, int]:
    """(N, H', W', C) for an x of this shape."""
    N, H, W, C = shape
    if not 1 <= size <= 16:
        raise ValueError(f"size must be from 1 to 16; it is {size}")
    if stride < 1:
        raise ValueError(f"stride must be at least 1; it is {stride}")
    if min(H, W) < size:
        raise ValueError(f"a window of {size} × {size} does not fit into x, which is {H} × {W}")
    return N, (H - size) // stride + 1, (W - size) // stride + 1, C
