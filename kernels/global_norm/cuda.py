"""The global norm of gradients on a GPU: the launches of ``global_norm.cu``.

What they find stays there: the norm and the factor are arrays without axes, which nobody waits for.
"""

from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, cannot_serve, empty
from scratchlv.kernels.global_norm.reference import parts

VERSIONS = {1: "two launches"}
MOST_PARTS = 1024  # blocks that share a sum


def limits(grads: tuple[Any, ...], out: Any, **settings: Any) -> str | None:
    """Why these arrays cannot be served, or None."""
    return cannot_serve(*grads, out) or (None if out.flags.c_contiguous else "out is not contiguous")


def step(grads: tuple[Array, ...], out: Array, *, max_norm: float, align: int = 1) -> tuple[Array, Array]:
    """The norm and the factor, arrays without axes. The order of the additions depends on the size alone."""
    for g, part, gap in parts(grads, out, align):
        part[...] = g
        if gap.size:
            gap[...] = 0
    count = min(MOST_PARTS, max(1, -(-out.size // 4096)))
    sums, norm, factor = empty(count, out), empty((), out), empty((), out)
    module = load("global_norm.cu")
    module["sum_squares"]((count,), (256,), out, sums, np.int64(out.size))
    module["norm_and_factor"]((1,), (256,), sums, norm, factor, np.int32(count), np.float32(max_norm))
    return norm, factor


def split_scale(scale: float | Array) -> tuple[Array | None, float]:
    """An optimiser's ``grad_scale`` as (an array of one number on the GPU, 1), or as (None, a number)."""
    if isinstance(scale, int | float | np.generic):
        return None, float(scale)
    if scale.size != 1:
        raise ValueError(f"a scale is one number, and this array has {scale.size}")
    return as_contiguous(scale, np.float32), 1.0
