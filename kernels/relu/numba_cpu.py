"""Rectified linear unit in float32: one pass over memory, which is all that it costs."""

from typing import NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.building_blocks.threads import worth_waking
from scratchlv.kernels.matmul.numba_cpu import float32_only
from scratchlv.memory import as_contiguous, empty


class Cache(NamedTuple):
    y: np.ndarray
    cap: float | None


def limits(x: np.ndarray, *, cap: float | None = None, train: bool = True) -> str | None:
    return float32_only(x)


def forward(x: np.ndarray, *, cap: float | None = None, train: bool = True) -> tuple[np.ndarray, Cache | None]:
    x = as_contiguous(x)
    y = empty(x.shape)
    with worth_waking(y.size):
        _forward(x.reshape(-1), y.reshape(-1), _float(cap))
    return y, Cache(y, cap) if train else None


def backward(dy: np.ndarray, cache: Cache) -> tuple[np.ndarray]:
    require("x", dy=(dy, cache.y.shape))
    dx = empty(dy.shape)
    with worth_waking(dx.size):
        _backward(as_contiguous(dy).reshape(-1), cache.y.reshape(-1), dx.reshape(-1), _float(cache.cap))
    return (dx,)


def _float(cap: float | None) -> np.float32:
    return np.float32(np.nan if cap is None else cap)  # no number is at least NaN, infinity neither


@kernel(parallel=True, nogil=True)
def _forward(x, y, cap):
    zero = np.float32(0)
    for i in prange(x.size):  # selects, no branches: both sides are computed, and the loop vectorises
        v = zero if x[i] <= zero else x[i]  # a comparison with NaN is false: NaN passes through
        y[i] = cap if v >= cap else v


@kernel(parallel=True, nogil=True)
def _backward(dy, y, dx, cap):
    zero = np.float32(0)
    for i in prange(y.size):
        passed = zero if y[i] <= zero else dy[i]
        dx[i] = zero if y[i] >= cap else passed
