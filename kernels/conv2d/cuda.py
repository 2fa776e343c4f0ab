"""Convolution on a GPU: the launches of ``conv2d.cu``, plain sums in float32, and of ``conv2d_tensor_cores.cu``.

What tensor cores multiply is rounded to the :func:`~scratchlv.cuda.precision.precision`, TF32 or bfloat16; ``exact`` asks for
float32.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import Module, load
from scratchlv.cuda.arrays import as_contiguous, blocks, cannot_serve, empty, on_gpu, zeros
from scratchlv.cuda.precision import has_tensor_cores, precision
from scratchlv.cuda.versions import version
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.building_blocks.windows import Padding, Pair, Windows
from scratchlv.kernels.conv2d.reference import Gradients, layout, pooled_size

VERSIONS = {
    1: "a thread for each number",
    2: "tiles in shared memory",
    3: "tiles in registers, 16 bytes an access",
    4: "steps in parts where tiles are few",
}
TENSOR_CORES = 5  #: in TF32 and bfloat16 there is one more: version 4, whose tiles tensor cores multiply
_ALL = VERSIONS | {TENSOR_CORES: "tensor cores"}
TILES = {1: (1, 1), 2: (32, 32), 3: (128, 64)}  # rows and columns of a product that a block makes; 3 and later versions
DEPTH = 16  # steps between two barriers, as in conv2d.cu
FEWEST_STEPS = 256  # of a part of y or dx: fewer would not pay for adding it to the others
SHARED = 58368  # bytes of a block of version 3; every chip served has 64 KB
SHARED_OF_TENSOR_CORES = 34816  # of version 5
FEWEST_PIXELS = 256  # of a part of dW: fewer would not pay for adding it to the others
AT_ONCE = 256  # blocks of version 3 that a large chip holds; where tiles are fewer, parts make up for it
BLOCKS = 512  # about so many are wanted; few enough that the parts of dW are small beside what is read


class Cache(NamedTuple):
    x: Array  # (N, H, W, C)
    W: Array  # (kh, kw, C / groups, M)
    y: Array | None  # with ReLU and without pooling: it tells where ReLU was open
    argmax: (
        Array | None
    )  # (N, H'', W'', M) uint8, with pooling: which place of its window each output came from, 4 for none
    bias: bool
    windows: Windows
    groups: int
    exact: bool
    need_dx: bool


def limits(
    x: Any,
    W: Any,
    b: Any = None,
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
    groups: int = 1,
    relu: bool = False,
    pool: bool = False,
    exact: bool = False,
    need_dx: bool = True,
    train: bool = True,
) -> tuple[Array, Cache | None]:
    w = layout(x.shape, W.shape, stride, padding, dilation, groups)
    size, N, M = w.grid, x.shape[0], W.shape[3]
    require("these weights", b=(b, (M,)))
    x, W, b = as_contiguous(x), as_contiguous(W), None if b is None else as_contiguous(b)
    y = empty((N, *(pooled_size(size) if pool else size), M), x)
    argmax = empty(y.shape, x, np.uint8) if pool and train else None
    sizes = _sizes(x.shape, M, w, groups)
    module, number = load("conv2d.cu"), _version(W, groups, exact, x, y)
    if number >= 3:
        rows, flags = math.prod(y.shape[:3]) * (4 if pool else 1), (np.int32(relu), np.int32(pool))
        tiles = _tiles(3, rows, M // groups)
        count, span = _parts(number, tiles * groups, math.prod(W.shape[:3]))
        parts = empty((count, rows, M), x) if count > 1 else None
        grid = tiles, count, groups
        _launch_tiles("conv2d", number, grid, x, W, b, y, argmax, *sizes, *flags, parts, np.int32(span))
        if parts is not None:
            numbers = np.int32(count), np.int64(y.size), np.int32(M), *flags
            module["conv2d_finish"](blocks(y.size // 4, 256), (256,), parts, b, y, argmax, *numbers)
    else:
        z = empty((N, *size, M), x) if pool else y
        kernel = module[f"conv2d_{number}"]
        kernel(*_grid(number, math.prod(z.shape[:3]), M, groups), x, W, b, z, *sizes, np.int32(relu))
        if pool:
            shape = np.int64(y.size), np.int32(size[0]), np.int32(size[1]), np.int32(M), np.int32(relu)
            module["conv2d_pool"](blocks(y.size, 256), (256,), z, y, argmax, *shape)
    if not train:
        return y, None
    return y, Cache(x, W, y if relu and not pool else None, argmax, b is not None, w, groups, exact, need_dx)


def backward(dy: Array, cache: Cache) -> Gradients:
    x, W, y, argmax, bias, w, groups, exact, need_dx = cache
    size, M = w.grid, W.shape[3]
    require("x and W", dy=(dy, (x.shape[0], *(size if argmax is None else pooled_size(size)), M)))
    module = load("conv2d.cu")
    dz = _before_relu_and_pool(module, as_contiguous(dy), cache, (x.shape[0], *size, M))
    sizes = _sizes(x.shape, M, w, groups)
    dW, db = _weight_gradient(module, _version(W, groups, exact, x, dz), x, W, dz, sizes, groups, bias)
    dx = None
    if need_dx:
        dx = _input_gradient(module, _version(W, groups, exact, dz), x, W, dz, sizes, groups, w.stride)
    return Gradients(dx, dW, db)


def _before_relu_and_pool(module: Module, dy: Array, cache: Cache, shape: tuple) -> Array:
    """The gradient of the sums, of this ``shape`` (N, H', W', M)."""
    N, H, W, M = shape
    if cache.argmax is not None:
        dz, row = empty(shape, dy), -(-W // 2) * M
        grid = N * -(-H // 2), -(-row // 256)
        module["conv2d_before_pool"](grid, (256,), dy, cache.argmax, dz, np.int32(H), np.int32(W), np.int32(M))
        return dz
    if cache.y is None:
        return dy
    dz = empty(shape, dy)
    module["conv2d_before_relu"](blocks(dz.size, 256), (256,), dy, cache.y, dz, np.int64(dz.size))
    return dz


def _launch_tiles(product: str, number: int, grid: tuple[int, int, int], *arguments: Any) -> None:
    """One of the three products in tiles of 128 x 64, by whoever multiplies them."""
    if number == TENSOR_CORES:
        kernel = load("conv2d_tensor_cores.cu")[f"{product}_{precision()}"]
        kernel(grid, (256,), *arguments, shared=SHARED_OF_TENSOR_CORES)
    else:
        load("conv2d.cu")[f"{product}_3"](grid, (256,), *arguments, shared=SHARED)


def _input_gradient(
    module: Module, number: int, x: Array, W: Array, dz: Array, sizes: tuple, groups: int, stride: tuple[int, int]
) -> Array:
    dx = empty(x.shape, x)
    N, H, width, C = x.shape
    if number < 3:
        grid, block = _grid(number, N * H * width, C, groups)
        module[f"conv2d_input_gradient_{number}"](grid, block, dz, W, dx, *sizes)
        return dx
    rows = N * -(-H // stride[0]) * -(-width // stride[1])  # of the largest class of pixels
    classes, tiles = groups * stride[0] * stride[1], _tiles(3, rows, C // groups)
    steps = math.prod(W.shape[:2]) * (W.shape[3] // groups)
    count, span = _parts(number if stride == (1, 1) else 3, tiles * classes, steps)  # a class has fewer steps
    parts = empty((count, *dx.shape), x) if count > 1 else dx
    grid = tiles, count, classes
    _launch_tiles("conv2d_input_gradient", number, grid, dz, W, parts, *sizes, np.int32(span))
    if count > 1:
        module["conv2d_sum_partials"](blocks(dx.size, 256), (256,), parts, dx, np.int32(count), np.int64(dx.size))
    return dx


def _weight_gradient(
    module: Module, number: int, x: Array, W: Array, dz: Array, sizes: tuple, groups: int, bias: bool
) -> tuple[Array, Array | None]:
    """dW and db, the last row of one matrix: in parts of the pixels, which are added up in their order."""
    M, taps, pixels = W.shape[3], math.prod(W.shape[:3]), math.prod(dz.shape[:3])
    rows = taps + bias
    sums = empty((rows, M), x)
    if pixels == 0:
        sums = zeros((rows, M), x)
    elif number == 1:
        module["conv2d_weight_gradient_1"](blocks(sums.size, 256), (256,), x, dz, sums, *sizes, np.int32(bias))
    else:
        tiles = _tiles(min(number, 3), taps, M // groups)
        span = _span(pixels, tiles * groups)
        count = -(-pixels // span)
        parts = empty((count, rows, M), x) if count > 1 else sums
        numbers = *sizes, np.int32(bias), np.int32(span)
        if number >= 3:
            _launch_tiles("conv2d_weight_gradient", number, (tiles, count, groups), x, dz, parts, *numbers)
        else:
            grid = -(-taps // 32), -(-(M // groups) // 32), groups * count
            module["conv2d_weight_gradient_2"](grid, (32, 32), x, dz, parts, *numbers)
        if bias:
            shape = np.int32(pixels), np.int32(M), np.int32(span), np.int32(taps)
            module["conv2d_bias_gradient"]((-(-M // 32), count), (32, 8), dz, parts, *shape)
        if count > 1:
            launch = blocks(sums.size, 256), (256,)
            module["conv2d_sum_partials"](*launch, parts, sums, np.int32(count), np.int64(sums.size))
    return sums[:taps].reshape(W.shape), sums[taps] if bias else None


def _span(pixels: int, tiles: int) -> int:
    """How many pixels a part of dW sums, for as many parts as fill a chip. The sizes decide, not the chip."""
    parts = max(1, min(pixels // FEWEST_PIXELS, BLOCKS // max(1, tiles)))
    return -(-pixels // parts)


def _parts(number: int, tiles: int, steps: int) -> tuple[int, int]:
    """How many parts the steps of a product are cut into, and how many each has. The sizes decide, not the chip."""
    count = 1 if number == 3 else max(1, min(AT_ONCE // max(1, tiles), steps // FEWEST_STEPS))
    span = -(-steps // (count * DEPTH)) * DEPTH
    return -(-steps // span), span


def _version(W: Array, groups: int, exact: bool, *arrays: Array) -> int:
    """Version 3 on reads four channels of y at once: it must have so many, and all be aligned. It takes no empty weights."""
    number = version(_ALL)
    if number == TENSOR_CORES and (exact or precision() == "float32" or not has_tensor_cores(W)):
        number = max(VERSIONS)
    if number >= 3 and (not W.size or W.shape[3] // groups % 4 or any(_address(array) % 16 for array in (W, *arrays))):
        return 2
    return number


def _address(array: Array) -> int:
    return array.data.ptr if on_gpu(array) else array.ctypes.data


def _tiles(number: int, rows: int, columns: int) -> int:
    return -(-rows // TILES[number][0]) * -(-columns // TILES[number][1])


def _grid(number: int, rows: int, columns: int, groups: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Grid and block of versions 1 and 2 for a result of so many rows, and columns of all groups."""
    if number == 1:
        return blocks(rows * columns, 256), (256,)
    return (-(-rows // 32), -(-(columns // groups) // 32), groups), (32, 32)


def _sizes(x_shape: tuple, M: int, w: Windows, groups: int) -> tuple[np.int32, ...]:
    numbers = (*x_shape, M, *w.size, *w.grid, *w.stride, *w.dilation, *w.corner, groups)
    return tuple(np.int32(n) for n in numbers)
