"""The global norm of gradients on the CPU: each is copied, and its squares are added, in one parallel sweep."""

import math
from typing import Any

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, dot
from scratchlv.kernels.building_blocks.simd import address, fence, scale, wants_nontemporal
from scratchlv.kernels.global_norm.reference import parts
from scratchlv.kernels.matmul.numba_cpu import float32_only
from scratchlv.memory import CACHE_LINE, as_contiguous

BLOCK = 8192  # values that are summed on their own: the result does not depend on the number of threads


def limits(grads: tuple[Any, ...], out: Any, **settings: Any) -> str | None:
    """Why these arrays cannot be served, or None."""
    return float32_only(*grads, out) or (None if out.flags.carray else "out is not contiguous, aligned and writeable")


def step(grads: tuple[np.ndarray, ...], out: np.ndarray, *, max_norm: float, align: int = 1) -> tuple[float, float]:
    squares, past_caches = 0.0, wants_nontemporal(out[: out.size // 16 * 16])
    for g, part, gap in parts(grads, out, align):
        gap[...] = 0
        of_blocks = np.empty(-(-g.size // BLOCK))
        around = past_caches and part.ctypes.data % CACHE_LINE == 0
        _copy_and_sum_squares(as_contiguous(g).reshape(-1), part.reshape(-1), of_blocks, around)
        squares += float(of_blocks.sum())
    norm = math.sqrt(squares)
    return norm, max_norm / max(norm, max_norm) if math.isfinite(norm) else math.nan


@kernel(parallel=True, fastmath=FLAGS)
def _copy_and_sum_squares(source, target, of_blocks, nontemporal):
    for block in prange(of_blocks.size):
        part = source[block * BLOCK : (block + 1) * BLOCK]
        out = target[block * BLOCK : (block + 1) * BLOCK]
        scale(address(part), np.float32(1), address(out), part.size, nontemporal)
        if nontemporal:
            fence()
        of_blocks[block] = dot(part, part)
