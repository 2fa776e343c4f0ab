"""Root mean square normalisation in float32: a picture is summed up, then scaled while it is in the cache."""

import math
from typing import NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, dot
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.matmul.numba_cpu import float32_only
from scratchlv.kernels.rms_norm.reference import EPS, check_out
from scratchlv.memory import as_contiguous, empty


class Cache(NamedTuple):
    y: np.ndarray  # (N, ..., C)
    scale: np.ndarray  # (N,): 1 / rms


def limits(x: np.ndarray, *, eps: float = EPS, out: np.ndarray | None = None, train: bool = True) -> str | None:
    if out is not None and not out.flags.c_contiguous:
        return "out is not contiguous"
    return float32_only(x, out)


def forward(
    x: np.ndarray, *, eps: float = EPS, out: np.ndarray | None = None, train: bool = True
) -> tuple[np.ndarray, Cache | None]:
    check_out(x, out)
    wide = empty(x.shape) if out is None else out
    scale = np.empty(len(x), np.float32)
    _forward(_rows(x), _rows(wide), scale, eps)
    y = wide[..., : x.shape[-1]]
    return y, Cache(y, scale) if train else None


def backward(dy: np.ndarray, cache: Cache) -> tuple[np.ndarray]:
    y, scale = cache
    require("x", dy=(dy, y.shape))
    dx = empty(y.shape)
    _backward(_rows(dy), _rows(y), scale, _rows(dx))
    return (dx,)


def _rows(x: np.ndarray) -> np.ndarray:
    """(N, ..., C) as (N, L, C)."""
    return as_contiguous(x).reshape(len(x), math.prod(x.shape[1:-1]), x.shape[-1])


@kernel(parallel=True, fastmath=FLAGS)
def _forward(x, y, scales, eps):
    N, L, C = x.shape
    for n in prange(N):
        squares = 0.0
        for l in range(L):
            squares += dot(x[n, l], x[n, l])
        scale = scales[n] = np.float32(1 / np.sqrt(squares / (L * C) + eps))
        for l in range(L):
            for c in range(C):
                y[n, l, c] = x[n, l, c] * scale


@kernel(parallel=True, fastmath=FLAGS)
def _backward(dy, y, scales, dx):
    N, L, C = y.shape
    for n in prange(N):
        along = 0.0
        for l in range(L):
            along += dot(dy[n, l], y[n, l])
        scale, mean = scales[n], np.float32(along / (L * C))
        for l in range(L):
            for c in range(C):
                dx[n, l, c] = scale * (dy[n, l, c] - mean * y[n, l, c])
