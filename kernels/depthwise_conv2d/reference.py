"""Depthwise convolution, the specification: y[h, w, c] = Σ_ij x[s·h + d·i, s·w + d·j, c] W[i, j, c] + b[c]."""

from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.kernels.building_blocks.windows import Padding, Pair, Windows, windows


class Cache(NamedTuple):
    x: Array  # (N, H, W, C)
    W: Array  # (kh, kw, C)
    bias: bool
    windows: Windows


class Gradients(NamedTuple):
    dx: Array  # (N, H, W, C)
    dW: Array  # (kh, kw, C)
    db: Array | None  # (C,), None where there is no bias


def forward(
    x: Array,
    W: Array,
    b: Array | None = None,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    train: bool = True,
) -> tuple[Array, Cache | None]:
    """One filter per channel: ``x`` (N, H, W, C), ``W`` (kh, kw, C), ``b`` (C,) or None; ``y`` is (N, H', W', C).

    ``stride`` and ``dilation`` are a number or (rows, columns), ``padding`` that or ((top, bottom), (left, right)), zeros:
    TensorFlow's SAME is asymmetric. H' = (H + top + bottom - (kh - 1) dilation - 1) // stride + 1, and W' alike; rows
    and columns that no window reaches are dropped.

    Raises:
        ValueError: the kernel does not fit into the padded image, or sees no pixel of it; a setting is none.
    """
    w = layout(x.shape, W.shape, stride, padding, dilation)
    padded = np.pad(x, ((0, 0), *w.padding, (0, 0)))
    y = sum(padded[:, rows, columns] * W[i, j] for i, j, (rows, columns) in w.taps())  # (N, H', W', C)
    if b is not None:
        y = y + b
    return y, Cache(x, W, b is not None, w) if train else None


def backward(dy: Array, cache: Cache) -> Gradients:
    """``dx, dW, db`` from ``dy`` (N, H', W', C)."""
    x, W, bias, w = cache
    padded = np.pad(x, ((0, 0), *w.padding, (0, 0)))
    dpadded, dW = np.zeros_like(padded), np.empty_like(W)
    for i, j, (rows, columns) in w.taps():
        dW[i, j] = (padded[:, rows, columns] * dy).sum(
            (0, 1, 2)
        )  # (C,): one number served every position of every image
        dpadded[:, rows, columns] += dy * W[i, j]  # windows overlap: gradients add
    top, left = w.corner
    dx = dpadded[:, top : top + x.shape[1], left : left + x.shape[2]]  # what flowed into the zeros is dropped
    return Gradients(dx, dW, dy.sum((0, 1, 2)) if bias else None)


def layout(x_shape: tuple, W_shape: tuple, stride: Pair, padding: Padding, dilation: Pair) -> Windows:
    """The windows over an x of this shape."""
    if min(W_shape[:2]) < 1:
        raise ValueError(f"W {W_shape} is a window of {W_shape[0]}x{W_shape[1]}, which sees no pixel")
    return windows((x_shape[1], x_shape[2]), (W_shape[0], W_shape[1]), stride, padding, dilation)
