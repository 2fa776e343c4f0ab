"""Depthwise convolution in float32: one row of pixels per task, no padded copy, channels innermost."""

from typing import NamedTuple

import numpy as np
from numba import njit, prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.building_blocks.threads import share
from scratchlv.kernels.building_blocks.windows import Padding, Pair, Windows
from scratchlv.kernels.depthwise_conv2d.reference import Gradients, layout
from scratchlv.kernels.matmul.numba_cpu import float32_only
from scratchlv.memory import as_contiguous, empty

_PARTS = 32  # dW is summed in so many parts, whatever the number of threads


class Cache(NamedTuple):
    x: np.ndarray  # (N, H, W, C)
    W: np.ndarray  # (kh, kw, C)
    bias: bool
    windows: Windows


def limits(
    x: np.ndarray,
    W: np.ndarray,
    b: np.ndarray | None = None,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    train: bool = True,
) -> str | None:
    return float32_only(x, W, b)


def forward(
    x: np.ndarray,
    W: np.ndarray,
    b: np.ndarray | None = None,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    train: bool = True,
) -> tuple[np.ndarray, Cache | None]:
    x, W = as_contiguous(x), as_contiguous(W)
    require("the channels of x", W=(W, (*W.shape[:2], x.shape[3])), b=(b, x.shape[3:]))
    w = layout(x.shape, W.shape, stride, padding, dilation)
    y = empty((x.shape[0], *w.grid, x.shape[3]))
    start = np.zeros(x.shape[3], np.float32) if b is None else as_contiguous(b)
    _forward(x, W, start, y, w.stride, w.dilation, w.corner)
    return y, Cache(x, W, b is not None, w) if train else None


def backward(dy: np.ndarray, cache: Cache) -> Gradients:
    x, W, bias, w = cache
    require("x and W", dy=(dy, (x.shape[0], *w.grid, x.shape[3])))
    dy = as_contiguous(dy)
    dx = empty(x.shape)
    _backward_x(dy, W, dx, w.stride, w.dilation, w.corner)
    parts = np.zeros((_PARTS, W.shape[0] * W.shape[1] + 1, W.shape[2]), np.float32)  # the last row is db
    _backward_W(dy, x, W.shape[0], W.shape[1], parts, w.stride, w.dilation, w.corner)
    sums = parts.sum(0)
    return Gradients(dx, sums[:-1].reshape(W.shape), sums[-1] if bias else None)


@njit(inline="always")
def _taps(start, size, kernel, apart):
    """The taps of a window starting at ``start`` that lie inside an image of ``size``: first and last + 1."""
    return max(0, -(start // apart)), min(kernel, (size - start + apart - 1) // apart)


@kernel(parallel=True, nogil=True, fastmath=FLAGS)
def _forward(x, W, b, y, stride, apart, corner):
    N, H, width, C = x.shape
    kh, kw = W.shape[:2]
    H_out, W_out = y.shape[1:3]
    for task in prange(N * H_out):
        n, h = task // H_out, task % H_out
        row = h * stride[0] - corner[0]
        i0, i1 = _taps(row, H, kh, apart[0])
        for w in range(W_out):
            column = w * stride[1] - corner[1]
            j0, j1 = _taps(column, width, kw, apart[1])
            out = y[n, h, w]
            for c in range(C):
                out[c] = b[c]
            for i in range(i0, i1):
                line, filters = x[n, row + i * apart[0]], W[i]
                j, v = j0, column + j0 * apart[1]
                while j + 3 <= j1:  # three taps at once: the output is loaded and stored a third as often
                    a0, a1, a2 = line[v], line[v + apart[1]], line[v + 2 * apart[1]]
                    w0, w1, w2 = filters[j], filters[j + 1], filters[j + 2]
                    for c in range(C):
                        out[c] += a0[c] * w0[c] + a1[c] * w1[c] + a2[c] * w2[c]
                    j += 3
                    v += 3 * apart[1]
                while j < j1:
                    a0, w0 = line[v], filters[j]
                    for c in range(C):
                        out[c] += a0[c] * w0[c]
                    j += 1
                    v += apart[1]


@kernel(parallel=True, nogil=True, fastmath=FLAGS)
def _backward_x(dy, W, dx, stride, apart, corner):
    """Each pixel gathers from the windows that saw it, so no two tasks write to one place."""
    N, H, width, C = dx.shape
    kh, kw = W.shape[:2]
    H_out, W_out = dy.shape[1:3]
    for task in prange(N * H):
        n, h = task // H, task % H
        for w in range(width):
            out = dx[n, h, w]
            for c in range(C):
                out[c] = 0
            for i in range(kh):
                row = h + corner[0] - i * apart[0]  # = stride * the window's row
                if row < 0 or row % stride[0] or row // stride[0] >= H_out:
                    continue
                line, filters, column = dy[n, row // stride[0]], W[i], w + corner[1] + apart[1]
                for j in range(kw):
                    column -= apart[1]
                    if column < 0 or column % stride[1] or column // stride[1] >= W_out:
                        continue
                    d, tap = line[column // stride[1]], filters[j]
                    for c in range(C):
                        out[c] += d[c] * tap[c]


@kernel(parallel=True, nogil=True, fastmath=FLAGS)
def _backward_W(dy, x, kh, kw, parts, stride, apart, corner):
    """``parts[p]`` = (dW in kh·kw rows, then db), summed over the p-th share of all rows of all images."""
    N, H, width, C = x.shape
    H_out, W_out = dy.shape[1:3]
    for part in prange(parts.shape[0]):
        first, last = share(N * H_out, part, parts.shape[0])
        sums = parts[part]
        for task in range(first, last):
            n, h = task // H_out, task % H_out
            row = h * stride[0] - corner[0]
            i0, i1 = _taps(row, H, kh, apart[0])
            for w in range(W_out):
                column = w * stride[1] - corner[1]
                j0, j1 = _taps(column, width, kw, apart[1])
                d = dy[n, h, w]
                for i in range(i0, i1):
                    line, v = x[n, row + i * apart[0]], column + j0 * apart[1]
                    for j in range(j0, j1):
                        pixel, out = line[v], sums[i * kw + j]
                        for c in range(C):
                            out[c] += d[c] * pixel[c]
                        v += apart[1]
                out = sums[kh * kw]
                for c in range(C):
                    out[c] += d[c]
