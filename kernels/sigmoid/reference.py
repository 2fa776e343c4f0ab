"""Logistic sigmoid, the specification: y = σ(x) = 1 / (1 + e⁻ˣ)."""

from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array


class Cache(NamedTuple):
    y: Array  # tells the slope, y (1 - y)


def forward(x: Array, *, train: bool = True) -> tuple[Array, Cache | None]:
    """``y = 1 / (1 + e^-x)``, of any shape."""
    e = np.exp(-np.abs(x))  # at most 1: it cannot overflow
    y = np.where(x >= 0, 1 / (1 + e), e / (1 + e))  # the same number; the second keeps its digits where it is small
    return y, Cache(y) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    """``dx = dy y (1 - y)``."""
    return (dy * cache.y * (1 - cache.y),)
