"""Max pooling on a GPU: the launches of ``max_pool2d.cu``."""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, blocks, cannot_serve, empty
from scratchlv.cuda.versions import version
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.building_blocks.windows import Padding, Pair, Windows
from scratchlv.kernels.max_pool2d.reference import layout

VERSIONS = {1: "a thread for each number", 2: "four channels a thread, a window's gradient written at once"}


class Cache(NamedTuple):
    argmax: Array  # (N, H', W', C) uint8
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
    return cannot_serve(x)


def forward(
    x: Array,
    *,
    size: Pair = 2,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    train: bool = True,
) -> tuple[Array, Cache | None]:
    """The maximum of every window of ``x`` (N, H, W, C); ``y`` is (N, H', W', C)."""
    w = layout(x.shape, size, stride, padding, ceil_mode)
    shape = x.shape[0], *w.grid, x.shape[3]
    x, y = as_contiguous(x), empty(shape, x)
    argmax = empty(shape, x, np.uint8) if train else None
    sizes = _sizes(x.shape, w)
    module = load("max_pool2d.cu")
    if version(VERSIONS) == 1:
        module["max_pool2d_1"](blocks(y.size, 256), (256,), x, y, argmax, np.int64(y.size), *sizes)
    else:
        module["max_pool2d_2"](*_rows(shape[0] * shape[1], shape[2], shape[3]), x, y, argmax, *sizes)
    return y, Cache(argmax, x.shape, w) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    """``dx`` (N, H, W, C); ``dy`` is (N, H', W', C)."""
    argmax, shape, w = cache
    require("x", dy=(dy, argmax.shape))
    dy, dx = as_contiguous(dy), empty(shape, dy)
    sizes = _sizes(shape, w)
    N, H, W, C = shape
    (down, across), (top, left) = w.stride, w.corner
    module = load("max_pool2d.cu")
    if version(VERSIONS) == 1:
        module["max_pool2d_backward_1"](blocks(dx.size, 256), (256,), dy, argmax, dx, np.int64(dx.size), *sizes)
    elif down >= w.size[0] and across >= w.size[1]:
        rows, columns = -(-(H + top) // down), -(-(W + left) // across)
        module["max_pool2d_backward_2"](*_rows(N * rows, columns, C), dy, argmax, dx, *sizes)
    else:
        module["max_pool2d_backward_overlapping_2"](*_rows(N * H, W, C), dy, argmax, dx, *sizes)
    return (dx,)


def _rows(rows: int, columns: int, C: int) -> tuple[tuple[int, int], tuple[int]]:
    """Grid and block for which a row is a blockIdx.x, and four channels of a pixel a thread."""
    row = columns * -(-C // 4)
    threads = min(256, 32 * -(-row // 32)) or 32
    return (rows, -(-row // threads)), (threads,)


def _sizes(x_shape: tuple, w: Windows) -> tuple[np.int32, ...]:
    return tuple(np.int32(n) for n in (*x_shape[1:], *w.grid, *w.size, *w.stride, *w.corner))
