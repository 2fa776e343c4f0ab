"""Sweeps over flat memory that no room is for; on a GPU those of :mod:`.sweep_cuda` serve."""

import numpy as np
from numba import prange

from scratchlv.device import on_gpu
from scratchlv.kernels.building_blocks import sweep_cuda
from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, dot, tanh
from scratchlv.kernels.building_blocks.memory import as_contiguous

BLOCK = 8192  # values that are summed on their own: the result does not depend on the number of threads
SMALL_BLOCK = 2048  # values that stay in the first-level cache
ONE = np.float32(1)


def copy_and_sum_squares(source: np.ndarray, target: np.ndarray) -> float:
    """Copy ``source`` into ``target``, contiguous and of the same shape; returns Σ source²."""
    if not isinstance(target, np.ndarray) or target.dtype != np.float32:
        target[...] = source
        return float((target * target).sum())
    flat = as_contiguous(source, np.float32).reshape(-1)
    squares = np.empty(-(-flat.size // BLOCK))
    _copy_and_sum_squares(flat, target.reshape(-1), squares)
    return float(squares.sum())


@kernel(parallel=True, fastmath=FLAGS)
def _copy_and_sum_squares(source, target, squares):
    for block in prange(squares.size):
        part = source[block * BLOCK : (block + 1) * BLOCK]
        out = target[block * BLOCK : (block + 1) * BLOCK]
        for i in range(part.size):
            out[i] = part[i]
        squares[block] = dot(part, part)


def to_unit_size(source: np.ndarray, target: np.ndarray) -> None:
    """Each picture of ``source`` (N, h, w, C), with a mean square of 1, into ``target[..., :C]``: contiguous, of that dtype."""
    N, h, w, C = source.shape
    if on_gpu(source):
        sweep_cuda.to_unit_size(source, target)
    elif source.dtype == target.dtype == np.float32:
        _to_unit_size(as_contiguous(source).reshape(N, h * w, C), target.reshape(N, h * w, target.shape[3]))
    elif source.size:
        mean_square = (source * source).mean(axis=(1, 2, 3), keepdims=True)
        target[..., :C] = source / np.sqrt(mean_square + source.dtype.type(_LEAST_SQUARE))


_LEAST_SQUARE = 1e-12  # is added, for a picture of zeros


@kernel(parallel=True, fastmath=FLAGS)
def _to_unit_size(source, target):
    N, L, C = source.shape
    for n in prange(N):
        squares = 0.0
        for l in range(L):
            squares += dot(source[n, l], source[n, l])
        scale = np.float32(1 / np.sqrt(squares / (L * C) + _LEAST_SQUARE))
        for l in range(L):
            for c in range(C):
                target[n, l, c] = source[n, l, c] * scale


def tanh_in_place(x: np.ndarray) -> np.ndarray:
    """``x`` itself, contiguous, which becomes its tanh."""
    if on_gpu(x):
        return sweep_cuda.tanh_in_place(x)
    if x.dtype != np.float32:
        return np.tanh(x, out=x)
    _tanh_in_place(x.reshape(-1))
    return x


@kernel(parallel=True, fastmath=FLAGS)
def _tanh_in_place(x):
    for block in prange(-(-x.size // BLOCK)):
        _tanh(x[block * BLOCK : (block + 1) * BLOCK])


@kernel(fastmath=FLAGS)
def _tanh(x):
    for i in range(x.size):
        x[i] = tanh(x[i])


def tanh_backward(y: np.ndarray, dy: list[np.ndarray]) -> np.ndarray:
    """The gradient through ``y = tanh x`` of a y that was used in several places: ``(1 - y²) Σ dy``, in the place of ``dy[0]``.

    All are contiguous.
    """
    if on_gpu(y):
        return sweep_cuda.tanh_backward(y, dy)
    dx = dy[0]
    if all(array.dtype == np.float32 for array in (y, *dy)):
        _tanh_backward(y.reshape(-1), tuple(array.reshape(-1) for array in dy))
    else:
        for d in dy[1:]:
            dx += d
        dx *= 1 - y * y
    return dx


@kernel(parallel=True, fastmath=FLAGS)
def _tanh_backward(y, dy):
    dx = dy[0]
    for block in prange(-(-y.size // SMALL_BLOCK)):
        first, last = block * SMALL_BLOCK, (block + 1) * SMALL_BLOCK
        part = dx[first:last]
        for k in range(1, len(dy)):
            _add(part, dy[k][first:last])
        _times_slope(part, y[first:last])


@kernel(fastmath=FLAGS)
def _add(x, y):
    for i in range(x.size):
        x[i] += y[i]


@kernel(fastmath=FLAGS)
def _times_slope(dx, y):
    for i in range(dx.size):
        dx[i] *= ONE - y[i] * y[i]
