"""Dropout on the CPU: one parallel sweep that draws the mask as it goes."""

from typing import Any, NamedTuple

import numpy as np
from numba import prange, uint64

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.parameters import value
from scratchlv.kernels.dropout.reference import GOLDEN, check_probability, fold, threshold
from scratchlv.memory import as_contiguous, empty_like

BLOCK = value("dropout.block")


class Cache(NamedTuple):
    key: int
    p: float


def limits(x: Any, *, p: float, seed: int | tuple[int, ...], train: bool = True) -> str | None:
    """Why these arrays cannot be served, or None."""
    if not isinstance(x, np.ndarray):
        return "x is not a NumPy array"
    if x.dtype not in (np.float32, np.float64):
        return f"x is {x.dtype}; it serves float32 and float64"
    return None


def forward(
    x: np.ndarray, *, p: float, seed: int | tuple[int, ...], train: bool = True
) -> tuple[np.ndarray, Cache | None]:
    """Zero each value of ``x`` with probability ``p``, multiply the others by 1 / (1 − p)."""
    check_probability(p)
    if not train:
        return x, None
    cache = Cache(fold(seed), p)
    return _drop(x, cache), cache


def backward(dy: np.ndarray, cache: Cache) -> tuple[np.ndarray]:
    """``dx``, with the mask drawn again."""
    return (_drop(dy, cache),)


def _drop(x: np.ndarray, cache: Cache) -> np.ndarray:
    key, p = cache
    y = empty_like(x)
    flat = as_contiguous(x).reshape(-1)
    _sweep(flat, y.reshape(-1), np.uint64(key), np.uint64(threshold(p)), x.dtype.type(1 / (1 - p)))
    return y


@kernel(parallel=True)
def _sweep(x, y, key, limit, scale):
    for block in prange((len(x) + BLOCK - 1) // BLOCK):
        part, out = x[block * BLOCK : (block + 1) * BLOCK], y[block * BLOCK : (block + 1) * BLOCK]
        key_of_block = key + uint64(block * BLOCK + 1) * uint64(GOLDEN)
        for i in range(part.size):
            z = key_of_block + uint64(i) * uint64(GOLDEN)
            z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
            z = z ^ (z >> uint64(31))
            out[i] = part[i] * (scale if (z >> uint64(32)) >= limit else scale * 0)
