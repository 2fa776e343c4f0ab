"""Linear on a GPU: the matrix product, and for the bias the launches of ``linear.cu``."""

import math
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, as_strided_rows, cannot_serve, empty
from scratchlv.cuda.versions import version
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.linear.reference import Gradients
from scratchlv.kernels.matmul.cuda import Bf16Matrix, gemm, unpacked

VERSIONS = {1: "a thread for each column's sum", 2: "blocks share the rows"}
ROWS_OF_PART = 128  # at least so many rows are worth a block
ENOUGH_BLOCKS = 512  # keep a large chip busy; more of them only leave more to add up


class Cache(NamedTuple):
    x: Array  # (..., D)
    W: Array  # (D, M)
    bias: bool
    need_dx: bool


def limits(x: Any, W: Any, b: Any = None, *, need_dx: bool = True, train: bool = True) -> str | None:
    return cannot_serve(x, unpacked(W), b)


def forward(
    x: Array, W: Array | Bf16Matrix, b: Array | None = None, *, need_dx: bool = True, train: bool = True
) -> tuple[Array, Cache | None]:
    y = gemm(_rows(x), W, bias=b)  # (rows, M)
    return y.reshape(*x.shape[:-1], W.shape[1]), Cache(x, unpacked(W), b is not None, need_dx) if train else None


def backward(dy: Array, cache: Cache, *, dx: Array | None = None) -> Gradients:
    x, W, bias, need_dx = cache
    require("x", dx=(dx, x.shape))
    dy2 = _rows(as_contiguous(dy))
    if need_dx:
        before = None if dx is None else _rows(as_contiguous(dx))
        dx = gemm(dy2, W, before, transpose_b=True, accumulate=before is not None).reshape(x.shape)
    return Gradients(dx if need_dx else None, gemm(_rows(x), dy2, transpose_a=True), sum_rows(dy2) if bias else None)


def _rows(x: Array) -> Array:
    """All rows alike."""
    return as_strided_rows(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])


def sum_rows(x: Array) -> Array:
    """The sum over the rows of ``x`` (n, M), contiguous: (M,)."""
    n, M = x.shape
    number = version(VERSIONS)
    columns = (-(-M // (256 if number == 1 else 32)),)
    parts = 1 if number == 1 else max(1, min(n // ROWS_OF_PART, ENOUGH_BLOCKS // max(1, *columns)))
    rows_of_part = max(1, -(-n // parts))
    kernel = load("linear.cu")[f"sum_rows_{number}"]
    sums = empty((parts, M), x)
    kernel((*columns, parts), (256,), x, sums, np.int32(n), np.int32(M), np.int32(rows_of_part))
    if parts == 1:
        return sums.reshape(M)
    total = empty(M, x)
    kernel(columns, (256,), sums, total, np.int32(parts), np.int32(M), np.int32(parts))
    return total
