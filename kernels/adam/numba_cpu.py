"""Adam on the CPU: one parallel sweep over four arrays, where plain array code makes a dozen."""

from typing import Any

import numpy as np
from numba import prange

from scratchlv.kernels.adam.reference import check_step
from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS
from scratchlv.kernels.building_blocks.parameters import value
from scratchlv.kernels.building_blocks.shapes import not_updatable
from scratchlv.kernels.sgd.reference import check_weight_decay
from scratchlv.memory import as_contiguous

BLOCK = value("adam.block")


def limits(params: Any, grads: Any, m: Any, v: Any, *args: Any, **settings: Any) -> str | None:
    """Why these arrays cannot be served, or None."""
    return not_updatable(grads, params=params, m=m, v=v)


def step(
    params: np.ndarray,
    grads: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    t: int,
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
) -> None:
    """Update ``params``, ``m`` and ``v`` in place."""
    check_step(t)
    check_weight_decay(weight_decay)
    limit = limits(params, grads, m, v)
    if limit is not None:
        raise ValueError(limit)
    rates = (lr / (1 - beta1**t), 1 - beta1, 1 - beta2, (1 - beta2**t) ** -0.5)
    settings = (*rates, eps, 1 - lr * weight_decay, grad_scale)
    arrays = (params, as_contiguous(grads), m, v)
    _sweep(*(array.reshape(-1) for array in arrays), *(params.dtype.type(number) for number in settings))


@kernel(parallel=True, fastmath=FLAGS)
def _sweep(params, grads, m, v, rate, one_minus_beta1, one_minus_beta2, correction, eps, shrink, grad_scale):
    # The bias corrections are numbers, not arrays: they are multiplied into the rate and into √v.
    for block in prange((len(params) + BLOCK - 1) // BLOCK):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        p, g, m_part, v_part = params[part], grads[part], m[part], v[part]
        for i in range(len(p)):
            grad = g[i] * grad_scale
            mean = m_part[i] + one_minus_beta1 * (grad - m_part[i])
            square = v_part[i] + one_minus_beta2 * (grad * grad - v_part[i])
            m_part[i] = mean
            v_part[i] = square
            p[i] = p[i] * shrink - rate * mean / (np.sqrt(square) * correction + eps)
