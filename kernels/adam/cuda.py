"""Adam on a GPU: one sweep over four arrays, the launches of ``adam.cu``."""

from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, blocks, cannot_serve
from scratchlv.cuda.versions import version
from scratchlv.kernels.adam.reference import check_step
from scratchlv.kernels.building_blocks.shapes import not_updatable_anywhere
from scratchlv.kernels.global_norm.cuda import split_scale
from scratchlv.kernels.sgd.reference import check_weight_decay

VERSIONS = {1: "a parameter for each thread", 2: "four parameters for each thread"}


def limits(params: Any, grads: Any, m: Any, v: Any, *args: Any, **settings: Any) -> str | None:
    """Why these arrays cannot be served, or None."""
    return cannot_serve(params, grads, m, v) or not_updatable_anywhere(grads, params=params, m=m, v=v)


def step(
    params: Array,
    grads: Array,
    m: Array,
    v: Array,
    t: int,
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    grad_scale: float | Array = 1.0,
) -> None:
    """Update ``params``, ``m`` and ``v`` in place. ``grad_scale`` may be an array of one number, where the others are."""
    check_step(t)
    check_weight_decay(weight_decay)
    limit = limits(params, grads, m, v)
    if limit is not None:
        raise ValueError(limit)
    factor, scale = split_scale(grad_scale)
    rates = lr / (1 - beta1**t), 1 - beta1, 1 - beta2, (1 - beta2**t) ** -0.5, eps, 1 - lr * weight_decay, scale
    number, n = version(VERSIONS), params.size
    grid = blocks(min(-(-n // (4 if number == 2 else 1)), 1 << 24), 256)
    kernel = load("adam.cu")[f"adam_{number}"]
    kernel(grid, (256,), params, as_contiguous(grads), m, v, factor, *(np.float32(rate) for rate in rates), np.int64(n))
