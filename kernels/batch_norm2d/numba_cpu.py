"""Batch normalisation in float32, with the ReLU and the pooling that may follow: two sweeps forward, two backward.

Sums are taken in float32 over a row of pixels and in float64 over rows, in fixed parts: they do not depend on the number of
threads. Where ReLU and pooling follow, the normalised activation is never stored; ReLU's state is computed anew from x.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange, types
from numba.extending import intrinsic

from scratchlv.kernels.batch_norm2d.reference import (
    Gather,
    Gradients,
    check_batch,
    joined,
    moved,
    pixels,
    require_running,
)
from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.building_blocks.simd import I64, ZERO, address
from scratchlv.kernels.building_blocks.threads import share
from scratchlv.kernels.matmul.numba_cpu import float32_only
from scratchlv.kernels.max_pool2d.reference import output_shape
from scratchlv.kernels.max_pool2d.vectors import BYTES, CLOSED, PixelEmitter, place
from scratchlv.memory import as_contiguous, empty

_PARTS = 32  # shares of the rows that gradients are summed over, whatever the number of threads
_CHUNK = 1 << 15  # numbers whose mean and variance are taken while they are in the cache
_NO_ARGMAX = np.empty((0, 0, 0, 0), np.uint8)


class Cache(NamedTuple):
    x: np.ndarray  # (N, H, W, C)
    constants: np.ndarray  # (4, C): mean, 1 / deviation, their product with gamma, beta
    argmax: np.ndarray  # (N, H', W', C) uint8 with pooling: the place in the window, or CLOSED
    floor: np.float32  # 0 with ReLU, else NaN
    running_mean: np.ndarray | None
    running_var: np.ndarray | None
    frozen: bool
    n: int  # numbers of a channel, of all processes
    gather: Gather | None


def limits(
    x: Any, gamma: Any, beta: Any, *, running_mean: Any = None, running_var: Any = None, **settings: Any
) -> str | None:
    return float32_only(x, gamma, beta, running_mean, running_var)


def forward(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    *,
    running_mean: np.ndarray | None = None,
    running_var: np.ndarray | None = None,
    momentum: float = 0.1,
    eps: float = 1e-5,
    frozen: bool = False,
    relu: bool = False,
    pool: bool = False,
    gather: Gather | None = None,
    train: bool = True,
) -> tuple[np.ndarray, Cache | None]:
    C = (x.shape[-1],)
    require(
        "the channels of x",
        gamma=(gamma, C),
        beta=(beta, C),
        running_mean=(running_mean, C),
        running_var=(running_var, C),
    )
    x, n = as_contiguous(x), pixels(x.shape)
    if train and not frozen:
        if gather is None:
            check_batch(x.shape)
            mean, var = _statistics(x)
        else:
            n, mean, var = joined(n, *_statistics(x), gather)
    else:
        mean, var = require_running(running_mean, running_var)
    inverse_std = (1 / np.sqrt(var.astype(np.float64) + eps)).astype(np.float32)
    constants = np.stack([mean.astype(np.float32), inverse_std, gamma * inverse_std, beta])
    y = empty(output_shape(x.shape, 2, 2) if pool else x.shape)
    argmax = empty(y.shape, np.uint8) if pool and train else _NO_ARGMAX
    floor = np.float32(0 if relu else np.nan)
    _normalise(x, constants, y, argmax, pool, floor)
    if not train:
        return y, None
    if frozen:
        return y, Cache(x, constants, argmax, floor, running_mean, running_var, True, n, None)
    running = moved(running_mean, running_var, mean, var, n, momentum)
    new_mean, new_var = (None if statistic is None else statistic.astype(np.float32) for statistic in running)
    return y, Cache(x, constants, argmax, floor, new_mean, new_var, False, n, gather)


def backward(dy: np.ndarray, cache: Cache) -> Gradients:
    x, constants, argmax, floor = cache[:4]
    require("x", dy=(dy, argmax.shape if argmax.shape[1] else x.shape))
    dy = as_contiguous(dy)
    C = x.shape[-1]
    sums = np.zeros((_PARTS, 2, C))
    _sum_gradients(dy, x, argmax, constants, floor, sums)
    totals = sums.sum(0)
    dbeta, dgamma = totals.astype(np.float32)
    if cache.gather is not None:
        totals = cache.gather(totals).sum(0)
    # constant statistics take nothing of the gradient away
    gradient_means = np.zeros((2, C)) if cache.frozen else totals / cache.n
    dx = empty(x.shape)
    _backward_x(dy, x, argmax, np.concatenate([constants, gradient_means.astype(np.float32)]), floor, dx)
    return Gradients(dx, dgamma, dbeta)


def _statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance per channel, float64, in one sweep: chunk by chunk, then combined (Chan et al. 1979).

    Always around a mean, since the mean of squares less the square of the mean would cancel.
    """
    C = x.shape[-1]
    rows = x.reshape(pixels(x.shape), C)
    size = max(_CHUNK // max(C, 1), 1)
    means, squares = np.empty((2, -(-len(rows) // size), C))
    _chunk_statistics(rows, size, means, squares)
    counts = np.full((len(means), 1), float(size))
    counts[-1] = len(rows) - size * (len(means) - 1)
    mean = (counts * means).sum(0) / len(rows)
    return mean, (squares + counts * (means - mean) ** 2).sum(0) / len(rows)


@kernel(parallel=True)
def _chunk_statistics(x, size, means, squares):
    """Mean of each chunk of ``size`` rows, and the sum of squares around it."""
    for chunk in prange(means.shape[0]):
        first, last = chunk * size, min((chunk + 1) * size, x.shape[0])
        C = x.shape[1]
        mean, sums, run = np.zeros(C, np.float32), np.zeros(C), np.zeros(C, np.float32)
        for squared in range(2):
            for block in range(first, last, 64):
                for i in range(block, min(block + 64, last)):
                    if squared:
                        for c in range(C):
                            run[c] += (x[i, c] - mean[c]) * (x[i, c] - mean[c])
                    else:
                        for c in range(C):
                            run[c] += x[i, c]
                for c in range(C):
                    sums[c] += run[c]
                    run[c] = 0
            n = last - first
            for c in range(C):
                if squared:
                    error = means[chunk, c] - mean[c]  # the mean was rounded
                    squares[chunk, c] = sums[c] - n * error * error
                else:
                    means[chunk, c] = sums[c] / n
                    mean[c] = means[chunk, c]
                sums[c] = 0


class _NormEmitter(PixelEmitter):
    """Loads the rows of ``constants`` (rows, channels), and knows the formulas."""

    def constant(self, constants, row: int, channels, c):
        return self.load_lanes(self.address(self.address(constants, self.builder.mul(channels, I64(row))), c))

    def normalised(self, x, constants, channels, c):
        """(x - mean) scale + beta."""
        mean, scale, beta = (self.constant(constants, row, channels, c) for row in (0, 2, 3))
        return self.fma(self.builder.fsub(x, mean), scale, beta)

    def x_hat(self, x, constants, channels, c):
        mean, inverse_std = (self.constant(constants, row, channels, c) for row in (0, 1))
        return self.builder.fmul(self.builder.fsub(x, mean), inverse_std)

    def open_gradient(self, dy, x, constants, channels, c, floor):
        """dy where ReLU was open."""
        _, closed = self.rectify(self.normalised(x, constants, channels, c), floor)
        return self.builder.select(closed, ZERO, dy)

    def input_gradient(self, dz, x, constants, channels, c):
        """scale (dz - mean of dz - x_hat mean of dz x_hat)."""
        builder = self.builder
        scale, dbeta, dgamma = (self.constant(constants, row, channels, c) for row in (2, 4, 5))
        along = builder.fmul(self.x_hat(x, constants, channels, c), dgamma)
        return builder.fmul(scale, builder.fsub(builder.fsub(dz, dbeta), along))

    def add_to(self, address, value) -> None:
        self.store_lanes(self.builder.fadd(self.load_lanes(address), value), address)


def _window(e: PixelEmitter, top, bottom, channels):
    return [top, e.address(top, channels), bottom, e.address(bottom, channels)]


@intrinsic
def _normalise_pixel(typing_context, x, constants, y, channels, floor):
    def emit(context, builder, signature, arguments):
        x, constants, y, channels, floor = arguments
        e = _NormEmitter(builder)
        floor = e.splat(floor)

        def body(c):
            value = e.normalised(e.load_lanes(e.address(x, c)), constants, channels, c)
            e.store_lanes(e.rectify(value, floor)[0], e.address(y, c))

        e.channels(channels, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, types.float32), emit


@intrinsic
def _normalise_window(typing_context, top, bottom, constants, y, argmax, keep, channels, floor):
    def emit(context, builder, signature, arguments):
        top, bottom, constants, y, argmax, keep, channels, floor = arguments
        e = _NormEmitter(builder)
        floor = e.splat(floor)

        def body(c):
            values = [e.load_lanes(e.address(x, c)) for x in _window(e, top, bottom, channels)]
            best, place_of_best = e.largest([e.normalised(x, constants, channels, c) for x in values])
            value, closed = e.rectify(best, floor)
            e.store_lanes(value, e.address(y, c))
            with builder.if_then(builder.icmp_signed("!=", keep, I64(0))):
                e.store_lanes(builder.select(closed, place(CLOSED), place_of_best), builder.add(argmax, c))

        e.channels(channels, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7, types.float32), emit


@intrinsic
def _sum_pixel(typing_context, dy, x, constants, sums, channels, floor):
    """Add to ``sums`` (2, C): dbeta and dgamma of a pixel."""

    def emit(context, builder, signature, arguments):
        dy, x, constants, sums, channels, floor = arguments
        e = _NormEmitter(builder)
        floor = e.splat(floor)

        def body(c):
            x_here = e.load_lanes(e.address(x, c))
            dz = e.open_gradient(e.load_lanes(e.address(dy, c)), x_here, constants, channels, c, floor)
            e.add_to(e.address(sums, c), dz)
            e.add_to(e.address(e.address(sums, channels), c), builder.fmul(dz, e.x_hat(x_here, constants, channels, c)))

        e.channels(channels, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, types.float32), emit


@intrinsic
def _sum_window(typing_context, dy, argmax, top, bottom, constants, sums, channels):
    """The same of a window that was pooled: of its argmax."""

    def emit(context, builder, signature, arguments):
        dy, argmax, top, bottom, constants, sums, channels = arguments
        e = _NormEmitter(builder)

        def body(c):
            gradient, place_of_best = e.load_lanes(e.address(dy, c)), e.load_lanes(builder.add(argmax, c), BYTES)
            dbeta = dgamma = ZERO
            for k, x in enumerate(_window(e, top, bottom, channels)):
                dz = e.taken(gradient, place_of_best, k)
                along = e.x_hat(e.load_lanes(e.address(x, c)), constants, channels, c)
                dbeta, dgamma = builder.fadd(dbeta, dz), e.fma(dz, along, dgamma)
            e.add_to(e.address(sums, c), dbeta)
            e.add_to(e.address(e.address(sums, channels), c), dgamma)

        e.channels(channels, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), emit


@intrinsic
def _backward_pixel(typing_context, dy, x, constants, dx, channels, floor):
    def emit(context, builder, signature, arguments):
        dy, x, constants, dx, channels, floor = arguments
        e = _NormEmitter(builder)
        floor = e.splat(floor)

        def body(c):
            x_here = e.load_lanes(e.address(x, c))
            dz = e.open_gradient(e.load_lanes(e.address(dy, c)), x_here, constants, channels, c, floor)
            e.store_lanes(e.input_gradient(dz, x_here, constants, channels, c), e.address(dx, c))

        e.channels(channels, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, types.float32), emit


@intrinsic
def _backward_window(typing_context, dy, argmax, top, bottom, dx_top, dx_bottom, constants, channels):
    def emit(context, builder, signature, arguments):
        dy, argmax, top, bottom, dx_top, dx_bottom, constants, channels = arguments
        e = _NormEmitter(builder)
        pixels = list(zip(_window(e, top, bottom, channels), _window(e, dx_top, dx_bottom, channels), strict=True))

        def body(c):
            gradient, place_of_best = e.load_lanes(e.address(dy, c)), e.load_lanes(builder.add(argmax, c), BYTES)
            for k, (x, dx) in enumerate(pixels):
                dz, x_here = e.taken(gradient, place_of_best, k), e.load_lanes(e.address(x, c))
                e.store_lanes(e.input_gradient(dz, x_here, constants, channels, c), e.address(dx, c))

        e.channels(channels, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), emit


@kernel(parallel=True)
def _normalise(x, constants, y, argmax, pooled, floor):
    _, H, W, C = x.shape
    N, rows, columns, _ = y.shape
    for row in prange(N * rows):
        n, h = divmod(np.int64(row), rows)
        for w in range(columns):
            at = C * ((n * rows + h) * columns + w)
            to = address(y) + 4 * at
            if pooled:
                top = address(x) + 4 * C * ((n * H + 2 * h) * W + 2 * w)
                bottom = top + 4 * C * W
                byte = address(argmax) + at
                _normalise_window(top, bottom, address(constants), to, byte, argmax.size, C, floor)
            else:
                _normalise_pixel(address(x) + 4 * at, address(constants), to, C, floor)


@kernel(parallel=True)
def _sum_gradients(dy, x, argmax, constants, floor, sums):
    """``sums[part]`` = (dbeta, dgamma) of the part's rows."""
    _, H, W, C = x.shape
    N, rows, columns, _ = dy.shape
    for part in prange(sums.shape[0]):
        first, last = share(N * rows, part, sums.shape[0])
        run = np.zeros((2, C), np.float32)
        for row in range(first, last):
            n, h = divmod(row, rows)
            for w in range(columns):
                at = C * ((n * rows + h) * columns + w)
                gradient = address(dy) + 4 * at
                if argmax.size:
                    top = address(x) + 4 * C * ((n * H + 2 * h) * W + 2 * w)
                    bottom = top + 4 * C * W
                    byte = address(argmax) + at
                    _sum_window(gradient, byte, top, bottom, address(constants), address(run), C)
                else:
                    _sum_pixel(gradient, address(x) + 4 * at, address(constants), address(run), C, floor)
            for which in range(2):
                for c in range(C):
                    sums[part, which, c] += run[which, c]
                    run[which, c] = 0


@kernel(parallel=True)
def _backward_x(dy, x, argmax, constants, floor, dx):
    """``constants`` (6, C) hold the means of dy and of dy x_hat too."""
    N, H, W, C = x.shape
    rows, columns = dy.shape[1:3]
    for row in prange(N * H):
        n, h = divmod(np.int64(row), H)
        zeros = np.zeros(C, np.float32)
        done = 0
        if argmax.size and h // 2 < rows:
            done = 2 * columns
            for w in range(columns if h % 2 == 0 else 0):
                at = C * ((n * rows + h // 2) * columns + w)
                here = 4 * C * ((n * H + h) * W + 2 * w)
                top, to = address(x) + here, address(dx) + here
                gradient, byte, below = address(dy) + 4 * at, address(argmax) + at, 4 * C * W
                _backward_window(gradient, byte, top, top + below, to, to + below, address(constants), C)
        for w in range(done, W):  # pixels that fill no window: they moved the mean and the variance, no more
            at = 4 * C * ((n * H + h) * W + w)
            gradient = address(zeros) if argmax.size else address(dy) + at
            _backward_pixel(gradient, address(x) + at, address(constants), address(dx) + at, C, floor)
