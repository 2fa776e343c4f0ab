"""The pictures of questions: several questions may be about one picture, and look at its regions each in a way of its own.

Shapes: P pictures, N questions, L regions of D numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.ops import embedding


def forward(x: Array, picture_of: Array, *, train: bool) -> tuple[Array, Any]:
    """``x[picture_of]``, (P, L, D) -> (N, L, D): an embedding, whose gradient adds up what the questions of a picture send."""
    P, L, D = x.shape
    if np.array_equal(picture_of, np.arange(P)):  # one question about each: nothing to copy
        return x, None
    y, cache = embedding.forward(picture_of, x.reshape(P, L * D), train=train)
    return y.reshape(-1, L, D), cache


def backward(dy: Array, cache: Any) -> Array:
    """(N, L, D) -> (P, L, D)."""
    if cache is None:
        return dy
    N, L, D = dy.shape
    (dx,) = embedding.backward(dy.reshape(N, L * D), cache)
    return dx.reshape(-1, L, D)
