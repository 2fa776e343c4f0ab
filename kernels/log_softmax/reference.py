"""The logarithm of a softmax, the specification: y = z − log Σ exp z."""

from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.kernels.softmax_cross_entropy.reference import check_classes


class Cache(NamedTuple):
    y: Array  # (..., V): tells the probabilities, exp y


def forward(logits: Array, *, train: bool = True) -> tuple[Array, Cache | None]:
    """``y = z - log Σ exp z`` along the last axis of ``logits`` z (..., V); y is like z.

    Raises:
        ValueError: there is no class, V = 0.
    """
    check_classes(logits)
    z = logits - logits.max(-1, keepdims=True)  # y stays the same, and exp cannot overflow
    y = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return y, Cache(y) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    """``dlogits = dy - p Σ dy`` (..., V), with the probabilities ``p = exp y``."""
    return (dy - np.exp(cache.y) * dy.sum(-1, keepdims=True),)
