"""Sweeps over flat memory that no room is for."""

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, dot
from scratchlv.kernels.building_blocks.memory import plain

Array = np.ndarray
BLOCK = 8192  # values that are summed on their own: the result does not depend on the number of threads


def copy_and_sum_squares(source: Array, target: Array) -> float:
    """Copy ``source`` into ``target``, contiguous and of the same shape; returns Σ source²."""
    if not isinstance(target, np.ndarray) or target.dtype != np.float32:
        target[...] = source
        return float((target * target).sum())
    flat = plain(source, np.float32).reshape(-1)
    squares = np.empty(-(-flat.size // BLOCK))
    _copy_and_sum_squares(flat, target.reshape(-1), squares)
    return float(squares.sum())


@kernel(parallel=True, fastmath=FLAGS)
def _copy_and_sum_squares(source, target, squares):
    for block in prange(squares.size):
        part = source[block * BLOCK : (block + 1) * BLOCK]
        out = target[block * BLOCK : (block + 1) * BLOCK]
        for i in range(part.size):
            out[i] = part[i]
        squares[block] = dot(part, part)
