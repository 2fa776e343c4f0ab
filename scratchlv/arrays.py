"""Arrays of NumPy or CuPy: the name for both, and what models do with large ones without making more than they need."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from scratchlv import memory
from scratchlv.memory import as_contiguous

__all__ = ["Array", "add", "as_contiguous", "empty", "take_rows"]

#: An array of NumPy or of CuPy. ``Any`` to the type checker: the same lines serve both, and CuPy need not be installed.
Array: TypeAlias = Any


def empty(shape: tuple[int, ...], like: Array, dtype: Any = None) -> Array:
    """An array of the kind and dtype of ``like``, its content undefined; NumPy's comes from the kernels' memory."""
    if isinstance(like, np.ndarray):
        return memory.empty(shape, dtype or like.dtype)
    return np.empty_like(like, dtype, shape=shape)


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
