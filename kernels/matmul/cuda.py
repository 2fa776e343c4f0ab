"""The matrix product on a GPU: cuBLAS for CuPy arrays, and the numbered kernels of ``matmul.cu``, which show how it is made."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from scratchlv.cuda import load
from scratchlv.cuda.arrays import blocks, cannot_serve, empty, on_gpu, plain
from scratchlv.cuda.precision import precision
from scratchlv.cuda.versions import version
from scratchlv.kernels.matmul import cublas

Array = Any
VERSIONS = {1: "a thread for each number", 2: "tiles in shared memory"}
CUBLAS = max(VERSIONS) + 1  # what runs on a GPU unless one of our versions is asked for


class Cache(NamedTuple):
    a: Array  # (M, K)
    b: Array  # (K, N)


def limits(a: Any, b: Any, *, train: bool = True) -> str | None:
    return cannot_serve(unpacked(a), unpacked(b))


def forward(a: Array, b: Array, *, train: bool = True) -> tuple[Array, Cache | None]:
    return gemm(a, b), Cache(a, b) if train else None


def backward(dc: Array, cache: Cache) -> tuple[Array, Array]:
    return gemm(dc, cache.b, transpose_b=True), gemm(cache.a, dc, transpose_a=True)


class Bf16Matrix:
    """A weight (K, N) that many products will be taken by in bf16: it is rounded once, when a product first needs it."""

    dtype, ndim = np.dtype(np.float32), 2

    def __init__(self, array: Array) -> None:
        self.array = plain(array)
        self.shape = array.shape

    @functools.cached_property
    def rounded(self) -> Array:
        return _rounded(self.array)


def packed(W: Array) -> Array | Bf16Matrix:
    """What stands for the weight ``W`` in many products, as long as it is not changed: in bf16, its rounded copy."""
    return Bf16Matrix(W) if precision() == "bf16" else W


def unpacked(matrix: Array | Bf16Matrix) -> Array:
    """The matrix as a float32 array."""
    return matrix.array if isinstance(matrix, Bf16Matrix) else matrix


def gemm(
    a: Array,
    b: Array | Bf16Matrix,
    out: Array | None = None,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    accumulate: bool = False,
    bias: Array | None = None,
) -> Array:
    """``op(a) op(b)`` (M, N), plus ``bias`` (N,). ``out`` is written to, or with ``accumulate`` added to.

    The operands are rounded to :func:`~scratchlv.cuda.precision.precision`; sums are float32.

    Raises:
        ValueError: the shapes do not fit each other.
    """
    (M, K), (L, N) = a.shape[:: -1 if transpose_a else 1], b.shape[:: -1 if transpose_b else 1]
    if K != L:
        raise ValueError(f"cannot multiply ({M}, {K}) by ({L}, {N})")
    if bias is not None and bias.shape != (N,):
        raise ValueError(f"bias has shape {bias.shape}, a row of the product has ({N},)")
    if out is None:
        out, accumulate = empty((M, N), unpacked(a)), False
    elif out.shape != (M, N):
        raise ValueError(f"out has shape {out.shape}, the product has ({M}, {N})")
    bias = None if bias is None else plain(bias)
    number = version(VERSIONS | {CUBLAS: "cuBLAS"})
    if number == CUBLAS and on_gpu(out):
        _by_cublas(a, b, out, transpose_a, transpose_b, accumulate, bias)
    else:
        operands = plain(unpacked(a)), plain(unpacked(b)), out
        _by_our_own(min(number, max(VERSIONS)), *operands, transpose_a, transpose_b, accumulate, bias)
    return out


def _by_cublas(a, b, out, transpose_a, transpose_b, accumulate, bias) -> None:
    if not out.size:
        return
    if (
        bias is not None
    ):  # the product is then added: one more writing of out, and one more reading, as if it came after
        _set_rows(out, bias, accumulate)
        accumulate = True
    operand = _in_bf16 if precision() == "bf16" else _in_float32
    flags = {"transpose_a": transpose_a, "transpose_b": transpose_b, "accumulate": accumulate}
    cublas.multiply(operand(a), operand(b), out, **flags, tf32=precision() == "tf32")


def _in_float32(matrix: Array | Bf16Matrix) -> Array:
    return plain(unpacked(matrix))


def _in_bf16(matrix: Array | Bf16Matrix) -> Array:
    return matrix.rounded if isinstance(matrix, Bf16Matrix) else _rounded(plain(matrix))


def _rounded(x: Array) -> Array:
    """``x`` in bfloat16, as uint16."""
    y = empty(x.shape, x, np.uint16)
    load("matmul.cu")["round_to_bf16"](blocks(min(x.size, 1 << 22), 256), (256,), x, y, np.int64(x.size))
    return y


def _set_rows(out: Array, bias: Array, accumulate: bool) -> None:
    grid = blocks(min(out.size, 1 << 22), 256)
    load("matmul.cu")["set_rows"](
        grid, (256,), bias, out, np.int64(out.size), np.int32(out.shape[1]), np.int32(accumulate)
    )


def _by_our_own(number, a, b, out, transpose_a, transpose_b, accumulate, bias) -> None:
    (M, N), K = out.shape, a.shape[0 if transpose_a else 1]
    sizes = np.int32(M), np.int32(N), np.int32(K)
    flags = np.int32(transpose_a), np.int32(transpose_b), np.int32(accumulate)
    kernel = load("matmul.cu")[f"matmul_{number}"]
    kernel((-(-N // 32), -(-M // 32)), (32, 32), a, b, bias, out, *sizes, *flags)
