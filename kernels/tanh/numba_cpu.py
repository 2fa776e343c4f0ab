"""Hyperbolic tangent in float32: one pass over memory, with a tanh that vectorises."""

from typing import NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, tanh
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.building_blocks.threads import worth_waking
from scratchlv.kernels.matmul.numba_cpu import float32_only
from scratchlv.memory import as_contiguous, empty

ONE = np.float32(1)


class Cache(NamedTuple):
    y: np.ndarray


def limits(x: np.ndarray, *, train: bool = True) -> str | None:
    return float32_only(x)


def forward(x: np.ndarray, *, train: bool = True) -> tuple[np.ndarray, Cache | None]:
    y = empty(x.shape)
    with worth_waking(y.size):
        _forward(as_contiguous(x).reshape(-1), y.reshape(-1))
    return y, Cache(y) if train else None


def backward(dy: np.ndarray, cache: Cache) -> tuple[np.ndarray]:
    require("x", dy=(dy, cache.y.shape))
    dx = empty(dy.shape)
    with worth_waking(dx.size):
        _backward(as_contiguous(dy).reshape(-1), cache.y.reshape(-1), dx.reshape(-1))
    return (dx,)


@kernel(parallel=True, fastmath=FLAGS)
def _forward(x, y):
    for i in prange(x.size):
        y[i] = tanh(x[i])


@kernel(parallel=True, fastmath=FLAGS)
def _backward(dy, y, dx):
    for i in prange(y.size):
        dx[i] = dy[i] * (ONE - y[i] * y[i])
