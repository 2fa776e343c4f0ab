"""The matrix product on a GPU: cuBLAS for CuPy arrays, and the numbered kernels of ``matmul.cu``, which show how it is made."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, as_strided_rows, blocks, cannot_serve, empty, on_gpu, whole_rows
from scratchlv.cuda.precision import has_tensor_cores, precision
from scratchlv.cuda.versions import version
from scratchlv.kernels.matmul import cublas

VERSIONS = {
    1: "a thread for each number",
    2: "tiles in shared memory",
    3: "tiles in registers",
    4: "four numbers at a time, two tiles in turn",
}
#: in TF32 and bfloat16 there is one more; and cuBLAS is what runs on a GPU unless one of ours is asked for
TENSOR_CORES, CUBLAS = 5, 6
_ALL = VERSIONS | {TENSOR_CORES: "tensor cores", CUBLAS: "cuBLAS"}
_SIDES = {1: 32, 2: 32, 3: 64, 4: 128, 5: 128}  # of the tile of C that a block has
_ENOUGH_BLOCKS = 256  # keep a large chip busy
_LEAST_PART = 256  # numbers of K that are worth a block


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
        self.array = as_contiguous(array)
        self.shape = array.shape

    @functools.cached_property
    def rounded(self) -> Array:
        return _rounded(self.array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.array, dtype, copy=copy)


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

    In the :func:`~scratchlv.cuda.precision.precision` TF32 or bfloat16 the operands are rounded to it (versions 1 to 4
    do not); sums are float32.

    Raises:
        ValueError: the shapes do not fit each other, or ``out`` is not contiguous.
    """
    (M, K), (L, N) = a.shape[:: -1 if transpose_a else 1], b.shape[:: -1 if transpose_b else 1]
    if K != L:
        raise ValueError(f"cannot multiply ({M}, {K}) by ({L}, {N})")
    if bias is not None and bias.shape != (N,):
        raise ValueError(f"bias has shape {bias.shape}, a row of the product has ({N},)")
    if out is None:
        out, accumulate = empty((M, N), unpacked(a)), False
    elif out.shape != (M, N) or not out.flags.c_contiguous:
        raise ValueError(f"out must be contiguous and of the shape ({M}, {N}), not {out.shape}")
    if not out.size:
        return out
    bias = None if bias is None else as_contiguous(bias)
    number = version(_ALL)
    if number == CUBLAS and on_gpu(out) and K:
        _by_cublas(a, b, out, transpose_a, transpose_b, accumulate, bias)
    else:
        a, b = (as_contiguous(unpacked(x)) for x in (a, b))
        _by_our_own(number, a, b, out, transpose_a, transpose_b, accumulate, bias)
    return out


# --- cuBLAS ----------------------------------------------------------------------------------------------------------


def _by_cublas(a, b, out, transpose_a, transpose_b, accumulate, bias) -> None:
    if bias is not None:  # the product is then added to it: as much to move as if the bias came after
        _set_rows(out, bias, accumulate)
        accumulate = True
    operand = _in_bf16 if precision() == "bf16" else _in_float32
    flags = {"transpose_a": transpose_a, "transpose_b": transpose_b, "accumulate": accumulate}
    cublas.multiply(operand(a), operand(b), out, **flags, tf32=precision() == "tf32")


def _in_bf16(matrix: Array | Bf16Matrix) -> Array:
    return matrix.rounded if isinstance(matrix, Bf16Matrix) else _rounded(as_strided_rows(matrix))


def _in_float32(matrix: Array | Bf16Matrix) -> Array:
    return as_strided_rows(unpacked(matrix))


def _rounded(x: Array) -> Array:
    """``x`` in bfloat16, as uint16, its rows as far apart."""
    given = whole_rows(x)
    y = empty(given.shape, x, np.uint16)
    grid = blocks(min(-(-given.size // 4), 1 << 24), 256)
    load("matmul.cu")["round_to_bf16"](grid, (256,), given, y, np.int64(given.size))
    return y[:, : x.shape[1]]


def _set_rows(out: Array, bias: Array, accumulate: bool) -> None:
    M, N = out.shape
    columns = -(-N // 256)
    grid = columns, min(M, max(1, 2048 // columns))
    load("matmul.cu")["set_rows"](grid, (256,), bias, out, np.int32(M), np.int32(N), np.int32(accumulate))


# --- our own ---------------------------------------------------------------------------------------------------------


def _by_our_own(number, a, b, out, transpose_a, transpose_b, accumulate, bias) -> None:
    (M, N), K = out.shape, a.shape[0 if transpose_a else 1]
    number = min(number, TENSOR_CORES if precision() != "float32" and has_tensor_cores(out) else max(VERSIONS))
    side, sizes = _SIDES[number], (np.int32(M), np.int32(N), np.int32(K))
    tiles, block = (-(-N // side), -(-M // side)), (32, 32) if number < 3 else (256,)
    operands, transposes = (a, b), (np.int32(transpose_a), np.int32(transpose_b))
    file, name = ("tensor_cores.cu", precision()) if number == TENSOR_CORES else ("matmul.cu", number)
    kernel = load(file)[f"matmul_{name}"]
    parts = min(K // _LEAST_PART, _ENOUGH_BLOCKS // (tiles[0] * tiles[1])) if number == 4 else 1
    if parts <= 1:
        kernel(tiles, block, *operands, bias, out, *sizes, *transposes, np.int32(accumulate))
        return
    work, n = empty((parts, M, N), out), M * N
    kernel((*tiles, parts), block, *operands, None, work, *sizes, *transposes, np.int32(False))
    numbers = np.int64(n), np.int32(N), np.int32(parts), np.int32(accumulate)
    load("matmul.cu")["sum_partials"](blocks(min(n, 1 << 24), 256), (256,), work, bias, out, *numbers)
