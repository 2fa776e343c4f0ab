"""Linear in float32: through the tiled matrix product; the bias is added while a tile of y is still in cache."""

import math
from typing import NamedTuple

import numpy as np

from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.linear.reference import Gradients
from scratchlv.kernels.matmul.numba_cpu import PackedMatrix, float32_only, for_backward, gemm
from scratchlv.memory import as_contiguous, empty


class Cache(NamedTuple):
    x: np.ndarray  # (..., D)
    W: np.ndarray  # (D, M)
    bias: bool
    need_dx: bool


def limits(
    x: np.ndarray, W: np.ndarray, b: np.ndarray | None = None, *, need_dx: bool = True, train: bool = True
) -> str | None:
    return float32_only(x, W, b)


def forward(
    x: np.ndarray,
    W: np.ndarray | PackedMatrix,
    b: np.ndarray | None = None,
    *,
    need_dx: bool = True,
    train: bool = True,
) -> tuple[np.ndarray, Cache | None]:
    y = gemm(_rows(x), W, bias=b)  # (rows, M)
    return y.reshape(*x.shape[:-1], W.shape[1]), Cache(x, for_backward(W), b is not None, need_dx) if train else None


def backward(dy: np.ndarray, cache: Cache, *, dx: np.ndarray | None = None) -> Gradients:
    x, W, bias, need_dx = cache
    require("x", dx=(dx, x.shape))
    dy2 = _rows(dy)
    db = empty(W.shape[1]) if bias else None
    if need_dx:
        before = None if dx is None else _rows(as_contiguous(dx))
        dx = gemm(dy2, W, before, transpose_b=True, accumulate=before is not None).reshape(x.shape)
    return Gradients(dx if need_dx else None, gemm(_rows(x), dy2, transpose_a=True, column_sums=db), db)


def _rows(x: np.ndarray) -> np.ndarray:
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
