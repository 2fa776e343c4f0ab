"""Batch normalisation on a GPU: the launches of ``batch_norm2d.cu``. The running statistics never leave the device."""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import Module, load
from scratchlv.cuda.arrays import as_contiguous, blocks, cannot_serve, empty
from scratchlv.cuda.versions import version
from scratchlv.kernels.batch_norm2d.reference import Gradients, check_batch, require_running
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.max_pool2d.reference import output_shape

VERSIONS = {1: "a block for a channel", 2: "along the channels, pixels in parts"}
BLOCKS = 1024  # about so many are wanted; the sizes decide, not the chip: sums are the same on any
AT_ONCE = 8  # pixels that a thread loads together, as in the .cu


class Cache(NamedTuple):
    x: Array  # (N, H, W, C)
    constants: Array  # (4, C): mean, 1 / deviation, their product with gamma, beta
    argmax: Array | None  # (N, H', W', C) uint8 with pooling: the place in the window, or 4 where ReLU was closed
    relu: bool
    running_mean: Array | None
    running_var: Array | None
    frozen: bool


def limits(
    x: Any,
    gamma: Any,
    beta: Any,
    *,
    running_mean: Any = None,
    running_var: Any = None,
    gather: Any = None,
    **settings: Any,
) -> str | None:
    if gather is not None:
        return "the statistics are of several processes"
    return cannot_serve(x, gamma, beta, running_mean, running_var)


def forward(
    x: Array,
    gamma: Array,
    beta: Array,
    *,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    momentum: float = 0.1,
    eps: float = 1e-5,
    frozen: bool = False,
    relu: bool = False,
    pool: bool = False,
    gather: None = None,
    train: bool = True,
) -> tuple[Array, Cache | None]:
    channels = {"gamma": gamma, "beta": beta, "running_mean": running_mean, "running_var": running_var}
    require("the channels of x", **{name: (array, x.shape[3:]) for name, array in channels.items()})
    x, module = as_contiguous(x), load("batch_norm2d.cu")
    gamma, beta, mean, var = (None if array is None else as_contiguous(array) for array in channels.values())
    if train and not frozen:
        check_batch(x.shape)
        constants, moved = _constants(module, x, gamma, beta, mean, var, momentum, eps)
    else:
        require_running(mean, var)
        C, moved = x.shape[3], (mean, var)
        constants, kernel = empty((4, C), x), module["batch_norm_running_constants"]
        kernel(blocks(C, 256), (256,), gamma, beta, mean, var, constants, np.int32(C), np.float64(eps))
    y, argmax = _normalise(module, x, constants, relu, pool, train)
    return y, Cache(x, constants, argmax, relu, *moved, frozen) if train else None


def _constants(
    module: Module,
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array | None,
    running_var: Array | None,
    momentum: float,
    eps: float,
) -> tuple[Array, tuple[Array | None, Array | None]]:
    """The cache's constants, by the statistics of ``x``, and the running statistics, moved."""
    C, P = x.shape[3], x.shape[0] * x.shape[1] * x.shape[2]
    if version(VERSIONS) == 1:
        count, span = 1, P
        means, squares = empty((1, C), x), empty((1, C), x)
        module["batch_norm_statistics_1"]((C,), (256,), x, means, squares, np.int32(P), np.int32(C))
    else:
        (tiles, count), block = _along_channels(P, C)
        span = -(-P // count)
        count = -(-P // span)
        means, squares = empty((count, C), x), empty((count, C), x)
        numbers = np.int32(P), np.int32(C), np.int32(span)
        module["batch_norm_statistics_2"]((tiles, count), block, x, means, squares, *numbers)
    constants = empty((4, C), x)
    moved = (None if running_mean is None else empty(C, x), None if running_var is None else empty(C, x))
    arrays = means, squares, gamma, beta, running_mean, running_var, constants, *moved
    sizes = np.int32(P), np.int32(C), np.int32(count), np.int32(span)
    module["batch_norm_constants"](blocks(C, 32), (32, 8), *arrays, *sizes, np.float64(momentum), np.float64(eps))
    return constants, moved


def _normalise(
    module: Module, x: Array, constants: Array, relu: bool, pool: bool, train: bool
) -> tuple[Array, Array | None]:
    """``y``, and with pooling and training which place of its window each number came from."""
    y = empty(output_shape(x.shape, 2, 2) if pool else x.shape, x)
    N, H, W, C = y.shape
    launch, pixels = _along_channels(N * H * W, C), np.int32(N * H * W)
    if not pool:
        module["batch_norm_apply"](*launch, x, constants, y, pixels, np.int32(C), np.int32(relu))
        return y, None
    argmax = empty(y.shape, x, np.uint8) if train else None
    sizes = pixels, *(np.int32(n) for n in x.shape[1:])
    module["batch_norm_apply_and_pool"](*launch, x, constants, y, argmax, *sizes, np.int32(relu))
    return y, argmax


def backward(dy: Array, cache: Cache) -> Gradients:
    x, constants, argmax, relu, *_ = cache
    require("x", dy=(dy, x.shape if argmax is None else argmax.shape))
    dy, module = as_contiguous(dy), load("batch_norm2d.cu")
    dgamma, dbeta = _sums(module, dy, cache)
    dx = empty(x.shape, x)
    N, H, W, C = x.shape
    taken_away = dgamma, dbeta  # of the gradient, as x moves its batch's statistics
    if cache.frozen:
        taken_away = np.zeros_like(x, shape=C), np.zeros_like(x, shape=C)
    if argmax is None:
        launch, sizes = _along_channels(N * H * W, C), (np.int32(N * H * W), np.int32(C), np.int32(relu))
        module["batch_norm_backward"](*launch, dy, x, constants, *taken_away, dx, *sizes)
    else:
        launch, shape = _along_channels(N * -(-H // 2) * -(-W // 2), C), tuple(np.int32(n) for n in x.shape)
        module["batch_norm_backward_from_pool"](*launch, dy, x, argmax, constants, *taken_away, dx, *shape)
    return Gradients(dx, dgamma, dbeta)


def _sums(module: Module, dy: Array, cache: Cache) -> tuple[Array, Array]:
    """``dgamma`` and ``dbeta``."""
    N, H, W, C = dy.shape
    sizes = np.int32(N * H * W), *(np.int32(n) for n in cache.x.shape[1:]), np.int32(cache.relu)
    arrays, dgamma, dbeta = (dy, cache.x, cache.argmax, cache.constants), empty(C, dy), empty(C, dy)
    if version(VERSIONS) == 1:
        module["batch_norm_gradients_1"]((C,), (256,), *arrays, dgamma, dbeta, *sizes)
    else:
        (tiles, count), block = _along_channels(N * H * W, C)
        parts = empty((2, count, C), dy)
        module["batch_norm_gradients_2"]((tiles, count), block, *arrays, parts, *sizes)
        add = module["batch_norm_sum_gradients"]
        add((-(-C // 32), 2), (32, 8), parts, dgamma, dbeta, np.int32(count), np.int32(C))
    return dgamma, dbeta


def _along_channels(pixels: int, C: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Grid and block for which four channels are a thread, up to 128 in a row of threads, and the rows share out the pixels."""
    groups = min(32, 1 << max(0, -(-C // 4) - 1).bit_length())
    rows, tiles = 256 // groups, -(-C // (4 * groups))
    parts = min(-(-pixels // (rows * AT_ONCE)), max(1, BLOCKS // max(1, tiles)))
    return (tiles, parts), (groups, rows)
