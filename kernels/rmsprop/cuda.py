"""RMSProp on a GPU: one sweep over three arrays, with momentum four, the launches of ``rmsprop.cu``."""

from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, blocks, cannot_serve
from scratchlv.cuda.versions import version
from scratchlv.kernels.building_blocks.shapes import not_updatable_anywhere
from scratchlv.kernels.global_norm.cuda import split_scale
from scratchlv.kernels.rmsprop.reference import check_rho
from scratchlv.kernels.sgd.reference import check_settings

VERSIONS = {1: "a parameter for each thread", 2: "four parameters for each thread"}


def limits(params: Any, grads: Any, v: Any, velocity: Any = None, **settings: Any) -> str | None:
    """Why these arrays cannot be served, or None."""
    given = {} if velocity is None else {"velocity": velocity}
    return cannot_serve(params, grads, v, velocity) or not_updatable_anywhere(grads, params=params, v=v, **given)


def step(
    params: Array,
    grads: Array,
    v: Array,
    velocity: Array | None = None,
    *,
    lr: float,
    rho: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    grad_scale: float | Array = 1.0,
) -> None:
    """Update ``params`` and ``v`` in place, and ``velocity`` if it is given.

    ``grad_scale`` may be an array of one number, where the others are.
    """
    check_rho(rho)
    check_settings(velocity, momentum, weight_decay)
    limit = limits(params, grads, v, velocity)
    if limit is not None:
        raise ValueError(limit)
    factor, scale = split_scale(grad_scale)
    rates = (np.float32(setting) for setting in (lr, 1 - rho, eps, weight_decay, scale, momentum))
    number, n = version(VERSIONS), params.size
    grid = blocks(min(-(-n // (4 if number == 2 else 1)), 1 << 24), 256)
    kernel = load("rmsprop.cu")[f"rmsprop_{number}"]
    kernel(grid, (256,), params, as_contiguous(grads), v, velocity, factor, *rates, np.int64(n))
