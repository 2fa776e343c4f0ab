"""Stochastic gradient descent on the CPU: one parallel sweep that reads two arrays and writes one."""

from typing import Any

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS
from scratchlv.kernels.building_blocks.parameters import value
from scratchlv.kernels.building_blocks.shapes import not_updatable
from scratchlv.memory import as_contiguous

BLOCK = value("sgd.block")


def limits(params: Any, grads: Any, **settings: Any) -> str | None:
    """Why these arrays cannot be served, or None."""
    return not_updatable(grads, params=params)


def step(
    params: np.ndarray, grads: np.ndarray, *, lr: float, grad_scale: float = 1.0, weight_decay: float = 0.0
) -> None:
    """Update ``params`` in place."""
    limit = limits(params, grads)
    if limit is not None:
        raise ValueError(limit)
    rate, shrink = (params.dtype.type(number) for number in (lr * grad_scale, 1 - lr * weight_decay))
    _sweep(params.reshape(-1), as_contiguous(grads).reshape(-1), rate, shrink)


@kernel(parallel=True, fastmath=FLAGS)
def _sweep(params, grads, rate, shrink):
    for block in prange((len(params) + BLOCK - 1) // BLOCK):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        p, g = params[part], grads[part]
        for i in range(len(p)):
            p[i] = p[i] * shrink - rate * g[i]
