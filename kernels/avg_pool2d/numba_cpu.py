"""Average pooling in float32: one row of windows per task, channels innermost."""

from typing import NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.avg_pool2d.reference import counted_ends, layout
from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.building_blocks.simd import address, fence, scale, wants_nontemporal
from scratchlv.kernels.building_blocks.window_loops import counted, holders, taps
from scratchlv.kernels.building_blocks.windows import Padding, Pair, Windows
from scratchlv.kernels.matmul.numba_cpu import float32_only
from scratchlv.memory import as_contiguous, empty


class Cache(NamedTuple):
    shape: tuple[int, int, int, int]
    windows: Windows
    count_include_pad: bool


def limits(
    x: np.ndarray,
    *,
    size: Pair | None,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    train: bool = True,
) -> str | None:
    return float32_only(x)


def forward(
    x: np.ndarray,
    *,
    size: Pair | None,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    train: bool = True,
) -> tuple[np.ndarray, Cache | None]:
    w = layout(x.shape, size, stride, padding, ceil_mode)
    y = empty((x.shape[0], *w.grid, x.shape[3]))
    _forward(as_contiguous(x), y, w.size, w.stride, w.corner, *counted_ends(w, count_include_pad))
    return y, Cache(x.shape, w, count_include_pad) if train else None


def backward(dy: np.ndarray, cache: Cache) -> tuple[np.ndarray]:
    shape, w, count_include_pad = cache
    require("x", dy=(dy, (shape[0], *w.grid, shape[3])))
    dy, dx = as_contiguous(dy), empty(shape)
    if w.stride[0] >= w.size[0] and w.stride[1] >= w.size[1] and w.plain:
        _spread(dy, dx, w.size, w.stride, wants_nontemporal(dx))
    else:
        _backward(dy, dx, w.size, w.stride, w.corner, *counted_ends(w, count_include_pad))
    return (dx,)


@kernel(parallel=True, nogil=True)
def _forward(x, y, kernel, step, corner, first, end):
    _, H, width, _ = x.shape
    N, H_out, W_out, C = y.shape
    for task in prange(N * H_out):
        n, h = task // H_out, task % H_out
        row = h * step[0] - corner[0]
        i0, i1 = taps(row, kernel[0], H)
        rows = counted(row, kernel[0], first[0], end[0])
        for w in range(W_out):
            column = w * step[1] - corner[1]
            j0, j1 = taps(column, kernel[1], width)
            scale = np.float32(rows * counted(column, kernel[1], first[1], end[1]))
            out = y[n, h, w]
            for c in range(C):
                out[c] = 0
            for i in range(i0, i1):
                for j in range(j0, j1):
                    pixel = x[n, row + i, column + j]
                    for c in range(C):
                        out[c] += pixel[c]
            for c in range(C):
                out[c] /= scale


@kernel(parallel=True, nogil=True)
def _spread(dy, dx, kernel, step, nontemporal):
    """The gradient where no two windows share a pixel: each pixel is written once."""
    N, H, width, C = dx.shape
    H_out, W_out = dy.shape[1:3]
    share = np.float32(1 / (kernel[0] * kernel[1]))
    for task in prange(N * H):
        n, h = task // H, task % H
        row = min(h // step[0], H_out - 1)
        for w in range(width):
            column = min(w // step[1], W_out - 1)
            inside = h - row * step[0] < kernel[0] and w - column * step[1] < kernel[1]
            if inside:
                scale(address(dy[n, row, column]), share, address(dx[n, h, w]), C, nontemporal)
            else:
                for c in range(C):
                    dx[n, h, w, c] = 0
        if nontemporal:
            fence()


@kernel(parallel=True, nogil=True)
def _backward(dy, dx, kernel, step, corner, first, end):
    N, H, width, C = dx.shape
    H_out, W_out = dy.shape[1:3]
    for task in prange(N * H):
        n, h = task // H, task % H
        row0, row1 = holders(h + corner[0], kernel[0], step[0], H_out)
        for w in range(width):
            column0, column1 = holders(w + corner[1], kernel[1], step[1], W_out)
            out = dx[n, h, w]
            for c in range(C):
                out[c] = 0
            for row in range(row0, row1):
                rows = counted(row * step[0] - corner[0], kernel[0], first[0], end[0])
                for column in range(column0, column1):
                    columns = counted(column * step[1] - corner[1], kernel[1], first[1], end[1])
                    d, scale = dy[n, row, column], np.float32(rows * columns)
                    for c in range(C):
                        out[c] += d[c] / scale
