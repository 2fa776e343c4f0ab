"""Rectified linear unit, the specification: y = min(max(x, 0), cap)."""

from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array


class Cache(NamedTuple):
    y: Array  # tells as much about the slope as x does, and the next operation keeps it anyway
    cap: float | None


def forward(x: Array, *, cap: float | None = None, train: bool = True) -> tuple[Array, Cache | None]:
    """``y = max(x, 0)``, of any shape, and no more than ``cap`` (above 0) where one is given; NaN stays NaN."""
    y = np.maximum(x, 0)
    if cap is not None:
        y = np.minimum(y, cap)
    return y, Cache(y, cap) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    """``dx``: ``dy`` where the slope is 1, and 0 where it is 0, the kinks included."""
    y, cap = cache
    flat = y <= 0
    if cap is not None:
        flat = flat | (y >= cap)
    return (np.where(flat, dy.dtype.type(0), dy),)
