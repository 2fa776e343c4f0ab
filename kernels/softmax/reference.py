"""Softmax, the specification: y = exp z / Σ exp z."""

from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.kernels.building_blocks.shapes import require, require_mask
from scratchlv.kernels.softmax_cross_entropy.reference import check_classes


class Cache(NamedTuple):
    y: Array  # (..., V)


def forward(logits: Array, mask: Array | None = None, *, train: bool = True) -> tuple[Array, Cache | None]:
    """``y = exp z / Σ exp z`` along the last axis of ``logits`` z (..., V), over the classes at which ``mask`` is True.

    ``mask`` (..., V) is of bools or of 0 and 1. Where it is False y is 0, as it is where z is -inf; in a row without any class
    that may be, all of it.

    Raises:
        ValueError: there is no class, V = 0; or the mask has another shape, or other numbers than 0 and 1.
    """
    check(logits, mask)
    y = softmax(logits, mask)
    return y, Cache(y) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    """``dlogits = y (dy - Σ dy y)`` (..., V): 0 where y is 0, so where masked."""
    y = cache.y
    return (y * (dy - (dy * y).sum(-1, keepdims=True)),)


def softmax(z: Array, mask: Array | None = None) -> Array:
    """The softmax of the scores ``z`` (..., V) where ``mask`` (..., V) is True; all 0 in a row where it never is."""
    if mask is not None:
        z = np.where(mask, z, z.dtype.type(-np.inf))
    largest = z.max(-1, keepdims=True)  # (..., 1)
    e = np.exp(z - np.where(largest == -np.inf, z.dtype.type(0), largest))  # the largest is 1: no overflow
    total = e.sum(-1, keepdims=True)  # at least that 1; 0 where no class may be
    return e / np.where(total == 0, z.dtype.type(1), total)


def check(logits: Array, mask: Array | None) -> None:
    check_classes(logits)
    require(f"logits {logits.shape}", mask=(mask, logits.shape))
    require_mask(mask)
