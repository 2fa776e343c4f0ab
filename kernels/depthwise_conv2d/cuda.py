"""Depthwise convolution on a GPU: the launches of ``depthwise_conv2d.cu``."""

import math
from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import Module, load
from scratchlv.cuda.arrays import as_contiguous, blocks, cannot_serve, empty, zeros
from scratchlv.cuda.versions import version
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.building_blocks.windows import Padding, Pair, Windows
from scratchlv.kernels.depthwise_conv2d.reference import Gradients, layout

VERSIONS = {1: "a thread for each number", 2: "strips of a row in registers, dW in parts"}
STRIP = 4  # columns of y that a thread of version 2 makes, as in the .cu
FEWEST_PIXELS = 256  # of a part of dW: fewer would not pay for adding it to the others
BLOCKS = 1024  # about so many are wanted for dW


class Cache(NamedTuple):
    x: Array  # (N, H, W, C)
    W: Array  # (kh, kw, C)
    bias: bool
    windows: Windows


def limits(
    x: Array,
    W: Array,
    b: Array | None = None,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    train: bool = True,
) -> str | None:
    return cannot_serve(x, W, b)


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
    require("the channels of x", W=(W, (*W.shape[:2], x.shape[3])), b=(b, x.shape[3:]))
    w = layout(x.shape, W.shape, stride, padding, dilation)
    x, W, b = as_contiguous(x), as_contiguous(W), None if b is None else as_contiguous(b)
    y = empty((x.shape[0], *w.grid, x.shape[3]), x)
    module, sizes = load("depthwise_conv2d.cu"), _sizes(x.shape, w)
    if version(VERSIONS) == 1:
        module["depthwise_conv2d_1"](blocks(y.size, 256), (256,), x, W, b, y, np.int64(y.size), *sizes)
    else:
        module["depthwise_conv2d_2"](*_tiles(y.shape), x, W, b, y, *sizes, np.int32(0))
    return y, Cache(x, W, b is not None, w) if train else None


def backward(dy: Array, cache: Cache) -> Gradients:
    x, W, bias, w = cache
    require("x and W", dy=(dy, (x.shape[0], *w.grid, x.shape[3])))
    dy, module = as_contiguous(dy), load("depthwise_conv2d.cu")
    sizes = _sizes(x.shape, w)
    dx, (dW, db) = _input_gradient(module, x, W, dy, w), _weight_gradient(module, x, W, dy, sizes, bias)
    return Gradients(dx, dW, db)


def _input_gradient(module: Module, x: Array, W: Array, dy: Array, w: Windows) -> Array:
    dx, sizes = empty(x.shape, x), _sizes(x.shape, w)
    N, height, width, C = x.shape
    if version(VERSIONS) == 1:
        launch = blocks(dx.size, 256), (256,)
        module["depthwise_conv2d_input_gradient_1"](*launch, dy, W, dx, np.int64(dx.size), *sizes)
    elif w.stride == (1, 1):  # a convolution of dy with the filter flipped
        (kh, kw), (down, across), (top, left) = w.size, w.dilation, w.corner
        corner = (kh - 1) * down - top, (kw - 1) * across - left
        flipped = (*dy.shape[1:], kh, kw, height, width, 1, 1, down, across, *corner, 1)
        module["depthwise_conv2d_2"](*_tiles(x.shape), dy, W, None, dx, *(np.int32(n) for n in flipped))
    else:
        grid = N * height, -(-width * -(-C // 4) // 256)
        module["depthwise_conv2d_input_gradient_2"](grid, (256,), dy, W, dx, *sizes)
    return dx


def _weight_gradient(
    module: Module, x: Array, W: Array, dy: Array, sizes: tuple, bias: bool
) -> tuple[Array, Array | None]:
    """dW and db, the last row of one matrix: in parts of the pixels, which are added up in their order."""
    kh, kw, C = W.shape
    pixels, rows = math.prod(dy.shape[:3]), kh * kw + bias
    sums = empty((rows, C), x)
    numbers = np.int32(x.shape[0]), *sizes, np.int32(bias)
    if sums.size and not pixels:
        sums = zeros((rows, C), x)
    elif version(VERSIONS) == 1:
        module["depthwise_conv2d_weight_gradient_1"](blocks(sums.size, 256), (256,), x, dy, sums, *numbers)
    else:
        groups, taps = _power_of_two(-(-C // 4), 8), kw if kw in (3, 5) else 1
        tiles = kh * kw // taps + bias, -(-C // (4 * groups))
        count = max(1, min(pixels // FEWEST_PIXELS, BLOCKS // max(1, tiles[0] * tiles[1])))
        span = -(-pixels // count)
        count = -(-pixels // span)
        parts = empty((count, rows, C), x) if count > 1 else sums
        launch, shared = ((*tiles, count), (groups, 256 // groups)), 16 * 256 * taps
        kernel = module["depthwise_conv2d_weight_gradient_2"]
        kernel(*launch, x, dy, parts, *numbers, np.int32(span), shared=shared)
        if count > 1:
            add = module["depthwise_conv2d_sum_partials"]
            add(blocks(sums.size, 32), (32, 8), parts, sums, np.int32(count), np.int32(sums.size))
    return sums[: kh * kw].reshape(W.shape), sums[kh * kw] if bias else None


def _tiles(y_shape: tuple) -> tuple[tuple[int, int], tuple[int, int, int]]:
    """Grid and block of ``depthwise_conv2d_2``: 32 channels x 16 columns x 8 rows, or what a small picture fills."""
    N, H, W, C = y_shape
    groups, strips = _power_of_two(-(-C // 4), 8), _power_of_two(-(-W // STRIP), 4)
    rows = min(_power_of_two(H, 64), 256 // (groups * strips))
    tiles = N * -(-H // rows) * -(-W // (strips * STRIP))
    return (tiles, -(-C // (4 * groups))), (groups, strips, rows)


def _power_of_two(n: int, most: int) -> int:
    """The smallest that is not below ``n``, and not above ``most``."""
    return min(most, 1 << max(0, n - 1).bit_length())


def _sizes(x_shape: tuple, w: Windows) -> tuple[np.int32, ...]:
    return tuple(np.int32(n) for n in (*x_shape[1:], *w.size, *w.grid, *w.stride, *w.dilation, *w.corner))
