"""Batch normalisation in float32: sums in float64 over fixed shares of the rows, then one pass that writes."""

from typing import NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.batch_norm2d.reference import check_batch, moved
from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.threads import share
from scratchlv.kernels.matmul.numba_cpu import float32_only

Array = np.ndarray
_PARTS = 32  # shares of the rows, whatever the number of threads: the sums do not depend on it


class Cache(NamedTuple):
    x: Array  # (N, H, W, C)
    gamma: Array  # (C,)
    mean: Array  # (C,)
    inverse_std: Array  # (C,)
    running_mean: Array | None
    running_var: Array | None


def limits(x: Array, gamma: Array, beta: Array, *, running_mean=None, running_var=None, **_) -> str | None:
    return float32_only(x, gamma, beta, running_mean, running_var)


def forward(
    x: Array,
    gamma: Array,
    beta: Array,
    *,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    momentum: float = 0.1,
    eps: float = 1e-5,
    train: bool = True,
) -> tuple[Array, Cache | None]:
    x = np.ascontiguousarray(x)
    if train:
        check_batch(x.shape)
        mean, var = _statistics(x)
    elif running_mean is None or running_var is None:
        raise ValueError("train=False needs running_mean and running_var")
    else:
        mean, var = running_mean, running_var
    inverse_std = (1 / np.sqrt(var.astype(np.float64) + eps)).astype(np.float32)
    y = np.empty_like(x)
    _normalise(_rows(x), mean.astype(np.float32), gamma * inverse_std, beta, _rows(y))
    if not train:
        return y, None
    running = moved(running_mean, running_var, mean, var, x.size // x.shape[-1], momentum)
    running = [None if statistic is None else statistic.astype(np.float32) for statistic in running]
    return y, Cache(x, gamma, mean.astype(np.float32), inverse_std, *running)


def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
    x, gamma, mean, inverse_std = cache[:4]
    dy = np.ascontiguousarray(dy)
    sums = np.zeros((_PARTS, 2, gamma.size))
    _sum_gradients(_rows(dy), _rows(x), mean, inverse_std, sums)
    dbeta, dgamma = sums.sum(0)
    n = x.size // gamma.size
    dx = np.empty_like(x)
    shares = (dbeta / n).astype(np.float32), (dgamma / n).astype(np.float32)
    _backward_x(_rows(dy), _rows(x), mean, inverse_std, gamma * inverse_std, *shares, _rows(dx))
    return dx, dgamma.astype(np.float32), dbeta.astype(np.float32)


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def _statistics(x: Array) -> tuple[Array, Array]:
    """Mean and variance per channel, float64; around the mean, since the mean of squares would cancel."""
    n = x.size // x.shape[-1]
    sums = np.zeros((2, _PARTS, x.shape[-1]))
    _sum(_rows(x), sums[0])
    mean = sums[0].sum(0) / n
    _sum_squares(_rows(x), mean, sums[1])
    return mean, sums[1].sum(0) / n


@kernel(parallel=True, nogil=True)
def _sum(x, sums):
    for part in prange(sums.shape[0]):
        first, last = share(x.shape[0], part, sums.shape[0])
        for i in range(first, last):
            for c in range(x.shape[1]):
                sums[part, c] += x[i, c]


@kernel(parallel=True, nogil=True)
def _sum_squares(x, mean, sums):
    for part in prange(sums.shape[0]):
        first, last = share(x.shape[0], part, sums.shape[0])
        for i in range(first, last):
            for c in range(x.shape[1]):
                sums[part, c] += (x[i, c] - mean[c]) ** 2


@kernel(parallel=True, nogil=True)
def _normalise(x, mean, scale, beta, y):
    for i in prange(x.shape[0]):
        for c in range(x.shape[1]):
            y[i, c] = (x[i, c] - mean[c]) * scale[c] + beta[c]


@kernel(parallel=True, nogil=True)
def _sum_gradients(dy, x, mean, inverse_std, sums):
    """``sums[part]`` = (dbeta, dgamma) of the part's rows."""
    for part in prange(sums.shape[0]):
        first, last = share(x.shape[0], part, sums.shape[0])
        for i in range(first, last):
            for c in range(x.shape[1]):
                sums[part, 0, c] += dy[i, c]
                sums[part, 1, c] += dy[i, c] * ((x[i, c] - mean[c]) * inverse_std[c])


@kernel(parallel=True, nogil=True)
def _backward_x(dy, x, mean, inverse_std, scale, dbeta, dgamma, dx):
    for i in prange(x.shape[0]):
        for c in range(x.shape[1]):
            x_hat = (x[i, c] - mean[c]) * inverse_std[c]
            dx[i, c] = scale[c] * (dy[i, c] - dbeta[c] - x_hat * dgamma[c])
