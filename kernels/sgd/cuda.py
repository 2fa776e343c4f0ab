"""Stochastic gradient descent on a GPU: one sweep, the launches of ``sgd.cu``."""

from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, blocks, cannot_serve
from scratchlv.cuda.versions import version
from scratchlv.kernels.building_blocks.shapes import not_updatable_anywhere
from scratchlv.kernels.global_norm.cuda import split_scale
from scratchlv.kernels.sgd.reference import check_settings

VERSIONS = {1: "a parameter for each thread", 2: "four parameters for each thread"}


def limits(params: Any, grads: Any, velocity: Any = None, **settings: Any) -> str | None:
    """Why these arrays cannot be served, or None."""
    given = {} if velocity is None else {"velocity": velocity}
    return cannot_serve(params, grads, velocity) or not_updatable_anywhere(grads, params=params, **given)


def step(
    params: Array,
    grads: Array,
    velocity: Array | None = None,
    *,
    lr: float,
    grad_scale: float | Array = 1.0,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    nesterov: bool = False,
) -> None:
    """Update ``params`` in place, and ``velocity`` if it is given.

    ``grad_scale`` may be an array of one number, where the others are.
    """
    check_settings(velocity, momentum, weight_decay, nesterov)
    limit = limits(params, grads, velocity)
    if limit is not None:
        raise ValueError(limit)
    factor, scale = split_scale(grad_scale)
    number, n = version(VERSIONS), params.size
    grid = blocks(min(-(-n // (4 if number == 2 else 1)), 1 << 24), 256)
    module, grads = load("sgd.cu"), as_contiguous(grads)
    if velocity is None:
        rates = np.float32(lr * scale), np.float32(1 - lr * weight_decay)
        module[f"sgd_{number}"](grid, (256,), params, grads, factor, *rates, np.int64(n))
        return
    settings = (*(np.float32(setting) for setting in (lr, scale, weight_decay, momentum)), np.int32(nesterov))
    module[f"sgd_momentum_{number}"](grid, (256,), params, grads, velocity, factor, *settings, np.int64(n))
