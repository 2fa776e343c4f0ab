"""The matrix product by cuBLAS, for CuPy arrays: float32, TF32 or bfloat16 operands, sums in float32."""

from __future__ import annotations

import numpy as np

from scratchlv.arrays import Array

_ONE, _ZERO = np.ones(1, np.float32), np.zeros(1, np.float32)  # alpha and beta, which are read on the host
_ONE_AT, _ZERO_AT = _ONE.ctypes.data, _ZERO.ctypes.data
# of cudaDataType, cublasOperation_t, cublasComputeType_t and cublasGemmAlgo_t
_FLOAT32, _BF16 = 0, 14
_AS_IT_LIES, _TRANSPOSED = 0, 1
_COMPUTE_FLOAT32, _COMPUTE_TF32 = 68, 77
_DEFAULT_ALGORITHM = -1


def multiply(
    a: Array, b: Array, out: Array, *, transpose_a: bool, transpose_b: bool, accumulate: bool, tf32: bool
) -> None:
    """``out (+)= op(a) op(b)``; ``a`` and ``b`` both float32, or both bfloat16 as uint16, ``out`` float32.

    ``out`` is contiguous; rows of ``a`` and ``b`` are, and may begin further apart than they are long.

    cuBLAS reads and writes columns: for it, each matrix that lies in rows is its transpose, so it computes
    ``outᵀ = op(b)ᵀ op(a)ᵀ``.
    """
    from cupy.cuda import device
    from cupy_backends.cuda.libs import cublas

    (M, N), K = out.shape, a.shape[0 if transpose_a else 1]
    kind = _BF16 if a.dtype == np.uint16 else _FLOAT32
    compute = _COMPUTE_TF32 if tf32 else _COMPUTE_FLOAT32
    operations = (_TRANSPOSED if transpose_b else _AS_IT_LIES, _TRANSPOSED if transpose_a else _AS_IT_LIES)
    b_part, a_part = ((_address(x), kind, _stride(x)) for x in (b, a))
    beta = _ONE_AT if accumulate else _ZERO_AT
    out_part = (_address(out), _FLOAT32, N, compute, _DEFAULT_ALGORITHM)
    handle = device.get_cublas_handle()
    cublas.gemmEx(handle, *operations, N, M, K, _ONE_AT, *b_part, *a_part, beta, *out_part)


def _stride(matrix: Array) -> int:
    """How many numbers from a row to the next."""
    rows, columns = matrix.shape  # of a single row NumPy's and CuPy's strides may be anything
    return max(1, columns, matrix.strides[0] // matrix.dtype.itemsize if rows > 1 else 0)


def _address(array: Array) -> int:
    return array.data.ptr
