"""Stochastic gradient descent on a GPU: one sweep that reads two arrays and writes one, the launches of ``sgd.cu``."""

from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, blocks, cannot_serve
from scratchlv.cuda.versions import version
from scratchlv.kernels.building_blocks.shapes import not_updatable_anywhere
from scratchlv.kernels.global_norm.cuda import split_scale

VERSIONS = {1: "a parameter for each thread", 2: "four parameters for each thread"}


def limits(params: Any, grads: Any, **settings: Any) -> str | None:
    """Why these arrays cannot be served, or None."""
    return cannot_serve(params, grads) or not_updatable_anywhere(grads, params=params)


def step(params: Array, grads: Array, *, lr: float, grad_scale: float | Array = 1.0, weight_decay: float = 0.0) -> None:
    """Update ``params`` in place. ``grad_scale`` may be an array of one number, where the others are."""
    limit = limits(params, grads)
    if limit is not None:
        raise ValueError(limit)
    factor, scale = split_scale(grad_scale)
    number, n = version(VERSIONS), params.size
    grid = blocks(min(-(-n // (4 if number == 2 else 1)), 1 << 24), 256)
    rates = np.float32(lr * scale), np.float32(1 - lr * weight_decay), np.int64(n)
    load("sgd.cu")[f"sgd_{number}"](grid, (256,), params, as_contiguous(grads), factor, *rates)
