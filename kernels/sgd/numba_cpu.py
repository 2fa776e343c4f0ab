"""Stochastic gradient descent on the CPU: one parallel sweep over two arrays, with momentum three."""

from typing import Any

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS
from scratchlv.kernels.building_blocks.parameters import value
from scratchlv.kernels.building_blocks.shapes import not_updatable
from scratchlv.kernels.sgd.reference import check_settings
from scratchlv.memory import as_contiguous

BLOCK = value("sgd.block")


def limits(params: Any, grads: Any, velocity: Any = None, **settings: Any) -> str | None:
    """Why these arrays cannot be served, or None."""
    given = {} if velocity is None else {"velocity": velocity}
    return not_updatable(grads, params=params, **given)


def step(
    params: np.ndarray,
    grads: np.ndarray,
    velocity: np.ndarray | None = None,
    *,
    lr: float,
    grad_scale: float = 1.0,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    nesterov: bool = False,
) -> None:
    """Update ``params`` in place, and ``velocity`` if it is given."""
    check_settings(velocity, momentum, weight_decay, nesterov)
    limit = limits(params, grads, velocity)
    if limit is not None:
        raise ValueError(limit)
    arrays = params.reshape(-1), as_contiguous(grads).reshape(-1)
    number = params.dtype.type
    if velocity is None:
        _sweep(*arrays, number(lr * grad_scale), number(1 - lr * weight_decay))
        return
    rates = (number(setting) for setting in (lr, grad_scale, weight_decay, momentum))
    _sweep_with_momentum(*arrays, velocity.reshape(-1), *rates, bool(nesterov))


@kernel(parallel=True, fastmath=FLAGS)
def _sweep(params, grads, rate, shrink):
    for block in prange((len(params) + BLOCK - 1) // BLOCK):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        p, g = params[part], grads[part]
        for i in range(len(p)):
            p[i] = p[i] * shrink - rate * g[i]


@kernel(parallel=True, fastmath=FLAGS)
def _sweep_with_momentum(params, grads, velocity, lr, grad_scale, weight_decay, momentum, nesterov):
    for block in prange((len(params) + BLOCK - 1) // BLOCK):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        p, g, v_part = params[part], grads[part], velocity[part]
        for i in range(len(p)):
            grad = grad_scale * g[i] + weight_decay * p[i]
            v = momentum * v_part[i] + grad
            v_part[i] = v
            p[i] -= lr * (grad + momentum * v if nesterov else v)
