"""Average pooling on a GPU: the launches of ``avg_pool2d.cu``."""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, cannot_serve, empty, on_gpu
from scratchlv.cuda.versions import version
from scratchlv.kernels.avg_pool2d.reference import geometry
from scratchlv.kernels.building_blocks.shapes import require

VERSIONS = {1: "a thread for each number", 2: "four channels for each thread, a block for a large window"}
LARGE = 32  # pixels of a window that a block shares
MOST_ROWS = 65535  # of a grid


class Cache(NamedTuple):
    shape: tuple[int, int, int, int]
    size: int | None
    stride: int | None


def limits(x: Any, *, size: int | None, stride: int | None = None, train: bool = True) -> str | None:
    return cannot_serve(x)


def forward(x: Array, *, size: int | None, stride: int | None = None, train: bool = True) -> tuple[Array, Cache | None]:
    kernel, step, grid = geometry(x.shape, size, stride)
    N, H, W, C = x.shape
    x, y = as_contiguous(x), empty((N, *grid, C), x)
    geometric = np.int64(N), *_numbers(H, W, C, *grid, *kernel, *step)
    if version(VERSIONS) == 2 and kernel[0] * kernel[1] >= LARGE and C <= 32 * MOST_ROWS:
        windows, channels = N * grid[0] * grid[1], -(-C // 32)
        load("avg_pool2d.cu")["avg_pool_forward_large"]((windows, channels), (256,), x, y, *geometric)
    else:
        _launch("avg_pool_forward", x, y, N, H, W, C, grid, kernel, step)
    return y, Cache(x.shape, size, stride) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    kernel, step, grid = geometry(*cache)
    N, H, W, C = cache.shape
    require("x", dy=(dy, (N, *grid, C)))
    dx = empty(cache.shape, dy)
    _launch("avg_pool_backward", as_contiguous(dy), dx, N, H, W, C, grid, kernel, step)
    return (dx,)


def _launch(name, source, target, N, H, W, C, grid, kernel, step) -> None:
    """A thread for one number of ``target``, or for four channels; a row of the grid for one of its rows."""
    four = version(VERSIONS) == 2 and C % 4 == 0 and _aligned(source) and _aligned(target)  # else version 1 serves
    C = C // 4 if four else C
    launch_grid = -(-target.shape[2] * C // 256), min(MOST_ROWS, N * target.shape[1])
    geometric = np.int64(N), *_numbers(H, W, C, *grid, *kernel, *step)
    load("avg_pool2d.cu")[f"{name}_{2 if four else 1}"](launch_grid, (256,), source, target, *geometric)


def _aligned(array: Array) -> bool:
    """Whether float4 can be read there."""
    return (array.data.ptr if on_gpu(array) else array.ctypes.data) % 16 == 0


def _numbers(*sizes: int) -> tuple[np.int32, ...]:
    return tuple(np.int32(size) for size in sizes)
