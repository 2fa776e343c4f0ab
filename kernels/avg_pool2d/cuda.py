"""Average pooling on a GPU: the launches of ``avg_pool2d.cu``."""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, cannot_serve, empty, on_gpu
from scratchlv.cuda.versions import version
from scratchlv.kernels.avg_pool2d.reference import counted_ends, layout
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.building_blocks.windows import Padding, Pair, Windows

VERSIONS = {1: "a thread for each number", 2: "four channels for each thread, a block for a large window"}
LARGE = 32  # pixels of a window that a block shares
MOST_ROWS = 65535  # of a grid


class Cache(NamedTuple):
    shape: tuple[int, int, int, int]
    windows: Windows
    count_include_pad: bool


def limits(
    x: Any,
    *,
    size: Pair | None,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    train: bool = True,
) -> str | None:
    return cannot_serve(x)


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
    w = layout(x.shape, size, stride, padding, ceil_mode)
    cache = Cache(x.shape, w, count_include_pad)
    N, H, W, C = x.shape
    x, y = as_contiguous(x), empty((N, *w.grid, C), x)
    if version(VERSIONS) == 2 and w.size[0] * w.size[1] >= LARGE and C <= 32 * MOST_ROWS:
        grid = N * w.grid[0] * w.grid[1], -(-C // 32)
        load("avg_pool2d.cu")["avg_pool_forward_large"](grid, (256,), x, y, np.int64(N), *_numbers(cache, C))
    else:
        _launch("avg_pool_forward", x, y, cache)
    return y, cache if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    N, _, _, C = cache.shape
    require("x", dy=(dy, (N, *cache.windows.grid, C)))
    dx = empty(cache.shape, dy)
    _launch("avg_pool_backward", as_contiguous(dy), dx, cache)
    return (dx,)


def _launch(name: str, source: Array, target: Array, cache: Cache) -> None:
    """A thread for one number of ``target``, or for four channels; a row of the grid for one of its rows."""
    N, rows, columns, C = target.shape
    four = version(VERSIONS) == 2 and C % 4 == 0 and _aligned(source) and _aligned(target)  # else version 1 serves
    C = C // 4 if four else C
    grid = -(-columns * C // 256), min(MOST_ROWS, N * rows)
    kernel = load("avg_pool2d.cu")[f"{name}_{2 if four else 1}"]
    kernel(grid, (256,), source, target, np.int64(N), *_numbers(cache, C))


def _aligned(array: Array) -> bool:
    """Whether float4 can be read there."""
    return (array.data.ptr if on_gpu(array) else array.ctypes.data) % 16 == 0


def _numbers(cache: Cache, C: int) -> tuple[np.int32, ...]:
    w = cache.windows
    first, end = counted_ends(w, cache.count_include_pad)
    sizes = *w.picture, C, *w.grid, *w.size, *w.stride, *w.corner, *first, *end
    return tuple(np.int32(size) for size in sizes)
