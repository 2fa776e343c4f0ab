"""Linear in float32: through the tiled matrix product; the bias is added while a tile of y is still in cache."""

from typing import NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.memory import empty, plain
from scratchlv.kernels.building_blocks.threads import n_threads, share
from scratchlv.kernels.matmul.numba_cpu import PackedMatrix, float32_only, gemm, unpacked

Array = np.ndarray


class Cache(NamedTuple):
    x: Array  # (..., D)
    W: Array  # (D, M)
    bias: bool
    x_is_data: bool


def limits(x: Array, W: Array, b: Array | None = None, *, x_is_data: bool = False, train: bool = True) -> str | None:
    return float32_only(x, W, b)


def forward(
    x: Array, W: Array | PackedMatrix, b: Array | None = None, *, x_is_data: bool = False, train: bool = True
) -> tuple[Array, Cache | None]:
    y = gemm(_rows(x), W, bias=b)  # (rows, M)
    return y.reshape(*x.shape[:-1], W.shape[1]), Cache(x, unpacked(W), b is not None, x_is_data) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array | None, Array, Array | None]:
    x, W, bias, x_is_data = cache
    dy2 = _rows(dy)
    db = sum_rows(dy2) if bias else None  # first, while dy, which was just made, is in cache
    dx = None if x_is_data else gemm(dy2, W, transpose_b=True).reshape(x.shape)
    return dx, gemm(_rows(x), dy2, transpose_a=True), db


def _rows(x: Array) -> Array:
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


def sum_rows(x: Array) -> Array:
    """The sum over the rows of ``x`` (n, m): (m,)."""
    total = empty(x.shape[1])
    _sum_rows(plain(x), total, n_threads())
    return total


@kernel(parallel=True)
def _sum_rows(x, total, threads):
    for thread in prange(threads):  # each thread its own columns: no sum is shared
        first, last = share(x.shape[1], thread, threads)
        sums = np.zeros(last - first, np.float64)
        for i in range(x.shape[0]):
            row = x[i, first:last]
            for j in range(last - first):
                sums[j] += row[j]
        total[first:last] = sums
