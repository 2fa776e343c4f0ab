"""RMSProp on the CPU: one parallel sweep over three arrays, with momentum four, where plain array code makes a dozen."""

from typing import Any

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS
from scratchlv.kernels.building_blocks.parameters import value
from scratchlv.kernels.building_blocks.shapes import not_updatable
from scratchlv.kernels.rmsprop.reference import check_rho
from scratchlv.kernels.sgd.reference import check_settings
from scratchlv.memory import as_contiguous

BLOCK = value("rmsprop.block")


def limits(params: Any, grads: Any, v: Any, velocity: Any = None, **settings: Any) -> str | None:
    """Why these arrays cannot be served, or None."""
    given = {} if velocity is None else {"velocity": velocity}
    return not_updatable(grads, params=params, v=v, **given)


def step(
    params: np.ndarray,
    grads: np.ndarray,
    v: np.ndarray,
    velocity: np.ndarray | None = None,
    *,
    lr: float,
    rho: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
) -> None:
    """Update ``params`` and ``v`` in place, and ``velocity`` if it is given."""
    check_rho(rho)
    check_settings(velocity, momentum, weight_decay)
    limit = limits(params, grads, v, velocity)
    if limit is not None:
        raise ValueError(limit)
    arrays = (params.reshape(-1), as_contiguous(grads).reshape(-1), v.reshape(-1))
    number = params.dtype.type
    rates = [number(setting) for setting in (lr, 1 - rho, eps, weight_decay, grad_scale)]
    if velocity is None:
        _sweep(*arrays, *rates)
    else:
        _sweep_with_momentum(*arrays, velocity.reshape(-1), *rates, number(momentum))


@kernel(parallel=True, fastmath=FLAGS)
def _sweep(params, grads, v, lr, one_minus_rho, eps, weight_decay, grad_scale):
    for block in prange((len(params) + BLOCK - 1) // BLOCK):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        p, g, v_part = params[part], grads[part], v[part]
        for i in range(len(p)):
            grad = grad_scale * g[i] + weight_decay * p[i]
            square = v_part[i] + one_minus_rho * (grad * grad - v_part[i])
            v_part[i] = square
            p[i] -= lr * grad / (np.sqrt(square) + eps)


@kernel(parallel=True, fastmath=FLAGS)
def _sweep_with_momentum(params, grads, v, velocity, lr, one_minus_rho, eps, weight_decay, grad_scale, momentum):
    for block in prange((len(params) + BLOCK - 1) // BLOCK):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        p, g, v_part, velocity_part = params[part], grads[part], v[part], velocity[part]
        for i in range(len(p)):
            grad = grad_scale * g[i] + weight_decay * p[i]
            square = v_part[i] + one_minus_rho * (grad * grad - v_part[i])
            speed = momentum * velocity_part[i] + grad / (np.sqrt(square) + eps)
            v_part[i] = square
            velocity_part[i] = speed
            p[i] -= lr * speed
