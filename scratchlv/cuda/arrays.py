"""What the launch wrappers do with arrays, the same for CuPy's on a GPU and NumPy's on the CPU that stands in for one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from scratchlv.arrays import ROW_BYTES, Array
from scratchlv.cuda import emulator
from scratchlv.device import on_gpu, place
from scratchlv.memory import as_contiguous

__all__ = [
    "MOST_UNASKED",
    "as_contiguous",
    "as_strided_rows",
    "blocks",
    "cannot_serve",
    "empty",
    "empty_rows",
    "on_gpu",
    "place",
    "stride_of",
    "threads_for",
    "whole_rows",
    "zeros",
]

MOST_UNASKED = 48 * 1024  # bytes of shared memory that every chip gives a block without being asked


def empty(shape: int | Sequence[int], like: Array, dtype: Any = np.float32) -> Array:
    """An array where ``like`` is, its content undefined. NumPy's is filled with NaN, so that what no thread writes shows."""
    if on_gpu(like):
        import cupy

        return cupy.empty(shape, dtype)
    size = math.prod(shape) if isinstance(shape, Sequence) else shape
    return np.full(size * np.dtype(dtype).itemsize, 0xFF, np.uint8).view(dtype).reshape(shape)


def zeros(shape: int | Sequence[int], like: Array, dtype: Any = np.float32) -> Array:
    """An array of zeros where ``like`` is."""
    if on_gpu(like):
        import cupy

        return cupy.zeros(shape, dtype)
    return np.zeros(shape, dtype)


def as_strided_rows(x: Array) -> Array:
    """``x`` (..., n) if its rows begin at multiples of 32 bytes with no more between them than that takes; else contiguous.

    So :func:`scratchlv.arrays.row_stride` lays them out, and a kernel that knows how far apart they are reads them as they lie.
    """
    if x.ndim < 2 or not x.size or x.flags.c_contiguous:
        return as_contiguous(x)
    *outer, last = x.strides
    item, stride = x.dtype.itemsize, outer[-1]
    evenly = all(above == below * n for (above, below), n in zip(pairwise(outer), x.shape[1:-1], strict=True))
    of_row = -(-x.shape[-1] * item // ROW_BYTES) * ROW_BYTES
    return x if last == item and evenly and stride == of_row else as_contiguous(x)


def whole_rows(x: Array) -> Array:
    """What :func:`as_strided_rows` gave, as a kernel takes it: (..., stride), contiguous, with what lies between the rows."""
    if x.flags.c_contiguous:
        return x
    shape = *x.shape[:-1], stride_of(x)
    if on_gpu(x):
        import cupy

        return cupy.lib.stride_tricks.as_strided(x, shape, x.strides)
    return np.lib.stride_tricks.as_strided(x, shape, x.strides)


def stride_of(x: Array) -> int:
    """How many numbers lie from a row of what :func:`as_strided_rows` gave to the next."""
    return x.shape[-1] if x.flags.c_contiguous else x.strides[-2] // x.dtype.itemsize


def empty_rows(shape: tuple[int, ...], stride: int, like: Array) -> Array:
    """An array where ``like`` is whose rows begin ``stride`` numbers apart, its content undefined."""
    return empty((*shape[:-1], stride), like)[..., : shape[-1]]


def blocks(n: int, threads: int) -> tuple[int]:
    """The grid of one dimension whose blocks of ``threads`` cover ``n``."""
    return (-(-n // threads),)


def threads_for(n: int) -> int:
    """How many threads a block has for n numbers: a power of two, with a few numbers for each thread."""
    return min(1024, max(32, 1 << (n // 4).bit_length()))


def cannot_serve(*arrays: Array | None) -> str | None:
    """Why the CUDA kernels cannot serve these arrays, or None: they compute in float32."""
    # a packed weight stands for its array
    given: list[Array] = [getattr(a, "array", a) for a in arrays if a is not None]
    for array in given:
        if not hasattr(array, "dtype"):
            return f"{type(array).__name__} is no array"
        if array.dtype != np.float32:
            return f"it computes in float32, and an array is {array.dtype}"
    if len({on_gpu(a) for a in given}) > 1:
        return "some arrays are on the GPU and some are not"
    return emulator.why_not() if given and not on_gpu(given[0]) else None
