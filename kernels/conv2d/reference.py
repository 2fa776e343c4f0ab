"""Convolution, the specification: y[n,h,w,:] = b + Σ_ij x[n, hs+id-p, ws+jd-p, :] W[i,j]; ReLU and pooling may follow."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.kernels.building_blocks.windows import Padding, Pair, Windows, windows
from scratchlv.kernels.max_pool2d import reference as max_pool2d
from scratchlv.kernels.relu import reference as relu_


class Cache(NamedTuple):
    x: Array  # (N, H, W, C)
    W: Array  # (kh, kw, C / groups, M)
    bias: bool
    windows: Windows
    groups: int
    need_dx: bool
    relu: Any  # caches of what followed, or None
    pool: Any


class Gradients(NamedTuple):
    dx: Array | None  # (N, H, W, C), None where nobody wants it
    dW: Array  # (kh, kw, C / groups, M)
    db: Array | None  # (M,), None where there is no bias


def forward(
    x: Array,
    W: Array,
    b: Array | None = None,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    relu: bool = False,
    pool: bool = False,
    exact: bool = False,
    need_dx: bool = True,
    train: bool = True,
) -> tuple[Array, Cache | None]:
    """Convolve ``x`` (N, H, W, C) with ``W`` (kh, kw, C / groups, M); ``y`` is (N, H', W', M).

    ``stride`` and ``dilation`` are a number or (rows, columns), ``padding`` that or ((top, bottom), (left, right)). Zeros
    are put around the picture; the taps of a window stand ``dilation`` apart. With ``groups``, the channels are parted, and
    each part of the outputs sees only its part of the inputs. ``need_dx=False`` says that nobody wants ``dx`` (the first
    layer): it is then None.

    With ``relu``, and ``pool`` (2x2 windows, max), y is what these make of it: one call for the three, since a variant can
    do them in one sweep. ``exact`` asks for the plain sums that stand here; without it a variant may take a way of fewer
    multiplications and more rounding.

    Raises:
        ValueError: the shapes do not fit each other, or a setting is none.
    """
    w = layout(x.shape, W.shape, stride, padding, dilation, groups)
    padded = np.pad(x, ((0, 0), *w.padding, (0, 0)))
    y = _zeros_like(x, (x.shape[0], *w.grid, W.shape[3]))
    for i, j, (rows, columns) in w.taps():
        window = padded[:, rows, columns]  # (N, H', W', C): the pixel that each window has under its tap (i, j)
        for inputs, outputs in _parts(x.shape[3], W.shape[3], groups):
            y[..., outputs] += window[..., inputs] @ W[i, j, :, outputs]  # (N, H', W', M / groups)
    if b is not None:
        y += b
    relu_cache = pool_cache = None
    if relu:
        y, relu_cache = relu_.forward(y, train=train)
    if pool:
        y, pool_cache = max_pool2d.forward(y, size=2, train=train)
    return y, Cache(x, W, b is not None, w, groups, need_dx, relu_cache, pool_cache) if train else None


def backward(dy: Array, cache: Cache) -> Gradients:
    """``dx, dW, db`` from ``dy``, which is like y."""
    x, W, bias, w, groups, need_dx, relu_cache, pool_cache = cache
    if pool_cache is not None:
        (dy,) = max_pool2d.backward(dy, pool_cache)
    if relu_cache is not None:
        (dy,) = relu_.backward(dy, relu_cache)
    (top, bottom), (left, right) = w.padding
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    dpadded, dW = _zeros_like(x, padded.shape), _zeros_like(W, W.shape)
    for i, j, (rows, columns) in w.taps():
        window, dwindow = padded[:, rows, columns], dpadded[:, rows, columns]
        for inputs, outputs in _parts(x.shape[3], W.shape[3], groups):
            # every pixel of every picture used W[i, j]; a pixel of x was used by every window that covers it
            dW[i, j, :, outputs] = np.tensordot(window[..., inputs], dy[..., outputs], axes=((0, 1, 2), (0, 1, 2)))
            dwindow[..., inputs] += dy[..., outputs] @ W[i, j, :, outputs].T
    dx = dpadded[:, top : padded.shape[1] - bottom, left : padded.shape[2] - right]
    return Gradients(dx if need_dx else None, dW, dy.sum((0, 1, 2)) if bias else None)


def layout(
    x_shape: tuple, W_shape: tuple, stride: Pair, padding: Padding = 0, dilation: Pair = 1, groups: int = 1
) -> Windows:
    """The windows over an x of this shape; ValueError when there are none, or the channels do not fit."""
    kh, kw, per_group, M = W_shape
    if min(kh, kw) < 1:
        raise ValueError(f"W {W_shape} is a window of {kh}x{kw}, which sees no pixel")
    if groups < 1 or x_shape[3] % groups or M % groups:
        raise ValueError(f"groups must divide the channels of x, {x_shape[3]}, and those of y, {M}; it is {groups}")
    if x_shape[3] != per_group * groups:
        raise ValueError(f"x has {x_shape[3]} channels; W {W_shape} in {groups} group(s) takes {per_group * groups}")
    return windows((x_shape[1], x_shape[2]), (kh, kw), stride, padding, dilation)


def pooled_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width after pooling; ValueError when no window fits."""
    return max_pool2d.output_shape((1, *size, 1), 2, 2)[1:3]


def _parts(C: int, M: int, groups: int) -> Iterator[tuple[slice, slice]]:
    for g in range(groups):
        yield (
            slice(g * C // groups, (g + 1) * C // groups),
            slice(g * M // groups, (g + 1) * M // groups),
        )


def _zeros_like(x: Array, shape: tuple) -> Array:
    return np.zeros_like(x, shape=shape)
