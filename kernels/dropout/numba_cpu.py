"""Dropout on the CPU: one parallel sweep that draws the mask as it goes."""

from typing import Any, NamedTuple

import numpy as np
from numba import prange, uint64

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.parameters import value
from scratchlv.kernels.building_blocks.threads import worth_waking
from scratchlv.kernels.dropout.reference import (
    GOLDEN,
    MASK64,
    Window,
    check_probability,
    check_window,
    fold,
    layout,
    threshold,
)
from scratchlv.memory import as_contiguous, empty_like

BLOCK = value("dropout.block")


class Cache(NamedTuple):
    key: int
    p: float
    window: Window | None


def limits(
    x: Any, *, p: float, seed: int | tuple[int, ...], window: tuple[int, int] | None = None, train: bool = True
) -> str | None:
    """Why these arrays cannot be served, or None."""
    if not isinstance(x, np.ndarray):
        return "x is not a NumPy array"
    if x.dtype not in (np.float32, np.float64):
        return f"x is {x.dtype}; it serves float32 and float64"
    return None


def forward(
    x: np.ndarray, *, p: float, seed: int | tuple[int, ...], window: tuple[int, int] | None = None, train: bool = True
) -> tuple[np.ndarray, Cache | None]:
    """Zero each value of ``x`` with probability ``p``, multiply the others by 1 / (1 − p)."""
    check_probability(p)
    window = check_window(x.shape, window)
    if not train:
        return x, None
    cache = Cache(fold(seed), p, window)
    return _drop(x, cache), cache


def backward(dy: np.ndarray, cache: Cache) -> tuple[np.ndarray]:
    """``dx``, with the mask drawn again."""
    return (_drop(dy, cache),)


def _drop(x: np.ndarray, cache: Cache) -> np.ndarray:
    key, p, window = cache
    y = empty_like(x)
    flat = as_contiguous(x).reshape(-1)
    _, run, stride, first = layout(x.shape, window)
    key = (key + first * GOLDEN) & MASK64
    settings = np.uint64(key), np.uint64(threshold(p)), x.dtype.type(1 / (1 - p)), run, stride
    with worth_waking(x.size):
        _sweep(flat, y.reshape(-1), *settings)
    return y


@kernel(parallel=True)
def _sweep(x, y, key, limit, scale, run, stride):
    """Of ``run`` values in a row the numbers follow each other; from one run to the next they go on by ``stride``."""
    for block in prange((len(x) + BLOCK - 1) // BLOCK):
        at, end = block * BLOCK, min((block + 1) * BLOCK, len(x))
        while at < end:
            which = at // run
            last = min((which + 1) * run, end)
            part, out = x[at:last], y[at:last]
            key_of_part = key + uint64(at + which * (stride - run) + 1) * uint64(GOLDEN)
            for i in range(part.size):
                z = key_of_part + uint64(i) * uint64(GOLDEN)
                z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
                z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
                z = z ^ (z >> uint64(31))
                out[i] = part[i] * (scale if (z >> uint64(32)) >= limit else scale * 0)
            at = last
