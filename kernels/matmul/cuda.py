"""The matrix product on a GPU: cuBLAS for CuPy arrays, and the numbered kernels of ``matmul.cu``, which show how it is made."""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.cuda import load
from scratchlv.cuda.arrays import cannot_serve, empty, plain
from scratchlv.cuda.versions import version

Array = Any
VERSIONS = {1: "a thread for each number", 2: "tiles in shared memory"}


class Cache(NamedTuple):
    a: Array  # (M, K)
    b: Array  # (K, N)


def limits(a: Any, b: Any, *, train: bool = True) -> str | None:
    return cannot_serve(a, b)


def forward(a: Array, b: Array, *, train: bool = True) -> tuple[Array, Cache | None]:
    return gemm(a, b), Cache(a, b) if train else None


def backward(dc: Array, cache: Cache) -> tuple[Array, Array]:
    return gemm(dc, cache.b, transpose_b=True), gemm(cache.a, dc, transpose_a=True)


def gemm(
    a: Array,
    b: Array,
    out: Array | None = None,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    accumulate: bool = False,
    bias: Array | None = None,
) -> Array:
    """``op(a) op(b)`` (M, N), plus ``bias`` (N,). ``out`` is written to, or with ``accumulate`` added to."""
    a, b = plain(a), plain(b)
    (M, K), (L, N) = (a.shape[::-1] if transpose_a else a.shape), (b.shape[::-1] if transpose_b else b.shape)
    if K != L:
        raise ValueError(f"a product of (M, {K}) and ({L}, N): the inner sizes differ")
    out = empty((M, N), a) if out is None else out
    number = version(VERSIONS)
    kernel = load("matmul.cu")[f"matmul_{number}"]
    sizes = np.int32(M), np.int32(N), np.int32(K)
    flags = np.int32(transpose_a), np.int32(transpose_b), np.int32(accumulate)
    kernel((-(-N // 32), -(-M // 32)), (32, 32), a, b, None if bias is None else plain(bias), out, *sizes, *flags)
    return out
