"""Max pooling on the CPU: parallel over rows, vectorised over channels.

In float32 a window's values are compared in registers (``vectors.py``), those of 2x2 windows, side by side, all at once.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.building_blocks.simd import address, fence, wants_nontemporal
from scratchlv.kernels.building_blocks.window_loops import holders, taps
from scratchlv.kernels.building_blocks.windows import Padding, Pair, Windows
from scratchlv.kernels.max_pool2d.reference import layout
from scratchlv.kernels.max_pool2d.vectors import pool_pixel, pool_window, unpool_pixel
from scratchlv.memory import as_contiguous, empty


class Cache(NamedTuple):
    argmax: np.ndarray  # (N, H', W', C) uint8
    shape: tuple[int, int, int, int]
    windows: Windows


def limits(
    x: Any,
    *,
    size: Pair = 2,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    train: bool = True,
) -> str | None:
    """Why these arrays cannot be served, or None."""
    if not isinstance(x, np.ndarray):
        return "x is not a NumPy array"
    if x.dtype not in (np.float32, np.float64):
        return f"x is {x.dtype}; it serves float32 and float64"
    return None


def forward(
    x: np.ndarray,
    *,
    size: Pair = 2,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    train: bool = True,
) -> tuple[np.ndarray, Cache | None]:
    """The maximum of every window of ``x`` (N, H, W, C); ``y`` is (N, H', W', C)."""
    w = layout(x.shape, size, stride, padding, ceil_mode)
    y = empty((x.shape[0], *w.grid, x.shape[3]), x.dtype)
    argmax = empty(y.shape if train else (0, 0, 0, 0), np.uint8)
    if x.dtype == np.float32 and _in_pairs(w):
        _pool(as_contiguous(x), y, argmax, wants_nontemporal(y))
    elif x.dtype == np.float32:
        _pool_windows(as_contiguous(x), y, argmax, w.size, w.stride, w.corner)
    else:
        _forward(as_contiguous(x), y, argmax, w.size, w.stride, w.corner, train)
    return y, Cache(argmax, x.shape, w) if train else None


def backward(dy: np.ndarray, cache: Cache) -> tuple[np.ndarray]:
    """``dx`` (N, H, W, C); ``dy`` is (N, H', W', C)."""
    argmax, shape, w = cache
    require("x", dy=(dy, argmax.shape))
    dx = empty(shape, dy.dtype)
    if dy.dtype == np.float32 and _in_pairs(w):
        unpool(as_contiguous(dy), argmax, dx, wants_nontemporal(dx))
    else:
        _backward(as_contiguous(dy), argmax, dx, w.size, w.stride, w.corner)
    return (dx,)


def _in_pairs(w: Windows) -> bool:
    """Whether the windows are 2x2, side by side, and all in the picture."""
    return w.size == w.stride == (2, 2) and w.plain


@kernel(parallel=True)
def _pool(x, y, argmax, nontemporal):
    _, H, W, C = x.shape
    N, rows, columns, _ = y.shape
    for row in prange(N * rows):
        n, h = divmod(np.int64(row), rows)
        for w in range(columns):
            top = address(x) + 4 * C * ((n * H + 2 * h) * W + 2 * w)
            at = C * ((n * rows + h) * columns + w)
            pool_pixel(top, top + 4 * C * W, address(y) + 4 * at, address(argmax) + at, C, argmax.size, nontemporal)
        if nontemporal:
            fence()


@kernel(parallel=True)
def _pool_windows(x, y, argmax, size, stride, corner):
    _, H, W, C = x.shape
    N, rows, columns, _ = y.shape
    for row in prange(N * rows):
        n, h = divmod(np.int64(row), rows)
        top = h * stride[0] - corner[0]
        i0, i1 = taps(top, size[0], H)
        for w in range(columns):
            left = w * stride[1] - corner[1]
            j0, j1 = taps(left, size[1], W)
            first = address(x) + 4 * C * ((n * H + top + i0) * W + left + j0)
            at = C * ((n * rows + h) * columns + w)
            to = address(y) + 4 * at, address(argmax) + at
            pool_window(first, i1 - i0, j1 - j0, W * C, i0 * size[1] + j0, size[1], to[0], to[1], C, argmax.size)


@kernel(parallel=True)
def unpool(dy, argmax, dx, nontemporal):
    """The gradient ``dx`` (N, H, W, C) of 2x2 windows, all float32: every element is written once."""
    N, H, W, C = dx.shape
    rows, columns = dy.shape[1:3]
    pairs = (H + 1) // 2
    for pair in prange(N * pairs):
        n, h = divmod(np.int64(pair), pairs)
        if h == rows or 2 * columns < W:  # pixels that fill no window
            for i in range(2 * h, min(2 * h + 2, H)):
                for w in range(2 * columns if h < rows else 0, W):
                    for c in range(C):
                        dx[n, i, w, c] = 0
        if h < rows:
            for w in range(columns):
                at = C * ((n * rows + h) * columns + w)
                top = address(dx) + 4 * C * ((n * H + 2 * h) * W + 2 * w)
                unpool_pixel(address(dy) + 4 * at, address(argmax) + at, top, top + 4 * C * W, C, C, nontemporal)
        if nontemporal:
            fence()


@kernel(parallel=True)
def _forward(x, y, argmax, size, stride, corner, train):
    _, H, W, _ = x.shape
    N, out_h, out_w, C = y.shape
    for row in prange(N * out_h):
        n, h = row // out_h, row % out_h
        top = h * stride[0] - corner[0]
        i0, i1 = taps(top, size[0], H)
        for w in range(out_w):
            left = w * stride[1] - corner[1]
            j0, j1 = taps(left, size[1], W)
            best = y[n, h, w]
            for c in range(C):
                best[c] = x[n, top + i0, left + j0, c]
            if train:
                argmax[n, h, w, :] = i0 * size[1] + j0
            for i in range(i0, i1):
                for j in range(j0 + (i == i0), j1):
                    value, place = x[n, top + i, left + j], i * size[1] + j
                    if train:
                        argmax_here = argmax[n, h, w]
                        for c in range(C):
                            larger = (value[c] > best[c]) | (
                                (value[c] != value[c]) & (best[c] == best[c])
                            )  # NaN is largest
                            argmax_here[c] = place if larger else argmax_here[c]
                            best[c] = value[c] if larger else best[c]
                    else:
                        for c in range(C):
                            larger = (value[c] > best[c]) | (value[c] != value[c])
                            best[c] = value[c] if larger else best[c]


@kernel(parallel=True)
def _backward(dy, argmax, dx, size, stride, corner):
    # A thread owns rows of dx and gathers from the windows that cover them, so no two threads write one element.
    N, H, W, C = dx.shape
    _, out_h, out_w, _ = dy.shape
    apart = stride[0] >= size[0] and stride[1] >= size[1]
    for row in prange(N * H):
        n, h = row // H, row % H
        top = h + corner[0]
        whole = apart and top // stride[0] < out_h and top % stride[0] < size[0]
        whole = whole and stride[1] == size[1] and corner[1] == 0 and out_w * size[1] == W
        if not whole:
            dx[n, h] = 0  # else every element of the row is written once, below
        oh0, oh1 = holders(top, size[0], stride[0], out_h)
        for oh in range(oh0, oh1):
            for ow in range(out_w):
                left = ow * stride[1] - corner[1]
                j0, j1 = taps(left, size[1], W)
                taken, grad = argmax[n, oh, ow], dy[n, oh, ow]
                for j in range(j0, j1):
                    place, out = (top - oh * stride[0]) * size[1] + j, dx[n, h, left + j]
                    if apart:
                        for c in range(C):
                            out[c] = grad[c] if taken[c] == place else 0
                    else:
                        for c in range(C):
                            out[c] += grad[c] if taken[c] == place else 0
