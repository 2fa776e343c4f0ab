"""Average pooling in float32: one row of windows per task, channels innermost."""

from typing import NamedTuple

import numpy as np
from numba import njit, prange

from scratchlv.kernels.avg_pool2d.reference import geometry
from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.building_blocks.simd import address, fence, scale, wants_nontemporal
from scratchlv.kernels.matmul.numba_cpu import float32_only
from scratchlv.memory import as_contiguous, empty


class Cache(NamedTuple):
    shape: tuple[int, int, int, int]
    size: int | None
    stride: int | None


def limits(x: np.ndarray, *, size: int | None, stride: int | None = None, train: bool = True) -> str | None:
    return float32_only(x)


def forward(
    x: np.ndarray, *, size: int | None, stride: int | None = None, train: bool = True
) -> tuple[np.ndarray, Cache | None]:
    kernel, step, grid = geometry(x.shape, size, stride)
    y = empty((x.shape[0], *grid, x.shape[3]))
    _forward(as_contiguous(x), y, kernel, step)
    return y, Cache(x.shape, size, stride) if train else None


def backward(dy: np.ndarray, cache: Cache) -> tuple[np.ndarray]:
    kernel, step, grid = geometry(*cache)
    require("x", dy=(dy, (cache.shape[0], *grid, cache.shape[3])))
    dx = empty(cache.shape)
    if step[0] >= kernel[0] and step[1] >= kernel[1]:
        _spread(as_contiguous(dy), dx, kernel, step, wants_nontemporal(dx))
    else:
        _backward(as_contiguous(dy), dx, kernel, step)
    return (dx,)


@kernel(parallel=True, nogil=True)
def _forward(x, y, kernel, step):
    N, H_out, W_out, C = y.shape
    scale = np.float32(kernel[0] * kernel[1])
    for task in prange(N * H_out):
        n, h = task // H_out, task % H_out
        for w in range(W_out):
            out = y[n, h, w]
            for c in range(C):
                out[c] = 0
            for i in range(kernel[0]):
                for j in range(kernel[1]):
                    pixel = x[n, h * step[0] + i, w * step[1] + j]
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


@njit(inline="always")
def _windows(pixel, kernel, step, n):
    """The windows that hold a pixel: first and last + 1."""
    return max(0, (pixel - kernel) // step + 1), min(pixel // step + 1, n)


@kernel(parallel=True, nogil=True)
def _backward(dy, dx, kernel, step):
    N, H, width, C = dx.shape
    H_out, W_out = dy.shape[1:3]
    scale = np.float32(kernel[0] * kernel[1])
    for task in prange(N * H):
        n, h = task // H, task % H
        row0, row1 = _windows(h, kernel[0], step[0], H_out)
        for w in range(width):
            column0, column1 = _windows(w, kernel[1], step[1], W_out)
            out = dx[n, h, w]
            for c in range(C):
                out[c] = 0
            for row in range(row0, row1):
                for column in range(column0, column1):
                    d = dy[n, row, column]
                    for c in range(C):
                        out[c] += d[c] / scale
