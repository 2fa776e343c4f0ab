"""Two things that models do with large arrays without making more of them than they need."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchlv.kernels.building_blocks import memory
from scratchlv.ops import matmul

Array = Any


def empty(shape: tuple[int, ...], like: Array) -> Array:
    """An array of the kind and dtype of ``like``, its content undefined; NumPy's comes from the kernels' memory."""
    if isinstance(like, np.ndarray):
        return memory.empty(shape, like.dtype)
    return np.empty_like(like, shape=shape)


def weight_gradients(dy: Array, x: Array) -> tuple[Array, Array]:
    """``dW`` and ``db`` of ``y = x W + b`` where x is data, whose own gradient nobody wants."""
    x2, dy2 = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    dW, _ = matmul.forward(x2.T, dy2, train=False)
    return dW, dy2.sum(axis=0)
