"""Arrays of NumPy or CuPy: the name for both, and what models do with large ones without making more than they need."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from scratchlv import memory
from scratchlv.memory import as_contiguous

__all__ = ["ROW_BYTES", "Array", "add", "as_contiguous", "empty", "row_stride", "take_rows"]

#: Rows on a GPU had better begin at multiples of it: four numbers can be read at once, or eight in bfloat16.
ROW_BYTES = 32

#: An array of NumPy or of CuPy. ``Any`` to the type checker: the same lines serve both, and CuPy need not be installed.
Array: TypeAlias = Any


def empty(shape: tuple[int, ...], like: Array, dtype: Any = None) -> Array:
    """An array of the kind and dtype of ``like``, its content undefined; NumPy's comes from the kernels' memory."""
    if isinstance(like, np.ndarray):
        return memory.empty(shape, dtype or like.dtype)
    return np.empty_like(like, dtype, shape=shape)


def row_stride(n: int, like: Array) -> int:
    """How far apart rows of ``n`` numbers of the dtype of ``like`` had better begin: on a GPU at multiples of 32 bytes.

    On a CPU one row follows the other: its vector loads may begin anywhere, and what lies between would be read, too.
    """
    if isinstance(like, np.ndarray):
        return n
    of_row = ROW_BYTES // like.dtype.itemsize
    return -(-n // of_row) * of_row


def take_rows(x: Array, rows: Array) -> Array:
    """``x[rows]``: rows are along the first axis; ``rows`` (…) are integers."""
    if not isinstance(x, np.ndarray):
        return x[rows]
    out = empty((*rows.shape, *x.shape[1:]), x)
    return np.take(x, rows, axis=0, out=out, mode="clip")  # any other mode goes through a copy of ``out``


def add(total: Array | None, d: Array | None) -> Array | None:
    """One more gradient of the same thing, into ``total``; the first becomes the sum."""
    if total is None:
        return d
    if d is not None:
        total += d
    return total
