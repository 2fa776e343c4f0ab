"""What the launch wrappers do with arrays, the same for CuPy's on a GPU and NumPy's on the CPU that stands in for one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import emulator
from scratchlv.device import on_gpu, place
from scratchlv.memory import as_contiguous

__all__ = [
    "MOST_UNASKED",
    "as_contiguous",
    "blocks",
    "cannot_serve",
    "empty",
    "on_gpu",
    "place",
    "threads_for",
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
