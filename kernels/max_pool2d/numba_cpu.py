"""Max pooling on the CPU: parallel over rows, vectorised over channels."""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.max_pool2d.reference import output_shape

Array = np.ndarray


class Cache(NamedTuple):
    winner: Array  # (N, H', W', C) uint8
    shape: tuple[int, int, int, int]
    size: int
    stride: int


def limits(x: Any, *, size: int = 2, stride: int | None = None, train: bool = True) -> str | None:
    """Why these arrays cannot be served, or None."""
    if not isinstance(x, np.ndarray):
        return "x is not a NumPy array"
    if x.dtype not in (np.float32, np.float64):
        return f"x is {x.dtype}; it serves float32 and float64"
    return None


def forward(x: Array, *, size: int = 2, stride: int | None = None, train: bool = True) -> tuple[Array, Cache | None]:
    """The maximum of every window of ``x`` (N, H, W, C); ``y`` is (N, H', W', C)."""
    stride = stride or size
    shape = output_shape(x.shape, size, stride)
    y = np.empty(shape, x.dtype)
    winner = np.empty(shape if train else (0, 0, 0, 0), np.uint8)
    _forward(np.ascontiguousarray(x), y, winner, size, stride, train)
    return y, Cache(winner, x.shape, size, stride) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    """``dx`` (N, H, W, C); ``dy`` is (N, H', W', C)."""
    winner, shape, size, stride = cache
    dx = np.empty(shape, dy.dtype)
    _backward(np.ascontiguousarray(dy), winner, dx, size, stride)
    return (dx,)


@kernel(parallel=True, error_model="numpy")
def _forward(x, y, winner, size, stride, train):
    N, out_h, out_w, C = y.shape
    for row in prange(N * out_h):
        n, h = row // out_h, row % out_h
        for w in range(out_w):
            best = y[n, h, w]
            for place in range(size * size):
                value = x[n, h * stride + place // size, w * stride + place % size]
                if place == 0:
                    for c in range(C):
                        best[c] = value[c]
                    if train:
                        winner[n, h, w, :] = 0
                elif train:
                    won = winner[n, h, w]
                    for c in range(C):
                        larger = (value[c] > best[c]) | (
                            (value[c] != value[c]) & (best[c] == best[c])
                        )  # NaN is largest
                        won[c] = place if larger else won[c]
                        best[c] = value[c] if larger else best[c]
                else:
                    for c in range(C):
                        larger = (value[c] > best[c]) | (value[c] != value[c])
                        best[c] = value[c] if larger else best[c]


@kernel(parallel=True, error_model="numpy")
def _backward(dy, winner, dx, size, stride):
    # A thread owns rows of dx and gathers from the windows that cover them, so no two threads write one element.
    N, H, W, C = dx.shape
    _, out_h, out_w, _ = dy.shape
    for row in prange(N * H):
        n, h = row // H, row % H
        whole = stride >= size and h // stride < out_h and h % stride < size and out_w * size == W
        if not whole:
            dx[n, h] = 0  # else every element of the row is written once, below
        for oh in range(max(0, (h - size + stride) // stride), min(out_h, h // stride + 1)):
            for ow in range(out_w):
                taken, grad = winner[n, oh, ow], dy[n, oh, ow]
                for j in range(size):
                    place, out = (h - oh * stride) * size + j, dx[n, h, ow * stride + j]
                    if stride < size:
                        for c in range(C):
                            out[c] += grad[c] if taken[c] == place else 0
                    else:
                        for c in range(C):
                            out[c] = grad[c] if taken[c] == place else 0
